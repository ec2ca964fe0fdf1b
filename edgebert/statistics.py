"""How sure a figure is: percentiles that the sample can carry, bootstrap intervals, McNemar's test.

numpy only, so that it may run on a device too. Every random draw comes from a seed: the same samples give
the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: The fewest samples that a percentile is computed from. For p90, p95 and p99 it is the early-stopping rule of
#: MLPerf inference (Reddi et al. 2020, "MLPerf Inference Benchmark"; rules, appendix "Early stopping") at 99 %
#: confidence: fewer samples, of which one lies beyond the percentile, prove nothing. For the median it is the
#: smallest sample whose range holds the true median with 99 % confidence (1 - 2 / 2^8).
MINIMUM_SAMPLES: Mapping[int, int] = MappingProxyType({50: 8, 90: 64, 95: 130, 99: 662})

#: Samples of a launch that are drawn together.
BLOCK = 10


@dataclass(frozen=True)
class Interval:
    """A figure and its interval, all in the unit of the samples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """Two models on the same examples.

    Args:
        only_first: examples that the first model alone has right.
        only_second: examples that the second model alone has right.
        p_value: two-sided; small when the two counts differ more than chance explains.
    """

    only_first: int
    only_second: int
    p_value: float


def percentile(samples: ArrayLike, q: int) -> float | None:
    """The q-th percentile, or None where the sample is smaller than `MINIMUM_SAMPLES[q]`.

    Args:
        samples: numbers of any shape; taken as one sample.
        q: 50, 90, 95 or 99.
    """
    values = np.asarray(samples, dtype=np.float64).ravel()
    return float(np.percentile(values, q)) if values.size >= MINIMUM_SAMPLES[q] else None


def percentiles(launches: Sequence[Sequence[float]]) -> dict[str, float | int | None]:
    """`{"p50": …, "p90": …, "p95": …, "p99": …, "n": …}` of all launches together.

    Args:
        launches: samples (ms), one sequence for each process launch, of any lengths.
    """
    values = _joined(launches)
    found: dict[str, float | int | None] = {f"p{q}": percentile(values, q) for q in MINIMUM_SAMPLES}
    return found | {"n": int(values.size)}


def percentile_interval(
    launches: Sequence[Sequence[float]],
    q: int,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """The q-th percentile with its interval by a bootstrap over launches, then stretches of samples within each.

    Launches differ more than the samples of one launch do, so resampling the samples alone would promise too
    much. Nor are samples that follow one another independent on a busy machine, so they are drawn ten in a row (the
    circular block bootstrap; Politis & Romano 1992, "A circular block-resampling procedure for stationary data").
    With few launches even this one is somewhat narrow: with five, a 95 % interval holds the truth in 86 to 91 % of
    simulated cases (Davison & Hinkley 1997, "Bootstrap Methods", section 3.8). Launches weigh the same.

    Args:
        launches: samples (ms), one sequence for each process launch, of any lengths.
        q: 50, 90, 95 or 99.
        confidence: of the interval, 0 to 1.
        resamples: bootstrap draws.
        seed: of the draws.

    Returns:
        None where the sample cannot carry the percentile.
    """
    groups = [np.asarray(launch, dtype=np.float64) for launch in launches if len(launch)]
    value = percentile(_joined(launches), q)
    if value is None:
        return None
    sizes = np.array([group.size for group in groups])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pool, each = np.concatenate(groups), round(float(sizes.mean()))
    random = np.random.default_rng(seed)
    draws, step = [], max(1, 1_000_000 // (len(groups) * each))
    for start in range(0, resamples, step):
        chosen = random.integers(len(groups), size=(min(step, resamples - start), len(groups), 1))
        firsts = random.random((*chosen.shape[:2], -(-each // BLOCK), 1)) * sizes[chosen][..., None]
        within = (firsts.astype(np.intp) + np.arange(BLOCK)).reshape(*chosen.shape[:2], -1)[..., :each]
        drawn = pool[starts[chosen] + within % sizes[chosen]]
        draws.append(np.percentile(drawn.reshape(len(chosen), -1), q, axis=1))
    low, high = _tails(np.concatenate(draws), confidence)
    return Interval(value, min(low, value), max(high, value))


def mean_interval(scores: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean of per-example scores (such as right = 1, wrong = 0) with its bootstrap interval.

    Where every score is 0 or every score is 1 a bootstrap knows no doubt; the exact binomial bound (Clopper &
    Pearson 1934) stands in then, so that ten right answers of ten do not pass for certainty.

    Args:
        scores: shape (examples,).
        confidence: of the interval, 0 to 1.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ValueError: no scores.
    """
    values, counts = np.unique(np.asarray(scores, dtype=np.float64).ravel(), return_counts=True)
    n = int(counts.sum())
    if n == 0:
        raise ValueError("the mean of no scores")
    value = float(values @ counts) / n
    if values.size == 1 and value in (0.0, 1.0):
        bound = ((1.0 - confidence) / 2.0) ** (1.0 / n)
        return Interval(value, bound, 1.0) if value else Interval(value, 0.0, 1.0 - bound)
    # A resample only matters through how often it holds each distinct score: a multinomial draw.
    random = np.random.default_rng(seed)
    step = max(1, 1_000_000 // values.size)
    draws = [
        random.multinomial(n, counts / n, size=min(step, resamples - start)) @ values / n
        for start in range(0, resamples, step)
    ]
    low, high = _tails(np.concatenate(draws), confidence)
    return Interval(value, min(low, value), max(high, value))


def statistic_interval(
    statistic: Callable[[NDArray[np.intp]], float],
    examples: int,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Any metric over examples (macro F1, say) with its bootstrap interval.

    Args:
        statistic: takes indices of examples, shape (examples,), some of them several times; gives the metric.
        examples: how many there are.
        confidence: of the interval, 0 to 1.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ValueError: no examples.
    """
    if examples < 1:
        raise ValueError("the metric of no examples")
    random = np.random.default_rng(seed)
    value = float(statistic(np.arange(examples)))
    draws = np.array([statistic(random.integers(examples, size=examples)) for _ in range(resamples)])
    low, high = _tails(draws, confidence)
    return Interval(value, min(low, value), max(high, value))


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's exact test of two models on the same examples (McNemar 1947).

    Args:
        first: whether the first model has each example right, shape (examples,), bool or 0 and 1.
        second: the same of the second model.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"different examples: shapes {a.shape} and {b.shape}")
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    total, smaller = only_first + only_second, min(only_first, only_second)
    return McNemar(only_first, only_second, min(1.0, 2.0 * math.exp(_log_half_tail(total, smaller))))


def _log_half_tail(n: int, k: int) -> float:
    """log P(X <= k), X binomial with n tries and probability 1/2."""
    terms = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1)]
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms)) - n * math.log(2.0)


def _joined(launches: Sequence[Sequence[float]]) -> Floats:
    arrays: Iterator[NDArray[Any]] = (np.asarray(launch, dtype=np.float64) for launch in launches)
    return np.concatenate([np.empty(0), *arrays])


def _tails(draws: Floats, confidence: float) -> tuple[float, float]:
    half = 50.0 * (1.0 - confidence)
    low, high = np.percentile(draws, [half, 100.0 - half])
    return float(low), float(high)
