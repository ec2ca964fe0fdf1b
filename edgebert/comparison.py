"""Two measurements of latency: is the second one faster, slower, or can nobody say?

What differs between process launches (memory layout, the processor's mood, neighbours) is larger than what differs
within one, so a launch counts as one observation, however many samples it has (Kalibera & Jones 2013, "Rigorous
Benchmarking in Reasonable Time"). The interval of the ratio is Welch's t interval over the levels of the launches
(Welch 1947): with five launches a bootstrap over them is too narrow (see `edgebert.statistics`). Even honest
intervals know nothing of what the hour and the order of files do to a machine (Mytkowicz et al. 2009, "Producing
Wrong Data Without Doing Anything Obviously Wrong"), so a difference below `MARGIN` is never called one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgebert import drift
from edgebert.errors import require

Floats = NDArray[np.float64]
Word = Literal["faster", "slower", "no difference seen", "too noisy"]

#: Of the interval: in 2 of 100 comparisons of like with like it misses, by this alone.
CONFIDENCE = 0.98

#: Differences below this share are not called one: a virtual machine's speed wanders by as much from minute to minute.
MARGIN = 0.03

#: "No difference seen" means that one of this share is ruled out; else the measurement was too noisy to say.
RULED_OUT = 0.10

#: Lengths or latencies of two runs go along with each other so much, sample by sample, when the texts are the same.
_SAME_TEXTS = 0.4

#: Launches that each side needs at least.
LAUNCHES = 3


@dataclass(frozen=True)
class Timed:
    """The latency samples of one measurement.

    Args:
        ms: one sequence for each process launch.
        tokens: text lengths of the same samples, or None where they are not known.
    """

    ms: Sequence[Sequence[float]]
    tokens: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True)
class Found:
    """The verdict on the second of two measurements.

    Args:
        word: what can be said of it.
        ratio: its latency to the first one's, texts of the same length compared; None where too little was measured.
        low: lower end of the ratio's interval.
        high: upper end.
    """

    word: Word
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


def compare_latency(first: Timed, second: Timed) -> Found:
    """Whether `second` is faster or slower than `first`.

    Raises:
        MissingExtra: scipy is not installed.
    """
    if min(len(first.ms), len(second.ms)) < LAUNCHES or not all(map(len, (*first.ms, *second.ms))):
        return Found("too noisy")
    middle, error, freedom = _difference(first, second)
    stats = require("scipy.stats", "host")
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    low, high = middle - reach, middle + reach
    ratio, low, high = (float(np.exp(value)) for value in (middle, low, high))
    return Found(_word(low, high), ratio, low, high)


def _word(low: float, high: float) -> Word:
    if low > 1 + MARGIN:
        return "slower"
    if high < 1 / (1 + MARGIN):
        return "faster"
    if low > 1 / (1 + RULED_OUT) and high < 1 + RULED_OUT:
        return "no difference seen"
    return "too noisy"


def _difference(first: Timed, second: Timed) -> tuple[float, float, float]:
    """Mean difference of log latency, its standard error, and its degrees of freedom."""
    way = _way(first, second)
    if way == "paired":
        pairs = zip(first.ms, second.ms, strict=True)
        steps = np.array([np.median(np.log(np.asarray(b) / np.asarray(a))) for a, b in pairs])
        return float(steps.mean()), _floor(steps.std(ddof=1) / np.sqrt(steps.size)), steps.size - 1.0
    if way == "levelled":
        levels = drift.levelled([*first.ms, *second.ms], [*(first.tokens or ()), *(second.tokens or ())])
    else:
        levels = [np.log(np.asarray(launch, dtype=np.float64)) for launch in (*first.ms, *second.ms)]
    medians = np.array([np.median(launch) for launch in levels])
    return _welch(medians[: len(first.ms)], medians[len(first.ms) :])


def _way(first: Timed, second: Timed) -> Literal["levelled", "paired", "plain"]:
    """How texts of other lengths are kept from passing for another speed.

    Launches draw their texts by their number, so two runs over one test set see the same ones: then they are compared
    text by text. Else by length, where it is known.
    """
    known = bool(first.tokens and second.tokens)
    if [len(launch) for launch in first.ms] == [len(launch) for launch in second.ms]:
        sides = (first.tokens, second.tokens) if known else (first.ms, second.ms)
        a, b = (np.log(np.concatenate([np.asarray(x, dtype=np.float64) for x in side or ()])) for side in sides)
        vary = min(a.std(), b.std()) > 0.0
        if (known and np.array_equal(a, b)) or (vary and float(np.corrcoef(a, b)[0, 1]) > _SAME_TEXTS):
            return "paired"
    return "levelled" if known else "plain"


def _welch(a: Floats, b: Floats) -> tuple[float, float, float]:
    """Welch's t: difference of means, its standard error, Satterthwaite's degrees of freedom."""
    va, vb = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    freedom = (va + vb) ** 2 / max(va**2 / (a.size - 1) + vb**2 / (b.size - 1), 1e-300)
    return float(b.mean() - a.mean()), _floor(np.sqrt(va + vb)), max(freedom, 1.0)


def _floor(error: float) -> float:
    """No error is taken for smaller than a clock and a scheduler make it, 0.1 %."""
    return max(float(error), 1e-3)
