"""Which channels of a stream of vectors are kept, and how the others are told from them.

The kept ones are a greedy column subset: each is the one that takes most of what is left of all the others' variance
(Farahat et al. 2011, "An efficient greedy method for unsupervised feature selection"; with one point this is a pivoted
Cholesky factorization with another pivot). The others are then least squares of them. Minitron (Muralidharan et al.
2024, arXiv:2407.14679) takes the channels of largest activation, which may all say the same; the principal components
of SliceGPT (Ashkboos et al. 2024, arXiv:2401.15024) say more in as many numbers, but BERT's layer normalization has a
gain for each channel, inside the residual stream, where a rotation does not pass it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Share of the mean variance that is added to all variances: texts are few, and channels may repeat one another.
_RIDGE = 1e-5

#: The least eigenvalue that a root is taken of, as a share of the largest.
_FLOOR = 1e-10


@dataclass(frozen=True)
class Moments:
    """Mean [width] and covariance [width, width] of vectors, float64."""

    mean: Matrix
    covariance: Matrix

    @property
    def second(self) -> Matrix:
        """The mean outer product, [width, width]."""
        return self.covariance + np.outer(self.mean, self.mean)

    def part(self, kept: slice | NDArray[np.int64]) -> Moments:
        """Those of some of the channels."""
        return Moments(self.mean[kept], self.covariance[kept][:, kept])


@dataclass(frozen=True)
class Told:
    """All channels from the kept ones: `matrix` [width, kept] and `offset` [width], float64."""

    matrix: Matrix
    offset: Matrix


def select(points: Sequence[Moments], size: int) -> NDArray[np.int64]:
    """The `size` channels, ascending, that leave the least of all channels' variance untold, each point weighing 1."""
    left = [point.covariance / max(float(np.trace(point.covariance)), 1e-30) for point in points]
    chosen: list[int] = []
    for _ in range(size):
        gains = np.zeros(len(left[0]))
        for rest in left:
            variance = rest.diagonal()
            usable = variance > 1e-12
            gains[usable] += (rest**2).sum(axis=0)[usable] / variance[usable]
        gains[chosen] = -1.0
        best = int(np.flatnonzero(gains >= gains.max() * (1.0 - 1e-9))[0])  # a tie is one whatever the rounding
        chosen.append(best)
        for rest in left:
            if rest[best, best] > 1e-12:
                rest -= np.outer(rest[:, best], rest[best]) / rest[best, best]
    return np.array(sorted(chosen), dtype=np.int64)


def tell(point: Moments, kept: NDArray[np.int64]) -> Told:
    """Least squares of all channels on the kept ones; a kept one is itself."""
    covariance = point.covariance
    inner = covariance[np.ix_(kept, kept)]
    inner = inner + np.eye(len(kept)) * max(_RIDGE * float(np.trace(covariance)) / len(covariance), 1e-30)
    matrix: Matrix = np.linalg.solve(inner, covariance[kept]).T.astype(np.float64)
    matrix[kept] = np.eye(len(kept))
    offset = point.mean - matrix @ point.mean[kept]
    offset[kept] = 0.0
    return Told(matrix, offset)


def root(covariance: Matrix) -> tuple[Matrix, Matrix]:
    """The symmetric square root of a covariance, and that root's inverse, [width, width] each."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.sqrt(values.clip(min=max(_FLOOR * float(values[-1]), 1e-30)))
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
