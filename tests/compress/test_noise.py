"""Word-piece noise: repeatable, of the stated rate, and never on special tokens."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgebert.compress.noise import Noise, mix, shuffled

NOISE = Noise(rate=0.2, seed=3, mask_id=4, candidates=np.arange(10, 500), special=frozenset(range(5)), mask_share=0.5)
IDS = [2, *range(100, 140), 3]


def reference_mix(*parts: int) -> int:
    """SplitMix64's finalizer on Python integers."""
    state = 0
    for part in parts:
        state ^= (part + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state


@pytest.mark.parametrize("parts", [(0,), (1, 2, 3), (2**63, 5), (0, 0, 0, 0)])
def test_mix_is_splitmix64(parts: tuple[int, ...]) -> None:
    assert int(mix(*parts)[0]) == reference_mix(*parts)


def test_same_key_same_noise_and_any_other_key_another() -> None:
    again = NOISE.apply(IDS, epoch=1, example=17)
    assert again == NOISE.apply(IDS, epoch=1, example=17)
    others = [
        NOISE.apply(IDS, epoch=2, example=17),
        NOISE.apply(IDS, epoch=1, example=18),
        dataclasses.replace(NOISE, seed=4).apply(IDS, epoch=1, example=17),
    ]
    assert all(other != again for other in others)


def test_rate_shares_and_special_tokens() -> None:
    replaced = masked = 0
    for example in range(500):
        noised = NOISE.apply(IDS, 0, example)
        assert (noised[0], noised[-1]) == (2, 3)
        assert len(noised) == len(IDS)
        masked += sum(piece == 4 for piece in noised)
        replaced += sum(old != new for old, new in zip(IDS, noised, strict=True))
    pieces = 500 * 40
    # Five standard deviations of a binomial; a random piece may be the old one, 1 time in 490.
    assert replaced / pieces == pytest.approx(0.2, abs=5 * (0.2 * 0.8 / pieces) ** 0.5 + 1e-3)
    assert masked / replaced == pytest.approx(0.5, abs=5 * (0.25 / replaced) ** 0.5 + 2e-3)


def test_no_mask_token_means_random_pieces() -> None:
    noise = dataclasses.replace(NOISE, mask_id=None, mask_share=1.0, rate=1.0)
    noised = noise.apply(IDS, 0, 0)
    assert all(10 <= piece < 500 for piece in noised[1:-1])


def test_rate_zero_changes_nothing() -> None:
    assert dataclasses.replace(NOISE, rate=0.0).apply(IDS, 0, 0) == IDS


def test_shuffled_is_a_permutation_of_its_key() -> None:
    order = shuffled(1000, 1, 2)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() == shuffled(1000, 1, 2).tolist()
    assert order.tolist() != shuffled(1000, 1, 3).tolist()
    # Not merely some permutation: neighbours must be no more alike than in a random one (expected distance n/3).
    assert np.abs(np.diff(order)).mean() == pytest.approx(1000 / 3, rel=0.1)
