"""Verdicts on two measurements, calibrated on simulated ones: like with like, and a true 10 %."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from traces import NOISY, QUIET, USUAL, Noise, Trace, trace

from edgebert.comparison import Found, Timed, compare_latency


def timed(made: Trace) -> Timed:
    return Timed(made.ms, made.tokens)


def verdicts(noise: Noise, count: int, **second: Any) -> Counter[str]:
    random = np.random.default_rng(0)
    pairs = ((trace(random, noise), trace(random, noise, **second)) for _ in range(count))
    return Counter(compare_latency(timed(a), timed(b)).word for a, b in pairs)


@pytest.mark.parametrize("noise", [QUIET, USUAL, NOISY])
def test_like_with_like_is_hardly_ever_faster_or_slower(noise: Noise) -> None:
    found = verdicts(noise, 100)
    assert found["faster"] + found["slower"] <= 2


@pytest.mark.parametrize(("level", "word"), [(1.10, "slower"), (1 / 1.10, "faster")])
@pytest.mark.parametrize("noise", [QUIET, USUAL])
def test_a_true_ten_per_cent_is_seen(noise: Noise, level: float, word: str) -> None:
    found = verdicts(noise, 50, level=level)
    assert found[word] >= 45 and set(found) <= {word, "too noisy", "no difference seen"}


def test_a_quiet_machine_rules_a_difference_out_and_a_wild_one_cannot() -> None:
    assert verdicts(QUIET, 50)["no difference seen"] == 50
    assert verdicts(Noise(launch=0.15), 50)["too noisy"] >= 45


def test_the_ratio_and_its_interval() -> None:
    random = np.random.default_rng(1)
    found = compare_latency(timed(trace(random, QUIET)), timed(trace(random, QUIET, level=1.2)))
    assert found.ratio == pytest.approx(1.2, abs=0.02)
    assert found.low is not None and found.high is not None and found.low < 1.2 < found.high
    covered = 0
    for _ in range(100):
        found = compare_latency(timed(trace(random)), timed(trace(random, level=1.1)))
        covered += bool(found.low and found.high and found.low < 1.1 < found.high)
    assert covered >= 95, "98 % intervals"


def test_longer_texts_are_no_slowness() -> None:
    """The second run draws longer texts: its raw medians are higher, its speed is not."""
    random = np.random.default_rng(2)
    first, second = trace(random, QUIET, samples=200), trace(random, QUIET, samples=400)
    kept = [
        np.argsort(np.asarray(t) + random.normal(0, 4, len(t)))[-200:]
        for t in second.tokens
    ]  # fmt: skip
    longer = Trace(
        [[launch[i] for i in keep] for launch, keep in zip(second.ms, kept, strict=True)],
        [[launch[i] for i in keep] for launch, keep in zip(second.tokens, kept, strict=True)],
    )
    assert np.median(longer.ms) > 1.15 * np.median(first.ms)
    assert compare_latency(timed(first), timed(longer)).word == "no difference seen"


def test_the_same_texts_are_compared_text_by_text() -> None:
    """Half of what a text takes lies in more than its length, and launches draw few: their mix is no difference."""
    random = np.random.default_rng(4)
    first = trace(random, QUIET, samples=20)
    kinds = [np.exp(random.normal(0, 0.5, len(launch))) for launch in first.ms]

    def told(other: Trace) -> Timed:
        return Timed([(np.asarray(m) * kind).tolist() for m, kind in zip(other.ms, kinds, strict=True)], first.tokens)

    again = Trace([[m * 1.1 for m in launch] for launch in first.ms], first.tokens)
    assert compare_latency(told(first), told(again)).ratio == pytest.approx(1.1, abs=0.001)
    assert compare_latency(told(first), told(again)).word == "slower"


def test_another_tokenizer_over_the_same_texts_is_compared_text_by_text() -> None:
    """Half the tokens for each text, and 10 % slower for it: by length it would look twice as slow."""
    random = np.random.default_rng(3)
    first = trace(random, QUIET)
    launches = random.normal(np.log(1.1), 0.01, len(first.ms))
    second = Trace(
        [(np.asarray(m) * np.exp(shift + random.normal(0, 0.01, len(m)))).tolist()
         for m, shift in zip(first.ms, launches, strict=True)],
        [[max(2, t // 2) for t in launch] for launch in first.tokens],
    )  # fmt: skip
    found = compare_latency(timed(first), timed(second))
    assert found.word == "slower" and found.ratio == pytest.approx(1.1, abs=0.02)
    unknown = compare_latency(Timed(first.ms), Timed(second.ms))
    assert unknown.ratio == pytest.approx(1.1, abs=0.02)


@pytest.mark.parametrize("launches", [[], [[1.0]], [[1.0] * 50] * 2, [[1.0] * 50, [1.0] * 50, []]])
def test_too_little_is_too_noisy(launches: list[list[float]]) -> None:
    assert compare_latency(Timed(launches), Timed([[1.0] * 50] * 5)) == Found("too noisy")


def test_clocks_that_always_say_the_same() -> None:
    same = Timed([[1.0] * 50] * 5, [[4] * 50] * 5)
    assert compare_latency(same, same).word == "no difference seen"
