"""The processor cores that this process may use, and what tells one processor from another.

Everything is read from where Linux says it: the scheduler's affinity (which a cpuset narrows), the quota of the
control groups (which a container sets), the capacity or frequency of each core (which tells the big ones of a
big.LITTLE chip). What is not said there does not limit.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

#: Fields of `/proc/cpuinfo` that decide which kernels an engine takes, on x86 and on ARM.
_TELLING = frozenset({
    "vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part",
})  # fmt: skip


def identity(root: Path = ROOT) -> dict[str, str]:
    """Architecture, name and features of the first core: the same on machines that compute alike."""
    found = {"machine": platform.machine()}
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as handle:
            for line in handle:
                if not line.strip():  # the next core; all of them would take long on a large machine
                    break
                key, _, value = line.partition(":")
                if key.strip() in _TELLING:
                    found[key.strip()] = value.strip()
    except OSError:
        pass
    return found


def usable() -> list[int]:
    """The numbers of the cores that the calling thread may run on."""
    return sorted(os.sched_getaffinity(0))


def big(cores: list[int], root: Path = ROOT) -> list[int]:
    """Those of `cores` that belong to the strongest kind there; all of them where they are alike, or say nothing."""
    strength = {core: _strength(core, root) for core in cores}
    best = max(strength.values(), default=0)
    # Turbo frequencies of equal cores differ by a few percent; little cores have half the strength or less.
    return [core for core in cores if strength[core] >= 0.8 * best]


def quota(root: Path = ROOT) -> float | None:
    """The share of time that the control groups (version 2) allow, in cores: 1.5; None without a limit."""
    limits = []
    group = _group(root)
    while True:
        limit = _cpu_max(root / "sys/fs/cgroup" / group)
        if limit is not None:
            limits.append(limit)
        if not group:
            return min(limits, default=None)
        group = group.rpartition("/")[0]  # every group above limits too


def most_threads(root: Path = ROOT) -> int:
    """The most threads that are worth starting: big cores within the quota, at least 1."""
    count = len(big(usable(), root))
    limit = quota(root)
    return max(1, count if limit is None else min(count, int(limit)))


@contextlib.contextmanager
def on_big_cores() -> Iterator[None]:
    """Threads that are started inside stay on the big cores, where there are little ones; the caller is free after."""
    before = usable()
    chosen = big(before)
    if chosen == before:
        yield
        return
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _strength(core: int, root: Path) -> int:
    folder = root / f"sys/devices/system/cpu/cpu{core}"
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return 0


def _group(root: Path) -> str:
    """This process's control group, without the leading slash; a container sees its own as the topmost."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")


def _cpu_max(folder: Path) -> float | None:
    try:
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return None
