"""Choosing channels: what repeats the others goes, and what stays tells of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgebert.compress.channels import Moments, root, select, tell
from edgebert.compress.observe import Gathered, Rescaled

RANDOM = np.random.default_rng(0)
#: Channels 1, 4 and 5 are sums of 0, 2 and 3, with constants.
FREE = RANDOM.normal(size=(400, 3)) * [1.0, 2.0, 0.5]
ROWS = np.stack(
    [FREE[:, 0], 3 * FREE[:, 0] - FREE[:, 1] + 7, FREE[:, 1], FREE[:, 2], FREE.sum(axis=1) - 2, 0.1 * FREE[:, 2] + 1],
    axis=1,
)


def moments(rows: NDArray[np.float64]) -> Moments:
    return Moments(rows.mean(axis=0), np.cov(rows.T, bias=True))


def test_a_subset_of_full_rank_tells_the_rest() -> None:
    kept = select([moments(ROWS)], 3)
    told = tell(moments(ROWS), kept)
    assert np.abs(ROWS[:, kept] @ told.matrix.T + told.offset - ROWS).max() < 0.02
    assert np.array_equal(told.matrix[kept], np.eye(3)) and not told.offset[kept].any()


def test_the_first_choice_leaves_least() -> None:
    """Against every single channel tried."""
    point = moments(ROWS)

    def untold(channel: int) -> float:
        told = tell(point, np.array([channel]))
        return float(((ROWS[:, [channel]] @ told.matrix.T + told.offset - ROWS) ** 2).mean())

    assert select([point], 1).tolist() == [int(np.argmin([untold(channel) for channel in range(6)]))]


def test_points_weigh_alike_however_loud_they_are() -> None:
    loud, quiet = np.diag([9.0, 8.0, 1.0]) * 1e6, np.diag([0.0, 1.0, 9.0])
    points = [Moments(np.zeros(3), covariance) for covariance in (loud, quiet)]
    assert select(points, 1).tolist() == [2]
    assert select(points[:1], 1).tolist() == [0]


def test_more_channels_than_vary() -> None:
    point = Moments(np.array([1.0, 2.0, 3.0]), np.zeros((3, 3)))
    kept = select([point], 2)
    told = tell(point, kept)
    assert kept.tolist() == [0, 1]
    assert (told.matrix @ point.mean[kept] + told.offset).tolist() == [1.0, 2.0, 3.0]


def test_root() -> None:
    covariance = moments(ROWS[:, [0, 2, 3]]).covariance
    square, inverse = root(covariance)
    assert np.allclose(square @ square, covariance, atol=1e-12)
    assert np.allclose(square @ inverse, np.eye(3), atol=1e-9)


def test_moments_are_summed_up_over_batches() -> None:
    gathered = Gathered()
    for part in np.array_split(ROWS, 7):
        gathered(torch.zeros(1), torch.from_numpy(part))
    assert np.allclose(gathered.moments.mean, ROWS.mean(axis=0))
    assert np.allclose(gathered.moments.covariance, np.cov(ROWS.T, bias=True))
    assert np.allclose(gathered.moments.second, ROWS.T @ ROWS / len(ROWS))


def test_a_normalization_of_fewer_channels_is_rescaled() -> None:
    """Where the kept channels spread k times as wide as all, around another mean, the correction is exact."""
    rows = np.concatenate([RANDOM.permuted(np.tile([-3.0, 5.0], (50, 1)), axis=1), np.tile([0.0, 0.0], (50, 1))], 1)
    kept = np.array([0, 1])
    rescaled = Rescaled(kept)
    rescaled(torch.from_numpy(rows), torch.zeros(1))

    def normalized(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
        return found

    expected = normalized(rows)[:, kept]
    assert np.allclose(normalized(rows[:, kept]) * rescaled.scale + rescaled.shift, expected)
    assert rescaled.scale == pytest.approx(4.0 / rows.std(axis=1).mean())
