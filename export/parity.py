"""Is the exported model still the model? Compared with the FP32 source in torch before it may be saved.

Errors are differences of the outputs in units of their spread: the standard deviation of a window's outputs,
averaged over the windows. What a window decides is clear where the source's margin is more than a quarter of it.

| precision | largest error | mean error | clear answers that stay |
|---|---|---|---|
| FP32 | 0.001 (and never below 0.001 absolute) | | all |
| FP16 | 0.1 | 0.02 | 99 % |
| INT8 | 1.0 | 0.15 | 97 % |

Embeddings, which decide nothing, must have a mean cosine of 0.99 with the source's.

What well-made INT8 models show is a largest error of 0.1 to 0.35 and a mean of 0.02 to 0.05; a quantized
classifier, which clips, shows 1 to 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import golden, metrics
from edgebert.errors import ExportError
from edgebert.protocols import ExportJob
from edgebert.tasks import Answered, Outputs, Record, Task

#: A margin of more than this share of the spread makes an answer clear.
CLEAR = 0.25

#: The least mean cosine of an INT8 embedding with its source.
COSINE = 0.99


@dataclass(frozen=True)
class Limits:
    """The most that a conversion may lose; errors in units of the outputs' spread."""

    max_error: float
    mean_error: float
    agreement: float


FP32 = Limits(max_error=1e-3, mean_error=1e-3, agreement=1.0)
FP16 = Limits(max_error=0.1, mean_error=0.02, agreement=0.99)
INT8 = Limits(max_error=1.0, mean_error=0.15, agreement=0.97)


def judge(
    job: ExportJob, task: Task, expected: Sequence[Answered], found: Sequence[Answered], labels: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The figures of the comparison, for the manifest's lineage, and which limits they break.

    Args:
        job: what was exported.
        task: with its settings.
        expected: the records with the source's outputs.
        found: the same with the exported model's; those with a target give the metric too.
        labels: of the model.

    Raises:
        ExportError: an output is missing, or of another shape.
    """
    there = [window for item in expected for window in item.outputs]
    here = [window for item in found for window in item.outputs]
    lost = errors(job, there, here)
    spread = golden.spread(there)
    clear, same = _agreement(task, there, here, spread)
    figures: dict[str, Any] = {
        "texts": len(found),
        "spread": round(spread, 6),
        **lost,
        "agreement": round(float(same.mean()), 6) if same.size else 1.0,
        "clear_answers": int(clear.sum()),
        "clear_agreement": round(float(same[clear].mean()), 6) if clear.any() else 1.0,
    }
    if not task.has_head:
        figures["cosine"] = _rounded(_cosine(there, here))
    figures |= _metrics(task, expected, found, labels)
    return figures, _faults(job, figures, spread)


def errors(job: ExportJob, expected: Sequence[Outputs], found: Sequence[Outputs]) -> dict[str, float]:
    """`max_error` and `mean_error` of the outputs, window by window.

    Raises:
        ExportError: an output is missing, or of another shape.
    """
    every = []
    for there, here in zip(expected, found, strict=True):
        for name, array in there.items():
            if name not in here or here[name].shape != array.shape:
                raise ExportError(f"{job.format}-{job.precision} has no output {name} of the right shape", "")
            every.append(np.abs(here[name].astype(np.float64) - array).ravel())
    joined = np.concatenate(every)
    return {"max_error": _rounded(float(joined.max())), "mean_error": _rounded(float(joined.mean()))}


def limits_of(precision: str) -> Limits:
    """The most that a precision may lose."""
    return {"fp32": FP32, "fp16": FP16}.get(precision, INT8)


def _faults(job: ExportJob, figures: Mapping[str, Any], spread: float) -> list[str]:
    limits = limits_of(job.precision)
    unit = max(spread, 1.0) if job.precision == "fp32" else spread
    wrong = []
    # Not "error > limit": a NaN must fail too.
    if not figures["max_error"] <= limits.max_error * unit:
        wrong.append(f"largest error {figures['max_error']:.3g} (limit {limits.max_error * unit:.3g})")
    if not figures["mean_error"] <= limits.mean_error * unit:
        wrong.append(f"mean error {figures['mean_error']:.3g} (limit {limits.mean_error * unit:.3g})")
    if figures["clear_agreement"] < limits.agreement:
        wrong.append(
            f"{figures['clear_agreement']:.1%} of {figures['clear_answers']} clear answers stayed "
            f"(limit {limits.agreement:.0%})"
        )
    if not figures.get("cosine", 1.0) >= COSINE:
        wrong.append(f"mean cosine {figures['cosine']:.4f} (limit {COSINE})")
    return wrong


def refused(job: ExportJob, figures: Mapping[str, Any], faults: Sequence[str], tried: str = "") -> ExportError:
    """The error for a conversion that lost too much.

    Args:
        job: what was exported.
        figures: of the comparison.
        faults: the limits that it breaks, of which there is at least one.
        tried: what was done to mend it, in words.
    """
    return ExportError(
        f"{job.format}-{job.precision} lost too much against its FP32 source on {figures['texts']} texts: "
        + "; ".join(faults)
        + (f". {tried}" if tried else ""),
        "calibrate on more of the task's own texts, or export fp32"
        if job.precision != "fp32"
        else "the conversion does not compute the same function: report it with the model's config.json",
    )


def _agreement(
    task: Task, expected: Sequence[Outputs], found: Sequence[Outputs], spread: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each decision of all windows: whether it is clear in the source, and whether it stayed."""
    clear, same = [np.zeros(0, bool)], [np.zeros(0, bool)]
    for there, here in zip(expected, found, strict=True):
        before, after = task.decide(there), task.decide(here)
        clear.append(before.margins > CLEAR * spread)
        same.append(before.chosen == after.chosen)
    return np.concatenate(clear), np.concatenate(same)


def _cosine(expected: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """The mean cosine of vectors."""
    values = []
    for there, here in zip(expected, found, strict=True):
        for name, a in there.items():
            lengths = float(np.linalg.norm(a) * np.linalg.norm(here[name]))
            values.append(float(a @ here[name]) / max(lengths, 1e-12))
    return float(np.mean(values))


def _metrics(
    task: Task, expected: Sequence[Answered], found: Sequence[Answered], labels: Sequence[str]
) -> dict[str, Any]:
    """The task's metric of source and export on the records that have a target which the model knows."""
    known = [number for number, item in enumerate(found) if _known(task, item.record, labels)]
    if not known:
        return {}
    scores = {}
    for name, answered in (("source_metric", expected), ("metric", found)):
        scored = task.score([answered[number] for number in known], labels)
        if scored.units is None:
            return {}
        scores[name] = round(metrics.value(scored.metric, scored.units), 6)
    return {"metric_name": task.metric, "labelled_texts": len(known), **scores}


def _known(task: Task, record: Record, labels: Sequence[str]) -> bool:
    target = record.get(task.target)
    if target is None or not all(role in record for role in task.columns):
        return False
    return target in labels if isinstance(target, str) else True


def _rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")
