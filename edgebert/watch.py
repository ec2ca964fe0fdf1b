"""What the machine does while a model is measured on it: read between samples, by the process that is measured.

Reading takes well under a millisecond and starts no process. What a machine does not tell is left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Bits of a Raspberry Pi's `get_throttled` that say what holds now; what has happened since boot is 16 higher
#: (Raspberry Pi documentation, "vcgencmd").
THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}

#: The same figure in the kernel of Raspberry Pi OS, without starting a process: hexadecimal, without 0x.
GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"

_RAPL = "sys/class/powercap"


def throttled(bits: int) -> list[str]:
    """The words of the four lowest bits of `get_throttled`."""
    return [word for bit, word in THROTTLED.items() if bits >> bit & 1]


def get_throttled(root: Path = Path("/")) -> int | None:
    """The bits that the kernel of a Raspberry Pi gives; None elsewhere."""
    try:
        return int((root / GET_THROTTLED).read_text().strip(), 16)
    except (OSError, ValueError):
        return None


@dataclass
class Watch:
    """Reads what has changed since it was made or last read.

    Args:
        root: stands for `/`.
    """

    root: Path = Path("/")
    _before: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The counters as they stand now."""
        self._before = self._counters()

    def read(self) -> dict[str, Any]:
        """What happened since the last reading, and how things stand now.

        Returns:
            `at` (seconds since the epoch), `seconds` (since the last reading), and where the machine tells them:
            `waited` (share of that time in which a thread of this process was ready to run and had no CPU; of the
            thread that waited longest), `stolen` (share of the CPUs that the host of this virtual machine took),
            `others` (CPUs that other programs kept busy), `mhz`, `temperature_c`, `throttled` (words), `joules` (of
            the whole processor), `watts` (that a battery gives now).
        """
        now, before = self._counters(), self._before
        self._before = now
        passed = {name: value - before[name] for name, value in now.items() if name in before}
        seconds = max(passed["seconds"], 1e-9)
        found: dict[str, Any] = {"at": round(time.time(), 3), "seconds": round(seconds, 6)}
        if waits := [value for name, value in passed.items() if name.startswith("waited ")]:
            found["waited"] = round(max(waits) / seconds, 4)
        if "busy" in passed:
            found["stolen"] = round(max(0.0, passed["stolen"]) / seconds / (os.cpu_count() or 1), 4)
            found["others"] = round((passed["busy"] - passed["own"]) / seconds, 3)  # of ticks: may be below 0
        if passed.get("joules", -1.0) >= 0:  # the counter runs over now and then
            found["joules"] = round(passed["joules"], 4)
        return found | self._state()

    def _counters(self) -> dict[str, float]:
        found = {"seconds": time.monotonic(), "own": time.process_time()}
        for task in _listed(self.root / "proc/self/task"):
            if len(waits := _fields(task / "schedstat")) > 1:  # nanoseconds running, nanoseconds waiting, …
                found[f"waited {task.name}"] = int(waits[1]) / 1e9
        ticks = _fields(self.root / "proc/stat", lines=1)
        if len(ticks) > 8:
            tick = os.sysconf("SC_CLK_TCK")
            user, nice, system, _, _, irq, softirq, steal = (int(value) / tick for value in ticks[1:9])
            found |= {"busy": user + nice + system + irq + softirq, "stolen": steal}
        energy = [_number(zone / "energy_uj") for zone in _packages(self.root)]
        if known := [value for value in energy if value is not None]:
            found["joules"] = sum(known) / 1e6
        return found

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        cpus = [_number(cpu / "cpufreq/scaling_cur_freq") for cpu in _own_cpus(self.root)]
        if known := [value for value in cpus if value is not None]:
            found["mhz"] = max(known) / 1000
        zones = [_number(zone / "temp") for zone in _listed(self.root / "sys/class/thermal", "thermal_zone")]
        if hot := [value for value in zones if value is not None]:
            found["temperature_c"] = max(hot) / 1000
        if (bits := get_throttled(self.root)) is not None:
            found["throttled"] = throttled(bits)
        if (watts := _battery_watts(self.root)) is not None:
            found["watts"] = watts
        return found


def total(readings: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The mean of a share or rate over readings, each weighing as long as it lasted; None where nobody read it.

    The kernel counts what CPUs did in ticks of 10 ms or so, so a short reading may be too high, and the next one below
    0. Their mean is right, as long as nothing is cut off before.
    """
    known = [reading for reading in readings if reading.get(name) is not None]
    seconds = sum(reading["seconds"] for reading in known)
    return max(0.0, sum(reading[name] * reading["seconds"] for reading in known) / seconds) if seconds else None


def _packages(root: Path) -> list[Path]:
    """Whole processors with an energy counter (RAPL), none of their parts; mostly readable by root alone."""
    return [zone for zone in _listed(root / _RAPL, "intel-rapl:") if zone.name.count(":") == 1]


def _battery_watts(root: Path) -> float | None:
    """What the fuel gauge says that a battery gives; None when it is charged or there is none."""
    for supply in _listed(root / "sys/class/power_supply"):
        if _fields(supply / "type") != ["Battery"] or _fields(supply / "status") != ["Discharging"]:
            continue
        power, current, voltage = (_number(supply / name) for name in ("power_now", "current_now", "voltage_now"))
        if power is not None:
            return abs(power) / 1e6
        if current is not None and voltage is not None:  # microamperes and microvolts
            return abs(current) * voltage / 1e12
    return None


def _own_cpus(root: Path) -> list[Path]:
    return [root / f"sys/devices/system/cpu/cpu{number}" for number in sorted(os.sched_getaffinity(0))[:8]]


def _listed(folder: Path, prefix: str = "") -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if name.startswith(prefix)]  # noqa: PTH208
    except OSError:
        return []


def _fields(path: Path, lines: int | None = None) -> list[str]:
    try:
        with path.open() as handle:
            return (handle.read() if lines is None else handle.readline()).split()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    fields = _fields(path)
    try:
        return int(fields[0]) if fields else None
    except ValueError:
        return None
