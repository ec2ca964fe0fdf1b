"""Drift on recorded traces: two small models in three engines, twice each, on a virtual machine of two cores.

Another program kept the core next door busy all the time, so that a report would call each of them invalid for that
alone. Here the question is whether the machine itself is said to have changed its speed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from traces import Trace

from edgebert import drift

#: What `benchmarks/aa.py` measured: one artifact, again and again, on a machine that was left alone.
ALIKE = Path(__file__).parents[2] / "benchmarks/results/aa/aa.json"

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))

#: Its answers take one of two times, a quarter apart, whichever text it is: a tenth more hides in that.
TWO_TIMES = "small-openvino-int8"


def read(path: Path) -> Trace:
    found = json.loads(path.read_text("utf-8"))
    return Trace(found["ms"], found["tokens"])


def slowed(made: Trace, random: np.random.Generator) -> Trace:
    """The same, each launch 10 % slower from some place in its middle on."""
    at = int(random.uniform(0.3, 0.7) * len(made.ms[0]))
    return Trace([[*launch[:at], *(ms * 1.1 for ms in launch[at:])] for launch in made.ms], made.tokens)


def test_a_busy_neighbour_is_not_the_machine() -> None:
    changes = {path.stem: drift.find(made.ms, made.tokens) for path in RECORDED if (made := read(path))}
    assert len(changes) == 12
    told = {name: str(change) for name, change in changes.items() if change}
    # One launch did become quicker for good: all of its samples, the floor included.
    assert list(told) == ["small-onnx-int8-1"] and told["small-onnx-int8-1"].startswith("launch 5 became 11% quicker")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_same_slowed_by_ten_per_cent_in_mid_run_is_flagged(path: Path) -> None:
    random, found = np.random.default_rng(0), 0
    for _ in range(10):
        made = slowed(read(path), random)
        found += drift.find(made.ms, made.tokens) is not None
    assert found == 10 or path.stem.startswith(TWO_TIMES)


def test_a_hundred_recorded_traces_slowed_in_mid_run_are_flagged() -> None:
    if not ALIKE.is_file():
        pytest.skip(f"{ALIKE} is absent: python benchmarks/aa.py")
    measured = [Trace(each["ms"], each["tokens"]) for each in json.loads(ALIKE.read_text("utf-8"))["measurements"]
                if not each["invalid"]]  # fmt: skip
    random = np.random.default_rng(0)
    traces = [slowed(measured[number % len(measured)], random) for number in range(100)]
    assert sum(drift.find(made.ms, made.tokens) is not None for made in traces) >= 99
