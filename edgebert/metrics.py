"""How what each record adds becomes a task's metric: a fraction, with its 95 % interval.

Tasks keep a row of sufficient statistics for each record, so that an interval can be bootstrapped over records
without scoring thousands of resampled test sets anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebert.statistics import Interval, mean_interval, statistic_interval

Floats = NDArray[np.float64]


def mean(units: Floats) -> float:
    """Units [records, 1]: the mean."""
    return float(units[:, 0].mean())


def f1(units: Floats) -> float:
    """Units [records, 3] of (true positives, predicted, in truth): the micro-averaged F1, 0 where there is nothing."""
    right, predicted, true = units.sum(axis=0)
    return float(2.0 * right / (predicted + true)) if predicted + true else 0.0


def pearson(units: Floats) -> float:
    """Units [records, 2] of (found, truth): Pearson's correlation, 0 where one of them does not vary."""
    found, truth = (units - units.mean(axis=0)).T
    scale = float(np.sqrt((found @ found) * (truth @ truth)))
    return float(found @ truth) / scale if scale else 0.0


#: A metric's name in reports -> how units become the figure.
METRICS: dict[str, Callable[[Floats], float]] = {
    "accuracy": mean,
    "f1": f1,
    "pearson": pearson,
    "answer_f1": mean,
    "cosine": mean,
}


def value(metric: str, units: ArrayLike) -> float:
    """The metric of some records, a fraction.

    Args:
        metric: a name of `METRICS`.
        units: float64 [records, columns].
    """
    return METRICS[metric](np.asarray(units, dtype=np.float64))


def interval(metric: str, units: ArrayLike) -> Interval:
    """The metric with its 95 % bootstrap interval over records."""
    rows = np.asarray(units, dtype=np.float64)
    if METRICS[metric] is mean:
        return mean_interval(rows[:, 0])
    return statistic_interval(lambda chosen: METRICS[metric](rows[chosen]), len(rows))
