"""A measurement that came out invalid is taken again, and never mixed with the good one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan
from edgebert.devices.local import Local
from edgebert.measurement import Measurement
from edgebert.progress import SILENT
from edgebert.repeat import Patience, cool, measure_validly
from edgebert.results import results_of

PLAN = Plan(launches=2, samples=45, lengths=(16,))


class Hot(Local):
    """This computer, which claims to be throttled for so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__("local", sys.executable)
        self.looks = looks

    def facts(self) -> dict[str, Any]:
        self.looks -= 1
        return super().facts() | {"load_average": 0.0, "throttled": ["severe"] if self.looks >= 0 else []}


def measured(looks: int, repeats: int, artifact: Artifact, records: list[dict[str, str]]) -> Measurement:
    device = Hot(looks)
    try:
        candidate = Candidate("tiny", "artifact", artifact)
        patience = Patience(repeats, rest=20, look=0.01)
        return measure_validly([candidate], device, records, PLAN, SILENT, patience)[0]
    finally:
        device.cleanup()


def throttled(found: Measurement) -> bool:
    return any("throttled" in reason for reason in found.invalid)


def test_a_bad_measurement_is_replaced_by_the_next(tiny_artifact: Artifact, records: list[dict[str, str]]) -> None:
    found = measured(4, 1, tiny_artifact, records)  # two looks while it measures, two while it cools
    assert not throttled(found) and len(found.attempts) == 1
    assert found.attempts[0]["invalid"][0] == "the machine was throttled: severe" and found.attempts[0]["p50_ms"] > 0
    assert [len(launch) for launch in found.latency_ms] == [45, 45], "samples of the bad one are not pooled"
    assert found.correct is not None and len(found.correct) == len(records), "answers are kept"
    (row,) = results_of([found])
    assert row.metric is not None and len(row.attempts) == 1 and row.over_time and row.tokens


def test_what_stays_bad_says_so_after_the_last_try(tiny_artifact: Artifact, records: list[dict[str, str]]) -> None:
    device_looks = 10_000
    start = time.monotonic()
    candidate = Candidate("tiny", "artifact", tiny_artifact)
    device = Hot(device_looks)
    found = measure_validly([candidate], device, records, PLAN, SILENT, Patience(2, rest=0.2, look=0.05))[0]
    device.cleanup()
    assert throttled(found) and len(found.attempts) == 2 and time.monotonic() - start < 120
    (row,) = results_of([found])
    assert not row.valid and "throttled" in row.invalid[0]


def test_no_repeats_when_none_are_wanted(tiny_artifact: Artifact, records: list[dict[str, str]]) -> None:
    assert measured(10_000, 0, tiny_artifact, records).attempts == ()


class Cooling:
    """A device that only tells facts, one after another."""

    def __init__(self, *temperatures: float) -> None:
        self.name, self._left = "stove", list(temperatures)

    def facts(self) -> dict[str, Any]:
        return {"temperature_c": self._left.pop(0) if len(self._left) > 1 else self._left[0], "cores": 2}


@pytest.mark.parametrize(("temperatures", "looks"), [((45.0,), 0), ((60.0, 55.0, 47.5), 2)])
def test_cooling_ends_when_the_machine_is_back(temperatures: tuple[float, ...], looks: int) -> None:
    waited = cool(Cooling(*temperatures), {"temperature_c": 45.0}, Patience(rest=5, look=0.05))  # type: ignore[arg-type]
    assert looks * 0.05 <= waited < looks * 0.05 + 1


def test_cooling_has_a_bound() -> None:
    waited = cool(Cooling(90.0), {"temperature_c": 45.0}, Patience(rest=0.3, look=0.05))  # type: ignore[arg-type]
    assert 0.3 <= waited < 1.3


SLOWED = Path(__file__).parents[1] / "support" / "slowed_worker.py"


class SlowedInMidRun(Local):
    """This computer, with a worker that becomes 10 % slower half way through each launch."""

    def __init__(self) -> None:
        super().__init__("local", sys.executable)
        program = self._scratch / "python"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SLOWED}" "$@"\n')
        program.chmod(0o755)
        self._python = str(program)


@pytest.mark.slow
def test_a_worker_slowed_in_mid_run_is_flagged_five_times_of_five(
    tiny_artifact: Artifact, records: list[dict[str, str]]
) -> None:
    plan = Plan(launches=3, samples=400, lengths=(), predict=False)
    told = []
    for _ in range(5):
        device = SlowedInMidRun()
        (found,) = measure_validly(
            [Candidate("tiny", "artifact", tiny_artifact)], device, records, plan, SILENT, Patience(0)
        )
        device.cleanup()
        told.append(found.invalid)
    assert all(told), told
    # On a busy machine the load may be all that is certain; on a quiet one it is the slowness that is seen.
    assert all("slower" in " ".join(each) or "other work" in " ".join(each) for each in told), told
