"""A machine that changes its speed is found out; one that is merely noisy is not. On simulated traces, from seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from traces import BUSY, NOISY, QUIET, SHARED, USUAL, Noise, Trace, trace

from edgebert import drift

Random = np.random.Generator

#: How unsteady, and whether the engine pads to a few lengths.
MACHINES = [(QUIET, False), (USUAL, True), (USUAL, False), (NOISY, False), (SHARED, False), (BUSY, True)]


def flagged(make: Callable[[Random], Trace], count: int, seed: int = 0) -> float:
    """Share of traces in which a change is found."""
    random = np.random.default_rng(seed)
    return sum(drift.find(t.ms, t.tokens) is not None for t in (make(random) for _ in range(count))) / count


@pytest.mark.parametrize(("noise", "buckets"), MACHINES)
def test_a_worker_slowed_by_ten_per_cent_in_mid_run_is_flagged(noise: Noise, buckets: bool) -> None:
    def slowed(random: Random) -> Trace:
        return trace(random, noise, slower=0.1, where=(random.uniform(0.3, 0.7), 1), buckets=buckets)

    assert flagged(slowed, 100) >= 0.99


@pytest.mark.parametrize(("noise", "share"), [(QUIET, 0.99), (USUAL, 0.99), (NOISY, 0.8), (SHARED, 0.9), (BUSY, 0.75)])
def test_one_slowed_launch_of_five_is_flagged_where_noise_allows(noise: Noise, share: float) -> None:
    """It moves the median of all by a hundredth or so; what is missed here spoils no figure."""

    def slowed(random: Random) -> Trace:
        where = (random.uniform(0.3, 0.7), 1.0)
        return trace(random, noise, slower=0.1, where=where, only=int(random.integers(5)))

    assert flagged(slowed, 100) >= share


@pytest.mark.parametrize(("noise", "buckets"), MACHINES)
def test_undisturbed_traces_give_no_alarm(noise: Noise, buckets: bool) -> None:
    assert flagged(lambda random: trace(random, noise, buckets=buckets), 100, seed=1) <= 0.01


@pytest.mark.slow
def test_two_thousand_traces_of_other_draws() -> None:
    """The same two rates, of all machines together, on draws that no limit was chosen by."""
    alarms = [flagged(lambda r, n=n, b=b: trace(r, n, buckets=b), 200, seed=101) for n, b in MACHINES]  # type: ignore[misc]
    assert np.mean(alarms) <= 0.01 and max(alarms) <= 0.02, alarms

    def slowed(random: Random, noise: Noise, buckets: bool) -> Trace:
        return trace(random, noise, slower=0.1, where=(random.uniform(0.3, 0.7), 1), buckets=buckets)

    found = [flagged(lambda r, n=n, b=b: slowed(r, n, b), 200, seed=102) for n, b in MACHINES]  # type: ignore[misc]
    assert min(found) >= 0.99, found


def test_somebody_else_is_not_the_machine() -> None:
    """From half way on nearly half of the answers take a quarter to a half more time."""

    def shared(random: Random) -> Trace:
        made = trace(random)
        for launch in made.ms:
            for index in range(len(launch) // 2, len(launch)):
                launch[index] *= 1 + (random.random() < 0.45) * random.uniform(0.25, 0.5)
        return made

    assert flagged(shared, 100, seed=8) <= 0.01


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
