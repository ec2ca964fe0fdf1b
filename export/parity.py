"""Is the exported model still the model? Compared with the FP32 source in torch before it may be saved.

Errors are differences of the outputs in units of their spread: the standard deviation of a text's outputs,
averaged over the texts. A text's answer is clear when the source's margin is more than a quarter of it.

| precision | largest error | mean error | clear answers that stay |
|---|---|---|---|
| FP32 | 0.001 (and never below 0.001 absolute) | | all |
| INT8 | 1.0 | 0.15 | 97 % |

What well-made INT8 models show is a largest error of 0.1 to 0.35 and a mean of 0.02 to 0.05; a quantized
classifier, which clips, shows 1 to 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import golden, tasks
from edgebert.errors import ExportError
from edgebert.protocols import ExportJob
from edgebert.tasks import Record

Outputs = Mapping[str, NDArray[np.float32]]

#: A margin of more than this share of the spread makes an answer clear.
CLEAR = 0.25


@dataclass(frozen=True)
class Limits:
    """The most that a conversion may lose; errors in units of the outputs' spread."""

    max_error: float
    mean_error: float
    agreement: float


FP32 = Limits(max_error=1e-3, mean_error=1e-3, agreement=1.0)
INT8 = Limits(max_error=1.0, mean_error=0.15, agreement=0.97)


def judge(
    job: ExportJob, expected: Outputs, found: Outputs, records: Sequence[Record], labels: Sequence[str]
) -> dict[str, Any]:
    """The figures of the comparison, for the manifest's lineage.

    Args:
        job: what was exported.
        expected: the source's outputs, float32 [records, ...] by name.
        found: the exported model's, the same shapes.
        records: that were asked; those with a target give the metric too.
        labels: of the model.

    Raises:
        ExportError: too much was lost.
    """
    spread = golden.spread(expected)
    for name, array in expected.items():
        if name not in found or found[name].shape != array.shape:
            raise ExportError(f"{job.format}-{job.precision} has no output {name} of the right shape", "")
    errors = {name: np.abs(found[name].astype(np.float64) - array).ravel() for name, array in expected.items()}
    every = np.concatenate(list(errors.values()))
    clear, same = _agreement(expected, found, spread)
    figures: dict[str, Any] = {
        "texts": len(records),
        "spread": round(spread, 6),
        "max_error": _rounded(float(every.max())),
        "mean_error": _rounded(float(every.mean())),
        "agreement": round(float(same.mean()), 6),
        "clear_texts": int(clear.sum()),
        "clear_agreement": round(float(same[clear].mean()), 6) if clear.any() else 1.0,
    } | _metrics(job, expected, found, records, labels)
    _refuse(job, figures, spread)
    return figures


def _refuse(job: ExportJob, figures: Mapping[str, Any], spread: float) -> None:
    limits = FP32 if job.precision == "fp32" else INT8
    unit = max(spread, 1.0) if job.precision == "fp32" else spread
    wrong = []
    # Not "error > limit": a NaN must fail too.
    if not figures["max_error"] <= limits.max_error * unit:
        wrong.append(f"largest error {figures['max_error']:.3g} (limit {limits.max_error * unit:.3g})")
    if not figures["mean_error"] <= limits.mean_error * unit:
        wrong.append(f"mean error {figures['mean_error']:.3g} (limit {limits.mean_error * unit:.3g})")
    if figures["clear_agreement"] < limits.agreement:
        wrong.append(
            f"{figures['clear_agreement']:.1%} of {figures['clear_texts']} clear answers stayed "
            f"(limit {limits.agreement:.0%})"
        )
    if wrong:
        raise ExportError(
            f"{job.format}-{job.precision} lost too much against its FP32 source on {figures['texts']} texts: "
            + "; ".join(wrong),
            "calibrate on more of the task's own texts, or export fp32"
            if job.precision != "fp32"
            else "the conversion does not compute the same function: report it with the model's config.json",
        )


def _agreement(expected: Outputs, found: Outputs, spread: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Per text: whether the source's answer is clear in every output, and whether it stayed in all of them."""
    clear, same = [], []
    for name, array in expected.items():
        texts = len(array)
        clear.append((golden.margins(array) > CLEAR * spread).reshape(texts, -1).all(axis=1))
        same.append((found[name].argmax(-1) == array.argmax(-1)).reshape(texts, -1).all(axis=1))
    return np.all(clear, axis=0), np.all(same, axis=0)


def _metrics(
    job: ExportJob, expected: Outputs, found: Outputs, records: Sequence[Record], labels: Sequence[str]
) -> dict[str, Any]:
    """The task's metric of source and export on the records that have a target which the model knows."""
    task = tasks.get(job.task)
    known = [number for number, record in enumerate(records) if record.get(task.target) in labels]
    if not known:
        return {}
    some = [records[number] for number in known]
    scores = {}
    for name, outputs in (("source_metric", expected), ("metric", found)):
        chosen = {key: array[known] for key, array in outputs.items()}
        scores[name] = round(float(task.score(chosen, some, labels).correct.mean()), 6)
    return {"metric_name": task.metric, "labelled_texts": len(known), **scores}


def _rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")
