"""Intervals hold what they promise, and tests agree with scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgebert.statistics import (
    MINIMUM_SAMPLES,
    mcnemar,
    mean_interval,
    percentile,
    percentile_interval,
    percentiles,
    statistic_interval,
)


@pytest.mark.parametrize("q", [90, 95, 99])
def test_minimum_samples_are_the_early_stopping_rule(q: int) -> None:
    n, beyond = MINIMUM_SAMPLES[q], 1 - q / 100
    assert stats.binom.cdf(1, n, beyond) <= 0.01 < stats.binom.cdf(1, n - 1, beyond)


def test_minimum_for_the_median_brackets_it() -> None:
    n = MINIMUM_SAMPLES[50]
    assert 2 * 0.5**n < 0.01 < 2 * 0.5 ** (n - 1)


@pytest.mark.parametrize("q", MINIMUM_SAMPLES)
def test_no_percentile_below_its_minimum(q: int) -> None:
    samples = np.random.default_rng(q).random(MINIMUM_SAMPLES[q])
    assert percentile(samples, q) == pytest.approx(np.percentile(samples, q))
    assert percentile(samples[1:], q) is None
    assert percentile_interval([samples[1:].tolist()], q) is None


def test_percentiles_of_all_launches_together() -> None:
    found = percentiles([[1.0] * 50, [3.0] * 20])
    assert found == {"p50": 1.0, "p90": 3.0, "p95": None, "p99": None, "n": 70}
    assert percentiles([]) == {"p50": None, "p90": None, "p95": None, "p99": None, "n": 0}


def test_mean_interval_covers() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for trial in range(400):
        interval = mean_interval(random.random(400) < 0.9, resamples=500, seed=trial)
        hits += interval.low <= 0.9 <= interval.high
    assert 0.91 <= hits / 400 <= 0.98


@pytest.mark.parametrize("scores", ["binary", "real"])
def test_mean_interval_is_the_plain_bootstrap(scores: str) -> None:
    random = np.random.default_rng(2)
    values = (random.random(300) < 0.8).astype(float) if scores == "binary" else random.gamma(2.0, size=300)
    plain = np.array([random.choice(values, values.size).mean() for _ in range(4000)])
    low, high = np.percentile(plain, [2.5, 97.5])
    found = mean_interval(values)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


@pytest.mark.parametrize("right", [0, 10])
def test_unanimous_scores_are_no_certainty(right: int) -> None:
    exact = stats.binomtest(right, 10).proportion_ci(method="exact")
    found = mean_interval([float(right > 0)] * 10)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_constant_scores_that_are_no_proportion() -> None:
    found = mean_interval([0.25, 0.25])
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_no_scores() -> None:
    with pytest.raises(ValueError, match="no scores"):
        mean_interval([])
    with pytest.raises(ValueError, match="no examples"):
        statistic_interval(lambda chosen: 0.0, 0)


def test_statistic_interval_agrees_with_the_mean() -> None:
    values = np.random.default_rng(3).random(200)
    general = statistic_interval(lambda chosen: float(values[chosen].mean()), values.size, resamples=3000)
    special = mean_interval(values, resamples=3000)
    assert (general.low, general.high) == pytest.approx((special.low, special.high), abs=0.005)


def _launches(random: np.random.Generator) -> list[list[float]]:
    """Five launches whose true median is 1 and which differ more than their samples explain."""
    return [(shift * random.lognormal(0, 0.07, 100)).tolist() for shift in random.lognormal(0, 0.03, 5)]


def test_percentile_interval_counts_launches() -> None:
    random = np.random.default_rng(4)
    hits = naive = 0
    for trial in range(300):
        launches = _launches(random)
        interval = percentile_interval(launches, 50, resamples=300, seed=trial)
        flat = percentile_interval(
            [[sample for launch in launches for sample in launch]], 50, resamples=300, seed=trial
        )
        assert interval and flat
        hits += interval.low <= 1.0 <= interval.high
        naive += flat.low <= 1.0 <= flat.high
    assert 0.80 <= hits / 300 <= 0.97
    assert naive / 300 < 0.70  # what samples alone would promise


def test_percentile_interval_of_uneven_launches_is_repeatable() -> None:
    launches = [[1.0] * 40, [2.0] * 3, [], [1.5] * 90]
    first, second = (percentile_interval(launches, 90, seed=7) for _ in range(2))
    assert first == second
    assert first is not None
    assert 1.0 <= first.low <= first.value <= first.high <= 2.0


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 61), (2600, 2400)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    first = np.repeat([True, False, True, False], [b, c, 7, 2])
    second = np.repeat([False, True, True, False], [b, c, 7, 2])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (b, c)
    assert found.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9)


def test_mcnemar_wants_the_same_examples() -> None:
    with pytest.raises(ValueError, match="different examples"):
        mcnemar([True], [True, False])


def test_samples_that_follow_one_another_are_not_taken_for_independent() -> None:
    """The same samples, in spells and shuffled: spells say less of the median, so its interval is wider."""
    random = np.random.default_rng(5)
    spells = np.repeat(random.normal(10.0, 1.0, 50), 10)
    wide, narrow = (percentile_interval([each.tolist()], 50) for each in (spells, random.permutation(spells)))
    assert wide is not None and narrow is not None and wide.value == narrow.value
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
