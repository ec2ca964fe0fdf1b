"""Word-piece noise that a resumed run repeats exactly.

Whether a piece is replaced, and by what, is an integer hash of (seed, epoch, example, position): no generator has a
state that would have to be saved, and batches may be formed in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WHOLE = 2**64 - 1
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def mix(*parts: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash integers to uniform 64-bit ones with the finalizer of SplitMix64 (Steele, Lea and Flood 2014).

    Args:
        parts: integers or uint64 arrays that broadcast together; their order matters.

    Returns:
        uint64 array of the broadcast shape.
    """
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):  # wrapping around is the point
        for part in parts:
            state = state ^ (np.asarray(part).astype(np.uint64) + _GOLDEN)
            state = (state ^ (state >> np.uint64(30))) * _MIX[0]
            state = (state ^ (state >> np.uint64(27))) * _MIX[1]
            state = state ^ (state >> np.uint64(31))
    return state


def shuffled(count: int, *key: int) -> NDArray[np.int64]:
    """A permutation of `range(count)` that depends on `key` alone."""
    return np.argsort(mix(*key, np.arange(count, dtype=np.uint64)), kind="stable").astype(np.int64)


def draws(key: int) -> Callable[[], float]:
    """A source of numbers in [0, 1) that follow from `key` alone: SplitMix64 itself, for a handful of choices."""
    state = key

    def draw() -> float:
        nonlocal state
        state = (state + int(_GOLDEN)) & _WHOLE
        found = ((state ^ (state >> 30)) * int(_MIX[0])) & _WHOLE
        found = ((found ^ (found >> 27)) * int(_MIX[1])) & _WHOLE
        return ((found ^ (found >> 31)) >> 11) * 2.0**-53

    return draw


@dataclass(frozen=True)
class Noise:
    """Replaces each word piece with probability `rate`: a share of them by [MASK], the rest by random pieces.

    `special` are ids that are never replaced, `candidates` the ids drawn from.
    """

    rate: float
    seed: int
    mask_id: int | None
    candidates: NDArray[np.int64]
    special: frozenset[int]
    mask_share: float = 1.0

    def apply(self, ids: list[int], epoch: int, example: int) -> list[int]:
        """The noised copy of one example's ids in one epoch; always as long as `ids`."""
        if self.rate <= 0:
            return ids
        positions = np.arange(len(ids), dtype=np.uint64)
        hashes = mix(self.seed, epoch, example, positions)
        hit = unit(hashes) < self.rate
        if not hit.any():
            return ids
        masked = unit(mix(hashes, 1)) < (self.mask_share if self.mask_id is not None else 0.0)
        drawn = self.candidates[(mix(hashes, 2) % np.uint64(len(self.candidates))).astype(np.int64)]
        noised = list(ids)
        for position in np.flatnonzero(hit):
            if ids[position] not in self.special:
                noised[position] = self.mask_id if masked[position] else int(drawn[position])  # type: ignore[assignment]
        return noised


def unit(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Hashes as numbers in [0, 1)."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
