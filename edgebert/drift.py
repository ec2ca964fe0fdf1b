"""Whether the machine changed its speed while a model was measured on it. numpy only.

Latencies are taken over texts of many lengths, so a slow minute hides among long texts, and a run of long texts
looks like a slow minute. Each sample is therefore first compared with what its own length takes (`levelled`).

What is left is searched for the place where its *floor* changes most (Page 1955, "A test for a change in a parameter
occurring at an unknown point"): the level that a fifth of the samples stay below. Other programs, and other guests of
a virtual machine's host, can only make answers slower; as long as they leave every other answer alone the floor hardly
moves, however far they push the rest. A processor that runs slower moves it. So a moved floor is the machine's
own doing and makes a measurement invalid, and a moved median alone is noise, which the interval of the figure has to
tell. A change counts when it is both larger than `DRIFT` and larger than what noise of this size and persistence
explains; the limits are calibrated by simulation and on recorded traces (`tests/drift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A change of speed of more than this share makes a measurement invalid.
DRIFT = 0.05

#: Samples below which a launch says nothing about its own course.
FEWEST = 40

#: The floor is this quantile, and its density is read off the quantiles so far from it on both sides.
_FLOOR, _ASIDE = 0.2, 0.1

#: Samples of one launch that are looked at together for whether they come in clusters, and in a stretch at least.
_CLUSTER, _STRETCH = 10, 15

#: Standard errors that a change must exceed: about one false alarm in 1,000 launches.
_SURE = 4.5

#: The same between launches, of which there are few.
_SURE_BETWEEN = 7.0

#: Levels of launches and of lengths are told apart in so many rounds at most, or until none moves by so much.
_ROUNDS, _CLOSE = 12, 2e-3

#: Places within a launch where a change is looked for: what lasts for less than a third or so may be somebody else.
_PLACES = np.linspace(0.3, 0.7, 9)


@dataclass(frozen=True)
class Change:
    """A change of speed.

    Args:
        share: how much slower (quicker, when negative) the later stretch is: 0.1 is 10 %.
        launch: the launch that it happened in, from 0; None for all of them at the same place, or between launches.
        where: the place in the launch, or (`between`) in the row of launches, 0 to 1.
        between: it lies between launches, not within.
    """

    share: float
    launch: int | None
    where: float
    between: bool = False

    def __str__(self) -> str:
        """`launch 2 became 10 % slower half way through`."""
        what = f"{abs(self.share):.0%} {'slower' if self.share > 0 else 'quicker'}"
        if self.between:
            return f"its later launches were {what} than its earlier ones"
        who = "its launches" if self.launch is None else f"launch {self.launch + 1}"
        return f"{who} became {what} after {self.where:.0%} of the samples"


def levelled(launches: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]] | None = None) -> list[Floats]:
    """Samples as log of their ratio to what a text of that length takes: 0.1 is 10.5 % slower than its like.

    What a length takes is the median over all launches, each launch's own level taken out before.

    Args:
        launches: latencies in ms, one sequence for each process launch.
        tokens: the text lengths of the same samples in tokens; None when all are alike.

    Raises:
        ValueError: the two do not fit each other.
    """
    logs = [np.log(np.maximum(np.asarray(launch, dtype=np.float64), 1e-9)) for launch in launches]
    if tokens is None or not any(map(len, logs)):
        return [launch - _median(np.concatenate([np.empty(0), *logs])) for launch in logs]
    lengths = [np.asarray(each, dtype=np.float64) for each in tokens]
    if [launch.size for launch in logs] != [each.size for each in lengths]:
        raise ValueError("there must be one text length for each sample")
    every = np.concatenate(lengths)
    offsets = np.array([_median(launch) for launch in logs])
    for _ in range(_ROUNDS):  # a launch's own level is first seen through whatever lengths it happened to draw
        flat = np.concatenate([launch - offset for launch, offset in zip(logs, offsets, strict=True)])
        places, heights = _reference(every, flat)
        bare = [launch - np.interp(each, places, heights) for launch, each in zip(logs, lengths, strict=True)]
        before, offsets = offsets, np.array([_median(launch) for launch in bare])
        if np.ptp(offsets - before) < _CLOSE:
            break
    return bare


def find(launches: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]] | None = None) -> Change | None:
    """The largest change of speed within a launch, in all launches at the same place, or between launches; or None.

    Args:
        launches: latencies in ms, one sequence for each process launch.
        tokens: the text lengths of the same samples in tokens; None when all are alike.
    """
    bare = levelled(launches, tokens)
    found = [change for number, launch in enumerate(bare) if (change := _within(launch, number))]
    enough = [launch for launch in bare if launch.size >= FEWEST]
    floors = [float(np.quantile(launch, _FLOOR)) for launch in enough]
    if len({launch.size for launch in bare}) == 1 and len(enough) > 1:
        # One after the other by their place in the launch, so that what happens to all at one place is one change.
        alike = np.stack([launch - floor for launch, floor in zip(enough, floors, strict=True)], axis=1)
        found += [change] if (change := _within(alike.ravel(), None, _CLUSTER * len(enough))) else []
    if between := _between(floors):
        found.append(between)
    return max(found, key=lambda change: abs(change.share), default=None)


def _reference(tokens: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """What each length takes: the lengths there are, ascending, and the log latency of each.

    The median of all samples of that length, and where these are few, of those of the next lengths on both sides: a
    running median, which keeps the steps of engines that pad (Tukey 1977, "Exploratory Data Analysis"). At the ends,
    where neighbours stand on one side only, the slope among them goes on.
    """
    order = np.argsort(tokens, kind="stable")
    tokens, logs = tokens[order], logs[order]
    lengths, firsts, counts = np.unique(tokens, return_index=True, return_counts=True)
    wanted = int(np.clip(tokens.size // 40, 15, 41))
    heights = []
    for length, first, count in zip(lengths, firsts, counts, strict=True):
        more = max(0, (wanted - int(count) + 1) // 2)
        near = slice(max(0, int(first) - more), int(first) + int(count) + more)
        x, y = tokens[near], logs[near]
        heights.append(float(np.median(y)) + (_slope(x, y) * (length - x.mean()) if more else 0.0))
    return lengths, np.array(heights)


def _slope(x: Floats, y: Floats) -> float:
    """Rise of `y` with `x`, least squares without the samples furthest from the median; 0 where `x` is constant."""
    away = np.abs(y - np.median(y))
    near = away <= np.quantile(away, 0.9)
    x, y = x[near] - x[near].mean(), y[near]
    square = float(x @ x)
    return float(x @ y) / square if square > 0 else 0.0


def _within(launch: Floats, number: int | None, cluster: int = _CLUSTER) -> Change | None:
    """The change within one launch, from one floor to another that lasts, or None."""
    if launch.size < FEWEST:
        return None
    best: tuple[float, float, float] = (0.0, 0.0, 0.0)
    for place in _PLACES:
        at = round(place * launch.size)
        if min(at, launch.size - at) >= _STRETCH:
            (before, doubt), (after, other) = (_floor(part, cluster) for part in (launch[:at], launch[at:]))
            best = max(best, (abs(after - before) / float(np.hypot(doubt, other)), after - before, float(place)))
    sure, step, where = best
    share = float(np.expm1(step))
    return Change(share, number, where) if sure > _SURE and abs(share) > DRIFT else None


def _floor(part: Floats, cluster: int) -> tuple[float, float]:
    """The floor of a stretch and its standard error.

    The error of a quantile is that of the share of samples below it, over their density there. Where quick samples
    come in clusters they tell less: the error grows with how much more their number varies from cluster to cluster
    than independent ones' would (overdispersion; McCullagh & Nelder 1989, section 4.5).
    """
    low, floor, high = np.quantile(part, (_FLOOR - _ASIDE, _FLOOR, _FLOOR + _ASIDE))
    density = 2 * _ASIDE / max(float(high - low), 1e-3)
    size, variance = float(part.size), _FLOOR * (1 - _FLOOR)
    counts = np.array([below.mean() for below in np.array_split(part <= floor, max(1, part.size // cluster))])
    varied = float(counts.var(ddof=1)) / (variance * counts.size / size) if counts.size > 2 else 1.0
    return float(floor), float(np.sqrt(variance * np.clip(varied, 1.0, cluster) / size)) / density


def _between(levels: Sequence[float]) -> Change | None:
    """The step between the floors of earlier and later launches, at least two on each side, or None."""
    values = np.asarray(levels)
    found: Change | None = None
    for at in range(2, values.size - 1):
        early, late = values[:at], values[at:]
        step = float(late.mean() - early.mean())
        rest = np.concatenate([early - early.mean(), late - late.mean()])
        error = np.sqrt(float(rest @ rest) / (values.size - 2) * (1 / early.size + 1 / late.size))
        share = float(np.expm1(step))
        if abs(share) > DRIFT and abs(step) > _SURE_BETWEEN * error and (not found or abs(share) > abs(found.share)):
            found = Change(share, None, at / values.size, between=True)
    return found


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else 0.0
