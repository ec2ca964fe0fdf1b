"""How a measurement went on: what the worker's samples and its looks at the machine say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgebert import drift
from edgebert.report.parts import Moment
from edgebert.watch import total

Readings = Sequence[Sequence[Mapping[str, Any]]]


def moments(
    launches: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]] | None, watched: Readings
) -> tuple[Moment, ...]:
    """One moment for each look at the machine, with the median of the samples before it.

    Args:
        launches: latencies in ms.
        tokens: the text lengths of the same samples; None when they are not known.
        watched: the readings of `edgebert.watch` in each launch, each with `n`, the samples before it.
    """
    fits = [sum(reading["n"] for reading in launch) for launch in watched] == [len(launch) for launch in launches]
    if not launches or not fits:
        return ()
    typical = float(np.median(np.concatenate([np.asarray(launch) for launch in launches])))
    first = watched[0][0]["at"] - watched[0][0]["seconds"]
    found = []
    for number, (launch, readings) in enumerate(zip(drift.levelled(launches, tokens), watched, strict=True)):
        parts = np.split(launch, np.cumsum([reading["n"] for reading in readings])[:-1])
        for part, reading in zip(parts, readings, strict=True):
            found.append(
                Moment(
                    launch=number,
                    seconds=round(reading["at"] - first, 3),
                    ms=round(typical * float(np.exp(np.median(part))), 5),
                    mhz=reading.get("mhz"),
                    temperature_c=reading.get("temperature_c"),
                    watts=watts(reading),
                )
            )
    return tuple(found)


def summary(watched: Readings) -> dict[str, Any]:
    """The readings in a few facts: extremes of frequency and temperature, and what others did to the machine."""
    readings = [reading for launch in watched for reading in launch]
    found: dict[str, Any] = {}
    for name, fact, extreme in (
        ("mhz", "mhz_least", min),
        ("mhz", "mhz_most", max),
        ("temperature_c", "temperature_c_most", max),
    ):
        if known := [reading[name] for reading in readings if reading.get(name) is not None]:
            found[fact] = extreme(known)
    for name, fact in (
        ("waited", "waiting_share"),
        ("stolen", "stolen_share"),
        ("others", "other_programs_cpus"),
    ):
        if (value := total(readings, name)) is not None:
            found[fact] = round(value, 4)
    if words := list(dict.fromkeys(word for reading in readings for word in reading.get("throttled") or ())):
        found["throttled"] = words
    return found


def watts(reading: Mapping[str, Any]) -> float | None:
    """Mean power since the reading before, by the energy counter, else what the battery gives; None without either."""
    if reading.get("joules") is not None:
        return round(float(reading["joules"]) / float(reading["seconds"]), 3)
    return None if reading.get("watts") is None else float(reading["watts"])


def answers(watched: Readings) -> int:
    """How many answers lie between the readings: samples, or in sustained load many to a sample."""
    return sum(reading.get("answers", reading["n"]) for launch in watched for reading in launch)


def millijoules(watched: Readings) -> float | None:
    """Energy of the machine for one answer, idle power included; None where nothing counts it."""
    counted = [[reading for reading in launch if watts(reading) is not None] for launch in watched]
    energy = sum((watts(reading) or 0.0) * reading["seconds"] for launch in counted for reading in launch)
    return round(1000 * energy / answers(counted), 4) if any(counted) else None
