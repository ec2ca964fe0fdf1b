"""The scores of text classification, by scikit-learn and scipy (host only)."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.tasks import Scored
from edgebert.tasks.thresholds import softmax

Floats = NDArray[np.float64]

#: Bins of the expected calibration error.
BINS = 15


def single_label(
    logits: Floats,
    truth: Sequence[str],
    labels: Sequence[str],
    *,
    out_of_scope: str | None = None,
    threshold: float | None = None,
) -> Scored:
    """Accuracy; with `out_of_scope` its rows are right when they are rejected.

    Args:
        logits: float64 [records, labels], calibrated.
        truth: a label per record.
        labels: by column.
        out_of_scope: the label of rows that none of `labels` fits.
        threshold: least probability of an answer.
    """
    index = {label: number for number, label in enumerate(labels)}
    targets = np.array([index.get(label, -1) for label in truth])
    inside = targets >= 0
    probabilities = softmax(logits)
    best, top = probabilities.argmax(axis=1), probabilities.max(axis=1)
    answers = best if threshold is None else np.where(top < threshold, -1, best)
    correct = (answers == targets).astype(np.float64)
    figures: dict[str, float] = {}
    if inside.any():
        figures["ece"] = calibration_error(top[inside], (best == targets)[inside])
    if out_of_scope is not None and inside.any() and not inside.all():
        from sklearn.metrics import roc_auc_score

        figures |= {
            "oos_auroc": float(roc_auc_score(inside, top)),
            "oos_recall": float((answers == -1)[~inside].mean()),
            "in_scope_accuracy": float((best == targets)[inside].mean()),
        }
    return Scored("accuracy", correct[:, None], correct, answers.tolist(), figures)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017)."""
    if not np.isfinite(confidence).all():
        return float("nan")
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = np.bincount(bins, weights=confidence - correct, minlength=BINS)
    return float(np.abs(sums).sum() / len(confidence))


def multi_label(chosen: NDArray[np.bool_], truth: Sequence[Collection[str]], labels: Sequence[str]) -> Scored:
    """Micro-averaged F1; figures: macro-averaged F1 and the share of records with exactly the right labels.

    Args:
        chosen: bool [records, labels].
        truth: the labels that hold, per record.
        labels: by column.
    """
    from sklearn.metrics import f1_score

    true = np.array([[label in row for label in labels] for row in truth])
    units = np.stack([(chosen & true).sum(axis=1), chosen.sum(axis=1), true.sum(axis=1)], axis=1).astype(np.float64)
    correct = (chosen == true).all(axis=1).astype(np.float64)
    macro = float(f1_score(true, chosen, average="macro", zero_division=0.0))
    answers: list[Any] = [np.flatnonzero(row).tolist() for row in chosen]
    return Scored("f1", units, correct, answers, {"macro_f1": macro, "exact_match": float(correct.mean())})


def regression(found: Floats, truth: Floats) -> Scored:
    """Pearson's correlation; figures: Spearman's correlation and the root of the mean squared error."""
    from scipy.stats import ConstantInputWarning, spearmanr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        spearman = float(spearmanr(found, truth).statistic)
    figures = {
        "spearman": 0.0 if np.isnan(spearman) else spearman,
        "rmse": float(np.sqrt(np.mean((found - truth) ** 2))),
    }
    return Scored("pearson", np.stack([found, truth], axis=1), None, None, figures)
