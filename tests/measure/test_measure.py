"""Warm-up and memory: the measuring that runs on devices."""

from __future__ import annotations

import subprocess
import sys
import time

from edgebert import measure


def test_warm_up_goes_on_until_calls_are_steady() -> None:
    count = measure.warm_up(lambda number: time.sleep(0.001 + 0.010 * 0.9**number), window=8, seconds=20)
    assert count >= 24


def test_warm_up_ends_by_time() -> None:
    start = time.monotonic()
    measure.warm_up(lambda number: time.sleep(0.001 * (number + 1)), window=4, seconds=0.3)
    assert time.monotonic() - start < 2.0


def test_peak_rss_counts_what_was_held() -> None:
    code = (
        "from edgebert import measure\nbefore = measure.peak_rss_bytes()\n"
        "block = bytearray(200_000_000)\nprint(measure.peak_rss_bytes() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 190_000_000 < grown < 230_000_000
