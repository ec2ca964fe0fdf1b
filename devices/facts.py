"""What a Linux machine says of itself: the facts that stand beside every figure measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

#: Features that decide which integer kernels an engine can use.
TELLING_FEATURES = (
    "sse4_1", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def linux_facts(root: Path = Path("/")) -> dict[str, Any]:
    """CPU, features, cores, governor, frequency, temperature, load and memory of the machine below `root`.

    What the machine does not tell is None, never a guess. Frequencies are MHz, temperatures degrees Celsius,
    memory bytes.
    """
    info = _cpuinfo(_read(root / "proc/cpuinfo") or "")
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    frequency = _integer(cpu / "scaling_cur_freq")
    memory = _read(root / "proc/meminfo") or ""
    total = next((int(line.split()[1]) * 1024 for line in memory.splitlines() if line.startswith("MemTotal:")), None)
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(root),
        "model": (_read(root / "proc/device-tree/model") or "").strip("\0\n ") or None,
        "cpu": info.get("model name"),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "features": sorted(set(info.get("features", "").split()) & set(TELLING_FEATURES)),
        "governor": _read(cpu / "scaling_governor"),
        "mhz": frequency / 1000 if frequency else _number(info.get("cpu MHz")),
        "temperature_c": _temperature(root),
        "load_average": os.getloadavg()[0],
        "memory_bytes": total,
        "virtual_machine": "hypervisor" in info.get("features", "").split(),
        "emulated": is_emulated(info),
    }


def is_emulated(info: dict[str, str]) -> bool:
    """Whether the CPU is emulated in software (qemu): its times say nothing about any real device.

    A virtual machine that runs on the real CPU is not emulated.
    """
    name = info.get("model name", "")
    return "QEMU" in name or "TCG" in name


def _cpuinfo(text: str) -> dict[str, str]:
    """The first processor's fields; `features` is `flags` on x86 and `Features` on ARM."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    fields["features"] = fields.get("flags") or fields.get("Features") or ""
    return fields


def _distribution(root: Path) -> str | None:
    for line in (_read(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return None


def _temperature(root: Path) -> float | None:
    """The hottest thermal zone, in degrees Celsius."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    values = [value / 1000 for zone in zones if (value := _integer(zone)) is not None]
    return max(values, default=None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None


def _integer(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text and text.lstrip("-").isdigit() else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
