"""Clock, warm-up and memory: the measuring that runs on the device.

What the numbers mean, and why they are taken this way: `docs/measuring.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

#: Warm-up ends when the median of the last window is within this share of the one before.
SETTLED = 0.03
WARM_UP_WINDOW = 16
WARM_UP_SECONDS = 3.0


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that one call takes, by the monotonic clock."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def warm_up(call: Callable[[int], object], *, window: int = WARM_UP_WINDOW, seconds: float = WARM_UP_SECONDS) -> int:
    """Call until the running median settles, or `seconds` have passed; returns how many calls it took.

    Args:
        call: takes the number of the call, so that it can go through the real texts.
        window: calls that one median is taken over.
        seconds: the most that warming up may take.
    """
    deadline = time.monotonic() + seconds
    before: float | None = None
    count = 0
    while True:
        samples = []
        for _ in range(window):
            number = count
            samples.append(timed(lambda: call(number)))  # noqa: B023 (called at once)
            count += 1
            if time.monotonic() > deadline and count >= window:
                return count
        now = median(samples)
        if before is not None and abs(now - before) <= SETTLED * before:
            return count
        before = now


def peak_rss_bytes() -> int:
    """The most memory that this process has held (Linux: VmHWM of /proc/self/status, which exec resets)."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
