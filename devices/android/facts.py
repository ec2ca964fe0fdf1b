"""What a phone says of itself: properties, processor, frequencies, thermal service, battery.

Everything is asked in one go, since each call of adb takes its time; what a phone does not tell, or does not let
the shell user read, is left out.
"""

from __future__ import annotations

import re
from typing import Any

from ..facts import TELLING_FEATURES

#: Prints every source under a heading of its own.
SCRIPT = """
say() { echo "== $1"; shift; "$@" 2>/dev/null; }
say uname uname -srm
say getprop getprop
say cpuinfo cat /proc/cpuinfo
say meminfo head -n 1 /proc/meminfo
say loadavg cat /proc/loadavg
say online cat /sys/devices/system/cpu/online
for policy in /sys/devices/system/cpu/cpufreq/policy*; do
  for name in scaling_governor scaling_cur_freq cpuinfo_max_freq related_cpus; do
    [ -r "$policy/$name" ] && say "${policy##*/} $name" cat "$policy/$name"
  done
done
say thermalservice dumpsys thermalservice
say battery dumpsys battery
say current_now cat /sys/class/power_supply/battery/current_now
true
"""

#: `Thermal Status` of Android's PowerManager, THERMAL_STATUS_NONE to THERMAL_STATUS_SHUTDOWN.
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
#: Types of android.os.Temperature that are no temperatures: voltage, current and percentage of the battery.
_NO_TEMPERATURE = {6, 7, 8}
_SENSOR = re.compile(r"Temperature\{mValue=([^,]+), mType=(-?\d+), mName=([^,}]*)")
#: `status` of dumpsys battery, BatteryManager.BATTERY_STATUS_UNKNOWN and so on.
_BATTERY = {1: "Unknown", 2: "Charging", 3: "Discharging", 4: "Not charging", 5: "Full"}


def parse(text: str) -> dict[str, Any]:
    """What SCRIPT printed, as facts with the names that other devices use.

    Frequencies are MHz, of the fastest cores; temperatures degrees Celsius; memory bytes; the battery's current
    microamperes, its sign as the maker of the phone chose it.
    """
    sections = _sections(text)
    properties = parse_properties(sections.get("getprop", ""))
    system, release, machine = [*sections.get("uname", "").split(), None, None, None][:3]
    thermal = parse_thermal(sections.get("thermalservice", ""))
    cpuinfo = sections.get("cpuinfo", "")
    chip = [properties.get(f"ro.soc.{name}") for name in ("manufacturer", "model")]
    soc = " ".join(part for part in chip if part) or properties.get("ro.board.platform")
    why = _why_emulated(properties, machine or "", cpuinfo)
    maker = [properties.get("ro.product.manufacturer"), properties.get("ro.product.model")]
    memory = re.search(r"MemTotal:\s+(\d+) kB", sections.get("meminfo", ""))
    load = sections.get("loadavg", "").split()
    cores = len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or None
    found = {
        "machine": machine,
        "system": f"{system} {release}",
        "distribution": f"Android {properties.get('ro.build.version.release', '?')}",
        "model": " ".join(part for part in maker if part) or None,
        "soc": soc,
        "cpu": soc,
        "cores": cores,
        "usable_cores": _listed(sections.get("online", "")) or cores or 1,
        "features": sorted(_features(cpuinfo) & set(TELLING_FEATURES)),
        **parse_frequencies(sections),
        "temperature_c": max(thermal["zones"].values(), default=None),
        "thermal_zones": thermal["zones"] or None,
        "throttled": thermal["throttled"],
        "load_average": float(load[0]) if load else 0.0,
        "memory_bytes": int(memory[1]) * 1024 if memory else None,
        "virtual_machine": False,
        "emulated": why is not None,
    }
    further = {
        "emulated_because": why,
        "sdk": properties.get("ro.build.version.sdk"),
        "build": properties.get("ro.build.fingerprint"),
        "battery": parse_battery(sections.get("battery", ""), sections.get("current_now", "")),
    }
    return found | {name: value for name, value in further.items() if value}


def parse_properties(text: str) -> dict[str, str]:
    """`[key]: [value]`, as getprop prints them; a value may go over several lines."""
    return dict(re.findall(r"^\[([^\]]+)\]: \[(.*?)\]$", text, re.MULTILINE | re.DOTALL))


def parse_thermal(text: str) -> dict[str, Any]:
    """`dumpsys thermalservice`: `zones` (name -> degrees Celsius) and `throttled` (words, None where it is not told).

    Sensors are read now where the phone's thermal driver gives them, else as they were last reported. A sensor that
    is not there reports 0.0, and some report numbers that no phone survives: they are left out.
    """
    status = re.search(r"Thermal Status: (\d+)", text)
    _, now, current = text.partition("Current temperatures from HAL:")
    source = re.split(r"\n[^\n]*(?:cooling devices|static thresholds)", current if now else text)[0]
    zones: dict[str, float] = {}
    for value, kind, name in _SENSOR.findall(source):
        try:
            celsius = float(value)
        except ValueError:
            continue
        if int(kind) not in _NO_TEMPERATURE and celsius != 0.0 and -40.0 < celsius < 150.0:
            zones[name] = celsius
    if status is None:
        return {"zones": zones, "throttled": None}
    level = int(status[1])
    word = THERMAL[level] if level < len(THERMAL) else str(level)
    return {"zones": zones, "throttled": [f"thermal status {word}"] if level else []}


def parse_battery(text: str, current: str = "") -> dict[str, Any]:
    """`dumpsys battery`: percent, status, temperature_c, volts, powered, and microamperes where they can be read."""
    fields = dict(re.findall(r"^\s*([A-Za-z ]+): (\S+)\s*$", text, re.MULTILINE))

    def number(name: str) -> int | None:
        value = fields.get(name, "")
        return int(value) if re.fullmatch(r"-?\d+", value) else None

    level, scale, tenths, millivolts = (number(name) for name in ("level", "scale", "temperature", "voltage"))
    # Some makers print `current now` above as well, in units of their own: the kernel's figure alone is sure.
    microamperes = int(current) if re.fullmatch(r"\s*-?\d+\s*", current) else None
    powered = [name for name in ("AC", "USB", "Wireless", "Dock") if fields.get(f"{name} powered") == "true"]
    found = {
        "percent": round(100 * level / (scale or 100)) if level is not None else None,
        "status": _BATTERY.get(number("status") or 0),
        "temperature_c": tenths / 10 if tenths else None,
        "volts": millivolts / 1000 if millivolts else None,
        "powered": powered or None,
        "microamperes": microamperes,
    }
    return {name: value for name, value in found.items() if value is not None}


def parse_frequencies(sections: dict[str, str]) -> dict[str, Any]:
    """Governor and frequency of the fastest cluster, and the highest frequency of each: `0-3: 1803 MHz`."""
    clusters: list[tuple[float, str, str, float | None]] = []
    for policy in sorted({name.split()[0] for name in sections if name.startswith("policy")}):
        told = {name.split()[1]: text.strip() for name, text in sections.items() if name.startswith(f"{policy} ")}
        most, now = (told.get(name, "") for name in ("cpuinfo_max_freq", "scaling_cur_freq"))
        if most.isdigit():
            current = int(now) / 1000 if now.isdigit() else None
            clusters.append((int(most) / 1000, told.get("related_cpus", ""), told.get("scaling_governor", ""), current))
    if not clusters:
        return {"governor": None, "mhz": None, "mhz_most": None}
    most_mhz, _, governor, mhz = max(clusters, key=lambda cluster: cluster[0])
    named = [f"{cpus.replace(' ', ',')}: {highest:.0f} MHz" for highest, cpus, _, _ in clusters]
    return {"governor": governor or None, "mhz": mhz, "mhz_most": most_mhz, "clusters": named}


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^== (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip("\r\n") for part in parts[2::2]), strict=True))


def _features(cpuinfo: str) -> set[str]:
    line = re.search(r"^(?:Features|flags)\s*: (.*)$", cpuinfo, re.MULTILINE)
    return set(line[1].split()) if line else set()


def _listed(ranges: str) -> int | None:
    """How many CPUs `0-3,6` names."""
    spans = re.findall(r"(\d+)(?:-(\d+))?", ranges)
    return sum(int(last or first) - int(first) + 1 for first, last in spans) or None


def _why_emulated(properties: dict[str, str], machine: str, cpuinfo: str) -> str | None:
    """What gives an emulator or a stand-in away; None on a phone."""
    hardware = properties.get("ro.hardware", "")
    if properties.get("ro.boot.qemu") == "1" or properties.get("ro.kernel.qemu") == "1":
        return "its properties say qemu"
    if hardware in ("goldfish", "ranchu", "cutf_cvm"):
        return f"its hardware is {hardware}, the Android emulator's"
    if machine == "aarch64" and re.search(r"^(vendor_id|flags)\s*:", cpuinfo, re.MULTILINE):
        return "uname says aarch64, /proc/cpuinfo is of an x86 processor"
    return None
