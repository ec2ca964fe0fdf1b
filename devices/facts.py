"""What a Linux machine says of itself: the facts that stand beside every figure measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from .emulation import is_virtual, read_text, why_emulated
from .raspberry import raspberry_facts

#: Features that decide which integer kernels an engine can use.
TELLING_FEATURES = (
    "sse4_1", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip

#: Cores of ARM, by the `CPU part` of /proc/cpuinfo, which gives no name (Linux, arch/arm64/include/asm/cputype.h).
ARM_CORES = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1", "0xd46": "Cortex-A510", "0xd47": "Cortex-A710", "0xd48": "Cortex-X2",
    "0xd49": "Neoverse-N2", "0xd4d": "Cortex-A715", "0xd4e": "Cortex-X3", "0xd4f": "Neoverse-V2",
    "0xd80": "Cortex-A520", "0xd81": "Cortex-A720", "0xd82": "Cortex-X4",
}  # fmt: skip


def linux_facts(root: Path = Path("/"), machine: str | None = None) -> dict[str, Any]:
    """CPU, features, cores, governor, frequency, temperature, throttling, load and memory of the machine below `root`.

    What the machine does not tell is None or left out, never a guess. Frequencies are MHz, temperatures degrees
    Celsius, memory bytes. `machine` is what uname says; this machine's when None.
    """
    text = read_text(root / "proc/cpuinfo") or ""
    info = _cpuinfo(text)
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    frequency, highest = _integer(cpu / "scaling_cur_freq"), _integer(cpu / "scaling_max_freq")
    memory = read_text(root / "proc/meminfo") or ""
    total = next((int(line.split()[1]) * 1024 for line in memory.splitlines() if line.startswith("MemTotal:")), None)
    emulated = why_emulated(info, root, machine)
    found = {
        "machine": machine or platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(root),
        "model": read_text(root / "proc/device-tree/model") or None,
        "soc": _soc(root),
        "cpu": info.get("model name") or _arm_cores(text),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "features": sorted(set(info.get("features", "").split()) & set(TELLING_FEATURES)),
        "governor": read_text(cpu / "scaling_governor"),
        "mhz": frequency / 1000 if frequency else _number(info.get("cpu MHz")),
        "mhz_most": highest / 1000 if highest else None,
        "temperature_c": _temperature(root),
        "thermal_zones": _zones(root),
        "load_average": os.getloadavg()[0],
        "memory_bytes": total,
        "virtual_machine": "hypervisor" in info.get("features", "").split() or is_virtual(root),
        "emulated": emulated is not None,
    }
    further = {"emulated_because": emulated, "battery": _battery(root)} | raspberry_facts(root)
    return found | {name: value for name, value in further.items() if value is not None}


def _cpuinfo(text: str) -> dict[str, str]:
    """The first processor's fields; `features` is `flags` on x86 and `Features` on ARM."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    fields["features"] = fields.get("flags") or fields.get("Features") or ""
    return fields


def _arm_cores(text: str) -> str | None:
    """`4 × Cortex-A76`, big and little ones apart; an unknown core goes by its number."""
    parts = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("CPU part")]
    named = [ARM_CORES.get(part, f"ARM core {part}") for part in parts]
    return " + ".join(f"{named.count(name)} × {name}" for name in dict.fromkeys(named)) or None


def _soc(root: Path) -> str | None:
    """The chip, as the last entry of the device tree's `compatible` names it: `brcm,bcm2712`."""
    entries = (read_text(root / "proc/device-tree/compatible") or "").split("\0")
    return entries[-1].strip() or None


def _distribution(root: Path) -> str | None:
    for line in (read_text(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return None


def _zones(root: Path) -> dict[str, float] | None:
    """Thermal zone -> degrees Celsius; zones of one type are numbered."""
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        value = _integer(zone / "temp")
        if value is not None:
            name = read_text(zone / "type") or zone.name
            found[name if name not in found else f"{name} {zone.name.removeprefix('thermal_zone')}"] = value / 1000
    return found or None


def _temperature(root: Path) -> float | None:
    """The hottest thermal zone, in degrees Celsius."""
    return max((_zones(root) or {}).values(), default=None)


def _battery(root: Path) -> dict[str, Any] | None:
    """`percent`, `status` (Charging, Discharging, Full …) and `microwatts`, of the first battery that there is."""
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if read_text(supply / "type") == "Battery":
            fields = {"percent": _integer(supply / "capacity"), "status": read_text(supply / "status"),
                      "microwatts": _integer(supply / "power_now")}  # fmt: skip
            return {name: value for name, value in fields.items() if value is not None}
    return None


def _integer(path: Path) -> int | None:
    text = read_text(path)
    return int(text) if text and text.lstrip("-").isdigit() else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
