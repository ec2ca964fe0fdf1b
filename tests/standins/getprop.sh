#!/system/bin/sh
# What the stand-in says of itself: never that it is a phone.
props='[ro.product.model]: [edgebert stand-in, no phone]
[ro.product.manufacturer]: [edgebert]
[ro.soc.manufacturer]: [none]
[ro.soc.model]: [stand-in]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.boot.qemu]: [1]'
if [ $# -eq 0 ]; then echo "$props"; else echo "$props" | sed -n "s/^\[$1\]: \[\(.*\)\]$/\1/p"; fi
