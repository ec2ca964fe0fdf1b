"""The gate between a conversion and an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebert.errors import ExportError
from edgebert.export import parity
from edgebert.protocols import ExportJob
from edgebert.tasks import Answered, Encoded, Record, Task
from edgebert.tasks.embeddings import Embeddings
from edgebert.tasks.text_classification import TextClassification

JOB = ExportJob(Path("m"), "text-classification", "onnx", "int8", (16,), None, Path("o"))
LABELS = ("a", "b", "c", "d")
RECORDS = [{"text": str(number), "label": LABELS[number % 4]} for number in range(100)]


def logits(seed: int = 0) -> np.ndarray:
    """Clear answers, each the record's label."""
    noise = np.random.default_rng(seed).normal(0, 0.3, (100, 4)).astype(np.float32)
    return noise + 4 * np.eye(4, dtype=np.float32)[np.arange(100) % 4]


def answered(outputs: np.ndarray, name: str = "logits", records: Sequence[Record] = RECORDS) -> list[Answered]:
    window = [Encoded([2, 3], [0, 0])]
    return [Answered(r, window, [{name: row.astype(np.float32)}]) for r, row in zip(records, outputs, strict=True)]


def passed(
    expected: Sequence[Answered], found: Sequence[Answered], job: ExportJob = JOB, task: Task | None = None
) -> dict[str, float]:
    """The figures of what lost little enough."""
    figures, faults = parity.judge(job, task or TextClassification(), expected, found, LABELS)
    if faults:
        raise parity.refused(job, figures, faults)
    return figures


def judge(found: np.ndarray, job: ExportJob = JOB) -> dict[str, float]:
    return passed(answered(logits()), answered(found), job)


def test_equal_outputs_pass_and_give_all_figures() -> None:
    figures = judge(logits())
    assert figures["max_error"] == 0 and figures["agreement"] == 1 and figures["texts"] == 100
    assert figures["metric"] == figures["source_metric"] == 1.0 and figures["labelled_texts"] == 100


def test_records_without_targets_give_no_metric() -> None:
    records = [{"text": record["text"]} for record in RECORDS]
    both = answered(logits(), records=records)
    assert "metric" not in passed(both, both)


def test_rounding_passes_as_int8_and_not_as_fp32() -> None:
    found = np.round(logits() * 20) / 20
    assert judge(found)["max_error"] == pytest.approx(0.025, rel=0.01)
    with pytest.raises(ExportError, match="largest error"):
        judge(found, replace(JOB, precision="fp32"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a: np.clip(a, -10, 1.0), "largest error"),
        (lambda a: a + 1.0, "mean error"),
        (lambda a: np.where(np.arange(100)[:, None] < 4, np.roll(a, 1, axis=1), a), "clear answers"),
        (lambda a: np.where(np.arange(100)[:, None] == 7, np.nan, a), "nan"),
        (lambda a: np.roll(a, 1, axis=0), "clear answers"),
    ],
    ids=["clipped", "shifted", "four texts wrong", "one not a number", "rows mixed up"],
)
def test_what_lost_too_much_is_refused_with_the_figures(spoil: object, said: str) -> None:
    with pytest.raises(ExportError) as caught:
        judge(spoil(logits()))  # type: ignore[operator]
    assert said in caught.value.message and "100 texts" in caught.value.message and caught.value.hint


def test_a_missing_or_misshapen_output_is_refused() -> None:
    with pytest.raises(ExportError, match="logits"):
        passed(answered(logits()), answered(logits(), "other"))
    with pytest.raises(ExportError, match="shape"):
        judge(logits()[:, :3])


def test_embeddings_are_judged_by_their_cosine() -> None:
    vectors = np.random.default_rng(1).normal(size=(100, 64)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    noise = np.random.default_rng(2).normal(size=(100, 64)) * 0.125
    job = replace(JOB, task="embeddings")

    def against(found: np.ndarray) -> dict[str, float]:
        return passed(answered(unit, "embedding"), answered(found, "embedding"), job, Embeddings())

    assert against(unit + 0.02 * noise)["cosine"] > 0.999
    with pytest.raises(ExportError, match="cosine"):
        against(unit + 0.2 * noise)
