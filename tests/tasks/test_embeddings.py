"""Embeddings: compared by direction and neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgebert import tasks
from edgebert.errors import UsageError
from edgebert.results import cosines, recall
from edgebert.tasks import Answered, Encoded
from edgebert.tasks.embeddings import Embeddings

RANDOM = np.random.default_rng(1)


def test_spearman_of_pairs_is_scipys() -> None:
    pairs = RANDOM.normal(size=(50, 2, 8)).astype(np.float32)
    scores = RANDOM.random(50)
    window = Encoded([2, 3], [0, 0])
    answered = [
        Answered({"text": "a", "text_pair": "b", "score": float(score)}, [window] * 2, [{"embedding": v} for v in pair])
        for pair, score in zip(pairs, scores, strict=True)
    ]
    found = Embeddings().score(answered, ())
    near = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs]
    assert found.figures["spearman"] == pytest.approx(stats.spearmanr(near, scores).statistic)
    assert found.vectors is not None and found.vectors.shape == (100, 8) and found.units is None


def test_recall_by_brute_force() -> None:
    truth = RANDOM.normal(size=(40, 6)).astype(np.float32)
    found = truth + 0.5 * RANDOM.normal(size=truth.shape).astype(np.float32)

    def nearest(vectors: np.ndarray, row: int) -> set[int]:
        unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        ranked = sorted((i for i in range(40) if i != row), key=lambda i: -float(unit[i] @ unit[row]))
        return set(ranked[:5])

    expected = np.mean([len(nearest(found, row) & nearest(truth, row)) / 5 for row in range(40)])
    assert recall(found, truth, 5) == pytest.approx(expected)
    assert recall(truth, truth, 5) == 1.0
    assert cosines(truth, 3 * truth) == pytest.approx(np.ones(40))


def test_bad_settings_and_round_trip() -> None:
    for settings in ({"pooling": "max"}, {"normalize": "yes"}):
        with pytest.raises(UsageError):
            tasks.get("embeddings", settings)
    task = Embeddings(pooling="cls", normalize=False)
    assert tasks.get("embeddings", tasks.settings_of(task)) == task
