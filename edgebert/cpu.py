"""The processor cores that this process may use, and what tells one processor from another.

Everything is read from where Linux says it: the scheduler's affinity (which a cpuset narrows), the quota of the
control groups (which a container sets), the capacity or frequency of each core (which tells the big ones of a
big.LITTLE chip). What is not said there does not limit.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

#: Fields of `/proc/cpuinfo` that decide which kernels an engine takes, on x86 and on ARM.
_TELLING = frozenset({
    "vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part",
})  # fmt: skip

#: What decides how integer products are summed, the strongest first: as `/proc/cpuinfo` names it -> as numpy does.
_INSTRUCTIONS = {
    "amx_int8": "", "avx512_vnni": "AVX512VNNI", "avx_vnni": "", "avx512bw": "AVX512BW", "avx2": "AVX2",
    "ssse3": "SSSE3", "i8mm": "", "asimddp": "ASIMDDP", "asimd": "ASIMD", "neon": "NEON",
}  # fmt: skip

#: Of x86: these sum in 32 bits.
_EXACT = ("amx_int8", "avx512_vnni", "avx_vnni")


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
    if emulator := _emulator(root):  # the features above are those of the processor below it
        found |= {"emulator": emulator, "instructions": instructions(root)}
    return found


def instructions(root: Path = ROOT) -> str:
    """The strongest instructions for INT8 products here, `x86_64 avx512_vnni`: engines choose their kernels by them.

    Without VNNI (`avx2`, `avx512bw`) x86 sums U8 x S8 products in 16 bits, which saturate.
    """
    if _emulator(root):
        # qemu-user hands /proc/cpuinfo through; numpy asks the processor itself, as engines do.
        there = {name for name, known in _numpy_features().items() if known}
        found = next((name for name, numpys in _INSTRUCTIONS.items() if numpys in there), "")
    else:
        fields = identity(root)
        told = (fields.get("flags") or fields.get("Features") or "").split()
        found = next((name for name in _INSTRUCTIONS if name in told), "")
    return f"{platform.machine()} {found}".strip()


def saturates(root: Path = ROOT) -> bool:
    """Whether kernels for U8 x S8 products may saturate here: x86 without VNNI, or where nothing is said of it."""
    machine, _, strongest = instructions(root).partition(" ")
    return machine in ("x86_64", "AMD64") and strongest not in _EXACT


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
    """The share of time that the control groups (version 2 or 1) allow, in cores: 1.5; None without a limit."""
    limits = [_cpu_max(folder) or _cfs_quota(folder) for folder in _groups(root)]
    return min((limit for limit in limits if limit is not None), default=None)


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


def _emulator(root: Path) -> str:
    """The name of the qemu-user that this program runs in; empty where it runs on the processor itself."""
    try:
        command = (root / "proc/self/comm").read_text().strip()
    except OSError:
        return ""
    return command if command.startswith("qemu-") else ""


def _numpy_features() -> dict[str, bool]:
    """Feature -> whether this processor has it; numpy has no public name for the table (`numpy.show_runtime`)."""
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):  # the second before numpy 2
        with contextlib.suppress(ImportError):
            found: dict[str, bool] = importlib.import_module(name).__cpu_features__
            return found
    return {}


def _strength(core: int, root: Path) -> int:
    folder = root / f"sys/devices/system/cpu/cpu{core}"
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return 0


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups that may limit its time, and of every group above them.

    A container sees its own group as the topmost; with version 1 it may be told a path that is its host's and is not
    there, so that only the topmost one counts.
    """
    mounted = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 1 is mounted under all the names of its controllers, and linked to under each.
        top = mounted / "cpu" if controllers else mounted
        inner = top / group.strip("/")
        yield inner
        while inner != top:
            inner = inner.parent
            yield inner


def _cpu_max(folder: Path) -> float | None:
    """Of version 2: allowed and period in one file, "max" without a limit."""
    try:
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return None


def _cfs_quota(folder: Path) -> float | None:
    """Of version 1: a file each, -1 without a limit."""
    try:
        allowed, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return None if allowed <= 0 else allowed / period
    except (OSError, ValueError):
        return None
