"""Measuring again what came out invalid, after a rest; a bad measurement is replaced whole, never averaged away."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from edgebert.check import Candidate, Plan, measure_all
from edgebert.measurement import Measurement
from edgebert.progress import Progress
from edgebert.protocols import Device
from edgebert.tasks import Record

#: A machine has cooled when it is within so many degrees of where it began.
_DEGREES = 3.0

#: And is quiet when its load per CPU is below this; our own measurement leaves some behind for a minute.
_LOAD = 0.75


@dataclass(frozen=True)
class Patience:
    """How much is done for a valid measurement.

    Args:
        repeats: how often an invalid one is taken again.
        rest: the most seconds to wait before that; the wait ends as soon as the machine is cool and quiet.
        look: seconds between two looks at it.
    """

    repeats: int = 2
    rest: float = 60.0
    look: float = 3.0


def measure_validly(
    candidates: Sequence[Candidate],
    device: Device,
    records: Sequence[Record],
    plan: Plan,
    progress: Progress,
    patience: Patience,
    *,
    keep: Path | None = None,
    quiet: AbstractContextManager[object] | None = None,
) -> list[Measurement]:
    """`measure_all`, and again for those whose times came out invalid.

    What stays invalid keeps the reasons of its last attempt; `attempts` says what the earlier ones showed.

    Raises:
        ArtifactError, DeviceError: as `measure_all`.
    """
    quiet = quiet or nullcontext()
    found = measure_all(candidates, device, records, plan, progress, keep, quiet)
    rested: Mapping[str, Any] = found[0].facts_before if found else {}
    for _ in range(patience.repeats):
        bad = [index for index, measured in enumerate(found) if measured.invalid]
        if not bad:
            break
        for index in bad:
            progress.say(f"{found[index].name} on {device.name} is invalid: {'; '.join(found[index].invalid)}")
        waited = cool(device, rested, patience)
        progress.say(f"measuring {len(bad)} again on {device.name} after {waited:.0f} s of rest")
        chosen = [candidates[index] for index in bad]
        again = measure_all(chosen, device, records, replace(plan, predict=False), progress, keep, quiet)
        for index, measured in zip(bad, again, strict=True):
            found[index] = _replaced(found[index], measured)
    return found


def cool(device: Device, rested: Mapping[str, Any], patience: Patience) -> float:
    """Wait until the machine is as cool as it was and quiet, at most `patience.rest` seconds; returns the seconds."""
    start = time.monotonic()
    while not _calm(device.facts(), rested):
        left = patience.rest - (time.monotonic() - start)
        if left <= 0:
            break
        time.sleep(min(patience.look, left))
    return time.monotonic() - start


def _calm(facts: Mapping[str, Any], rested: Mapping[str, Any]) -> bool:
    now, then = facts.get("temperature_c"), rested.get("temperature_c")
    hot = now is not None and then is not None and now > then + _DEGREES
    busy = (facts.get("load_average") or 0.0) > _LOAD * (facts.get("cores") or 1)
    return not (hot or busy or facts.get("throttled"))


def _replaced(old: Measurement, new: Measurement) -> Measurement:
    """The new times with the old answers, which do not depend on how busy the machine was."""
    known = [value for launch in old.latency_ms for value in launch]
    attempt = {"invalid": list(old.invalid), "p50_ms": median(known) if known else None}
    return replace(
        new, metric=old.metric, units=old.units, correct=old.correct, answers=old.answers, figures=old.figures,
        vectors=old.vectors, golden=new.golden or old.golden, partial=(*old.partial, *new.partial),
        attempts=(*old.attempts, attempt),
    )  # fmt: skip
