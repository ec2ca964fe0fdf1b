"""What is tuned on validation data after quantization: temperatures and thresholds (host only).

Temperature scaling is that of Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599; the
rejection of what is out of scope by the largest probability that of Hendrycks & Gimpel 2017, arXiv:1610.02136.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A label with fewer validation examples than this keeps the threshold 0.5: fewer say little about a threshold.
FEWEST_POSITIVES = 5


def softmax(logits: Floats) -> Floats:
    """Probabilities [records, labels] of logits of that shape."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def temperature(logits: Floats, targets: NDArray[np.int64]) -> float:
    """The number that logits are divided by for the least negative log-likelihood, of 0.05 to 20.

    Args:
        logits: float64 [records, labels].
        targets: the right label's index per record.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(targets))

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((total - scaled[rows, targets]).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def rejection(best: Floats, inside: NDArray[np.bool_]) -> float:
    """The threshold below which a text is rejected: the largest balanced accuracy of inside against outside.

    Args:
        best: the largest probability of each record.
        inside: whether the record's label is one of the model's; both kinds must occur.
    """
    order = np.sort(best)
    cuts = np.concatenate([[0.0], (order[1:] + order[:-1]) / 2.0])
    kept = np.searchsorted(np.sort(best[inside]), cuts, side="left")
    rejected = np.searchsorted(np.sort(best[~inside]), cuts, side="left")
    balanced = (1.0 - kept / inside.sum()) + rejected / (~inside).sum()
    return float(cuts[int(balanced.argmax())])


def per_label(probabilities: Floats, truth: Sequence[Collection[str]], labels: Sequence[str]) -> list[float]:
    """For each label the threshold of the largest F1, halfway between two probabilities that occur.

    Args:
        probabilities: float64 [records, labels].
        truth: the labels that hold, per record.
        labels: by column.
    """
    found = []
    for column, label in enumerate(labels):
        holds = np.array([label in row for row in truth])
        found.append(_best_f1(probabilities[:, column], holds) if holds.sum() >= FEWEST_POSITIVES else 0.5)
    return found


def _best_f1(probabilities: Floats, holds: NDArray[np.bool_]) -> float:
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(holds[order])
    f1 = 2.0 * hits / (np.arange(1, len(order) + 1) + holds.sum())
    ends = np.append(ranked[1:] < ranked[:-1], True)  # between equal probabilities there is no threshold
    last = int(np.where(ends, f1, -1.0).argmax())
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    # Kept off 0 and 1: the threshold becomes a logit when two models are compared.
    return float(np.clip((ranked[last] + below) / 2.0, 1e-4, 1.0 - 1e-4))
