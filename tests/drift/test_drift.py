"""A machine that changes its speed is found out; one that is merely noisy is not. On simulated traces, from seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from traces import NOISY, QUIET, USUAL, Noise, Trace, trace

from edgebert import drift

Random = np.random.Generator


def flagged(make: Callable[[Random], Trace], count: int, seed: int = 0) -> float:
    """Share of traces in which a change is found."""
    random = np.random.default_rng(seed)
    return sum(drift.find(t.ms, t.tokens) is not None for t in (make(random) for _ in range(count))) / count


@pytest.mark.parametrize("buckets", [False, True])
@pytest.mark.parametrize("noise", [USUAL])
def test_a_worker_slowed_by_ten_per_cent_in_mid_run_is_flagged(noise: Noise, buckets: bool) -> None:
    def all_launches(random: Random) -> Trace:
        return trace(random, noise, slower=0.1, where=(random.uniform(0.3, 0.7), 1), buckets=buckets)

    def one_launch(random: Random) -> Trace:
        where = (random.uniform(0.3, 0.7), 1.0)
        return trace(random, noise, slower=0.1, where=where, only=int(random.integers(5)), buckets=buckets)

    assert flagged(all_launches, 100) >= 0.99
    assert flagged(one_launch, 100) >= 0.99


@pytest.mark.parametrize("buckets", [False, True])
@pytest.mark.parametrize("noise", [QUIET, USUAL, NOISY])
def test_undisturbed_traces_give_no_alarm(noise: Noise, buckets: bool) -> None:
    assert flagged(lambda random: trace(random, noise, buckets=buckets), 100, seed=1) <= 0.01


def test_small_measurements_give_no_alarm_either() -> None:
    assert flagged(lambda random: trace(random, launches=2, samples=70), 100, seed=2) <= 0.01
    assert flagged(lambda random: trace(random, launches=2, samples=30), 20, seed=2) == 0


def test_texts_of_other_lengths_are_what_makes_it_hard() -> None:
    """The same traces, read without their lengths: the detector has nothing to go by, and misses most."""
    random = np.random.default_rng(3)
    traces = [trace(random, slower=0.1, where=(0.5, 1), only=2) for _ in range(50)]
    assert sum(drift.find(t.ms) is not None for t in traces) < 25
    assert all(drift.find(t.ms, t.tokens) is not None for t in traces)


def test_what_is_said_of_a_change() -> None:
    slowed = trace(np.random.default_rng(4), QUIET, slower=0.12, where=(0.6, 1), only=3)
    found = drift.find(slowed.ms, slowed.tokens)
    assert found is not None and found.launch == 3 and not found.between
    assert found.share == pytest.approx(0.12, abs=0.02) and found.where == pytest.approx(0.6, abs=0.1)
    assert str(found).startswith("launch 4 became 1") and "slower" in str(found)
    recovering = trace(np.random.default_rng(4), QUIET, slower=0.12, where=(0, 0.5))
    assert "quicker" in str(drift.find(recovering.ms, recovering.tokens))


def test_a_step_between_launches_is_seen() -> None:
    random = np.random.default_rng(5)
    early, late = trace(random, QUIET, launches=3), trace(random, QUIET, launches=3, level=1.1)
    found = drift.find([*early.ms, *late.ms], [*early.tokens, *late.tokens])
    assert found is not None and found.between and found.share == pytest.approx(0.1, abs=0.03)


def test_a_hiccup_and_a_change_that_is_small_are_no_drift() -> None:
    assert flagged(lambda random: trace(random, slower=1.0, where=(0.5, 0.53), only=1), 50) <= 0.02
    assert flagged(lambda random: trace(random, QUIET, slower=0.03, where=(0.5, 1)), 50) == 0


def test_levelled_samples_no_longer_depend_on_length() -> None:
    made = trace(np.random.default_rng(6), QUIET)
    bare = np.concatenate(drift.levelled(made.ms, made.tokens))
    tokens = np.concatenate(made.tokens)
    assert abs(np.corrcoef(tokens, np.log(np.concatenate(made.ms)))[0, 1]) > 0.9
    assert abs(np.corrcoef(tokens, bare)[0, 1]) < 0.2
    assert bare.std() < 0.06 < 0.25 < np.log(np.concatenate(made.ms)).std()


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one text length for each sample"):
        drift.levelled([[1.0, 2.0]], [[3]])


@pytest.mark.parametrize("launches", [[], [[]], [[1.0]], [[0.0] * 200], [[1.0] * 200, []]])
def test_odd_measurements_end_in_no_error(launches: list[list[float]]) -> None:
    assert drift.find(launches, [[5] * len(launch) for launch in launches]) is None
