"""Whether the machine changed its speed while a model was measured on it. numpy only.

Latencies are taken over texts of many lengths, so a slow minute hides among long texts, and a run of long texts
looks like a slow minute. Each sample is therefore first compared with what its own length takes (`levelled`). What
is left is cut into blocks, whose middles no single spike moves, and searched for the place where the level changes
most (Page 1955, "A test for a change in a parameter occurring at an unknown point"; Olshen & Venkatraman 2004 for
segments). A change counts when it is both larger than `DRIFT` and larger than what noise of this size and
persistence explains; the limits are calibrated by simulation (`tests/drift`).
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

#: Blocks that a launch is cut into at most, and samples in a block at least.
_BLOCKS, _IN_BLOCK = 20, 5

#: Standard errors that a change must exceed, were the noise known: about one false alarm in 1,000 launches.
_SURE = 3.8

#: The same between launches, of which there are few.
_SURE_BETWEEN = 7.0

#: The least share of a launch that a level must last, so that a hiccup is noise and not a change.
_LASTING = 0.15


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
    every, bare = np.concatenate(lengths), logs
    for _ in range(2):  # a launch's own level is first seen through whatever lengths it happened to draw
        flat = np.concatenate([launch - _median(rest) for launch, rest in zip(logs, bare, strict=True)])
        knots, heights = _reference(every, flat)
        bare = [launch - np.interp(each, knots, heights) for launch, each in zip(logs, lengths, strict=True)]
    return bare


def find(launches: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]] | None = None) -> Change | None:
    """The largest change of speed within a launch, in all launches at the same place, or between launches; or None.

    Args:
        launches: latencies in ms, one sequence for each process launch.
        tokens: the text lengths of the same samples in tokens; None when all are alike.
    """
    bare = levelled(launches, tokens)
    found = [change for number, launch in enumerate(bare) if (change := _within(launch, number))]
    if len({launch.size for launch in bare}) == 1 and len(bare) > 1 and bare[0].size >= FEWEST:
        alike = np.mean([launch - _median(launch) for launch in bare], axis=0)
        found += [change] if (change := _within(alike, None)) else []
    if between := _between([_median(launch) for launch in bare if launch.size >= FEWEST]):
        found.append(between)
    return max(found, key=lambda change: abs(change.share), default=None)


def _reference(tokens: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """What each length takes: median log latency at each length, or of neighbouring ones where samples are few."""
    order = np.argsort(tokens, kind="stable")
    tokens, logs = tokens[order], logs[order]
    most = int(np.clip(tokens.size // 25, 1, 24))
    borders = np.unique(np.searchsorted(tokens, np.quantile(tokens, np.linspace(0, 1, most + 1)[1:-1], method="lower")))
    parts = [part for part in np.split(np.arange(tokens.size), borders) if part.size]
    knots = np.array([tokens[part].mean() for part in parts])
    return knots, np.array([np.median(logs[part]) for part in parts])


def _within(launch: Floats, number: int | None) -> Change | None:
    """The change within one launch, from one level to another that lasts, or None."""
    if launch.size < FEWEST:
        return None
    count = min(_BLOCKS, launch.size // _IN_BLOCK)
    blocks = np.array([_middle(block) for block in np.array_split(launch, count)])
    least = max(2, round(_LASTING * count))
    best, change = 0.0, 0.0
    place = 0
    for at in range(least, count - least + 1):
        step = float(blocks[at:].mean() - blocks[:at].mean())
        sure = abs(step) / _error(blocks, at)
        if sure > best:
            best, change, place = sure, step, at
    share = float(np.expm1(change))
    # Fewer blocks tell the noise itself less well (the expansion of Student's t: Abramowitz & Stegun 1964, 26.7.5).
    if best < _SURE * (1 + (_SURE**2 + 1) / (4 * (count - 2))) or abs(share) <= DRIFT:
        return None
    return Change(share, number, place / count)


def _error(blocks: Floats, at: int) -> float:
    """Standard error of the step at `at`, from what is left of the blocks on both sides of it.

    Noise that persists from block to block makes means less sure than independent noise would: the error grows by
    sqrt((1 + r) / (1 - r)), r the correlation of neighbours (Anderson 1971, "Statistical Analysis of Time Series").
    """
    left, right = blocks[:at], blocks[at:]
    rest = np.concatenate([left - left.mean(), right - right.mean()])
    variance = float(rest @ rest) / (rest.size - 2)
    lag = float(rest[1:] @ rest[:-1]) / max(float(rest @ rest), 1e-18) + 1.0 / rest.size  # its bias, to first order
    r = min(max(lag, 0.0), 0.8)
    spread = np.sqrt(variance * (1 + r) / (1 - r) * (1 / left.size + 1 / right.size))
    return max(float(spread), 1e-4)


def _between(levels: Sequence[float]) -> Change | None:
    """The step between earlier and later launches, at least two on each side, or None."""
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


def _middle(block: Floats) -> float:
    """The mean without the lowest and the highest quarter: as steady as a mean, as deaf to spikes as a median."""
    cut = block.size // 4
    return float(np.sort(block)[cut : block.size - cut].mean())


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else 0.0
