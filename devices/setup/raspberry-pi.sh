#!/bin/sh
# Prepares a Raspberry Pi (64-bit Raspberry Pi OS of Debian 12 or 13) for edgebert. Run it on the Pi, as often as
# you like: what is done already is left as it is.
#
#     scp devices/setup/raspberry-pi.sh pi4: && ssh pi4 sh raspberry-pi.sh           # look, and install what is missing
#     ssh pi4 sh raspberry-pi.sh --steady                                            # and hold the clock frequency
#
# It needs sudo for packages and for the governor. edgebert itself needs no root, and is installed by the first
# `edgebert check … --device ssh:pi4`.
set -eu

STEADY=no
case "${1:-}" in
  --steady) STEADY=yes ;;
  "") ;;
  *) echo "usage: sh raspberry-pi.sh [--steady]" >&2; exit 2 ;;
esac

say() { printf '%-10s %s\n' "$1" "$2"; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# A 64-bit kernel may carry a 32-bit system, for which the engines have no wheels.
if [ "$(getconf LONG_BIT)" != 64 ]; then
  say system "this is a 32-bit system: install Raspberry Pi OS (64-bit)" >&2
  exit 1
fi
# shellcheck source=/dev/null
say system "$(uname -m), $(. /etc/os-release && echo "$PRETTY_NAME")"

missing=""
command -v python3 >/dev/null || missing="python3"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
  as_root apt-get update -q
  # shellcheck disable=SC2086
  as_root apt-get install -y -q --no-install-recommends $missing
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  say python "$(python3 --version) is too old: install Raspberry Pi OS of Debian 12 or newer" >&2
  exit 1
fi
say python "$(python3 -c 'import platform; print(platform.python_version())')"

if [ "$(timedatectl show --property=NTP --value 2>/dev/null || echo unknown)" = no ]; then
  as_root timedatectl set-ntp true
fi
say clock "$(date -u '+%Y-%m-%d %H:%M:%S UTC')"

free=$(df -Pk "$HOME" | awk 'NR == 2 { print int($4 / 1024) }')
if [ "$free" -lt 600 ]; then
  say disk "only $free MB free in $HOME; one engine takes up to 600" >&2
  exit 1
fi
say disk "$free MB free in $HOME"

governor=/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
if [ -r "$governor" ]; then
  if [ "$STEADY" = yes ] && [ "$(cat "$governor")" != performance ]; then
    for path in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do
      echo performance | as_root tee "$path" >/dev/null
    done
  fi
  say governor "$(cat "$governor")$([ "$(cat "$governor")" = performance ] || echo ' (for steady figures: --steady; it lasts until the next start)')"
fi
if command -v vcgencmd >/dev/null; then
  state=$(vcgencmd get_throttled 2>/dev/null || echo unknown)
  [ "$state" = "throttled=0x0" ] || say power "$state: it was too hot or its supply too weak since it was started"
  say heat "$(vcgencmd measure_temp 2>/dev/null || echo unknown)"
fi
say ready "now, from your computer: edgebert doctor ssh:$(hostname)"
