#!/system/bin/sh
# The stand-in has neither sensors nor a battery: what a phone without the service says.
echo "Can't find service: $1"
