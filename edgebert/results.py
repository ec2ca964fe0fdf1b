"""Measurements into the rows of a report: metric with its interval, drop, agreement, flips, percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert import history, metrics
from edgebert.check import Candidate
from edgebert.errors import EdgebertError
from edgebert.kept import samples_of
from edgebert.measurement import Measurement, unpacked
from edgebert.report import Failure, Latency, LineageStep, Metric, Report, Result, assemble
from edgebert.statistics import percentiles

if TYPE_CHECKING:
    from edgebert.recipe import Recipe


#: Facts that are told a second time, as they stood at the end.
_AFTER = ("mhz", "temperature_c", "load_average", "throttled", "battery")


def results_of(measurements: Sequence[Measurement]) -> list[Result]:
    """One row for each measurement, compared with the teacher and the FP32 student among them."""
    teacher = next((m for m in measurements if m.role == "teacher"), None)
    student = next((m for m in measurements if m.role == "student"), None)
    return [_result(m, teacher, student) for m in measurements]


def _result(measured: Measurement, teacher: Measurement | None, student: Measurement | None) -> Result:
    measured = _against(measured, teacher, student)
    found = Result(
        name=measured.name,
        role=measured.role,
        format=measured.format,
        precision=measured.precision,
        device=measured.device,
        emulated=bool(measured.facts_before.get("emulated")),
        parameters=measured.parameters,
        metric=_metric(measured),
        drop=None,
        agreement=None,
        flips=None,
        latency_ms=_latency(measured),
        engine_ms={
            length: median(value for launch in launches for value in launch)
            for length, launches in measured.engine_ms.items()
        },
        model_bytes=measured.model_bytes,
        folder_bytes=measured.folder_bytes,
        peak_rss_bytes=int(median(measured.peak_rss_bytes)) if measured.peak_rss_bytes else None,
        cold_start_ms=median(measured.cold_start_ms) if measured.cold_start_ms else None,
        threads=measured.threads,
        facts=dict(measured.facts_before)
        | {
            "engine": measured.engine,
            "settings": dict(measured.settings),
            "golden": dict(measured.golden),
            "during": history.summary(measured.watched),
            **{f"{name}_after": measured.facts_after.get(name) for name in _AFTER},
        },
        samples_ms=tuple(tuple(launch) for launch in measured.latency_ms),
        valid=not measured.invalid,
        figures=dict(measured.figures),
        invalid=tuple(measured.invalid),
        attempts=tuple(measured.attempts),
        partial=tuple(measured.partial),
        tokens=tuple(tuple(launch) for launch in measured.tokens or ()),
        over_time=history.moments(measured.latency_ms, measured.tokens, measured.watched),
        millijoules=history.millijoules(measured.watched),
    )
    return _compared(found, measured, teacher, student)


def _compared(found: Result, measured: Measurement, teacher: Measurement | None, student: Measurement | None) -> Result:
    """With drop against the teacher, agreement and flips against the student, where they answered too."""
    if found.metric is not None and teacher is not None and (best := _metric(_against(teacher, teacher, None))):
        found = replace(found, drop=100.0 * (best.value - found.metric.value))
    if student is not None and student.answers is not None and measured.answers is not None:
        same = [a == b for a, b in zip(student.answers, measured.answers, strict=True)]
        found = replace(found, agreement=float(np.mean(same)))
        if student.correct is not None and measured.correct is not None:
            lost = (np.asarray(student.correct) == 1.0) & (np.asarray(measured.correct) == 0.0)
            found = replace(found, flips=int(lost.sum()))
    return found


def _against(measured: Measurement, teacher: Measurement | None, student: Measurement | None) -> Measurement:
    """For embeddings: with the comparison of its vectors with the teacher's as metric and figures."""
    if measured.vectors is None or teacher is None or teacher.vectors is None:
        return measured
    here, there = unpacked(measured.vectors), unpacked(teacher.vectors)
    if here.shape != there.shape:
        return measured
    figures = dict(measured.figures) | {f"recall@{k}": recall(here, there, k) for k in (1, 10) if len(here) > k + 1}
    if student is not None and student.vectors is not None:
        figures["cosine_to_student"] = float(cosines(here, unpacked(student.vectors)).mean())
    return replace(measured, units=cosines(here, there)[:, None].tolist(), figures=figures)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of each row of `a` with the same row of `b`, float32 [rows, width] both."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    values: NDArray[np.float64] = (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)
    return values


def recall(found: NDArray[np.float32], truth: NDArray[np.float32], k: int) -> float:
    """The share of each row's `k` nearest other rows by `truth` that are among its `k` nearest by `found`."""
    near, true = (_nearest(vectors, k) for vectors in (found, truth))
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(near.tolist(), true.tolist(), strict=True)]))


def _nearest(vectors: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    return np.argsort(-near, axis=1, kind="stable")[:, :k]


def _metric(measured: Measurement) -> Metric | None:
    if measured.units is None or measured.metric is None:
        return None
    found = metrics.interval(measured.metric, measured.units)
    return Metric(name=measured.metric, value=found.value, low=found.low, high=found.high)


def _latency(measured: Measurement) -> Latency:
    found = percentiles(measured.latency_ms)
    return Latency(p50=found["p50"], p90=found["p90"], p95=found["p95"], p99=found["p99"], n=int(found["n"] or 0))


def build_report(
    recipe: Recipe,
    made: Sequence[Candidate],
    measured: Sequence[Measurement],
    sources: Mapping[str, str],
    *,
    failed: Mapping[str, EdgebertError] = MappingProxyType({}),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Report:
    """The report of a run: its results judged by the recipe's gates, and where each model came from.

    Args:
        recipe: as it was run.
        made: teacher, student and artifacts.
        measured: all of them, on every device.
        sources: the content hashes of the `teacher` and the `student` folder.
        failed: for each device on which nothing was measured why.
        about: for the model card.
    """
    rows = results_of(measured)
    values = {row.name: row.metric.value for row in rows if row.metric is not None}
    parents = {"teacher": None, "student": "teacher", "artifact": "student"}
    lineage = [
        LineageStep(
            name=candidate.name,
            role=candidate.role,
            id=sources.get(candidate.role, candidate.artifact.artifact_id),
            parent=parents[candidate.role],
            metric=values.get(candidate.name),
        )
        for candidate in made
    ]
    gone = went_back(made)
    return assemble(
        rows,
        task=recipe.task,
        recipe=recipe.model_dump(mode="json"),
        gates=recipe.gates.model_dump(mode="json"),
        lineage=lineage,
        notes=[*float_notes(gone), *_notes(measured)],
        failures=[
            Failure(device=device, message=error.message, hint=error.hint, exit_code=error.exit_code)
            for device, error in failed.items()
        ],
        about=about,
        quantization=gone,
    )


def went_back(made: Sequence[Candidate]) -> dict[str, dict[str, Any]]:
    """Artifact -> `fallback` and `sensitivity` of its lineage, for those of which parts went back to float."""
    last = {c.name: c.artifact.manifest.lineage[-1] for c in made if c.artifact.manifest.lineage}
    return {
        name: {key: entry[key] for key in ("fallback", "sensitivity", "spread")}
        for name, entry in last.items()
        if "fallback" in entry
    }


def float_notes(gone: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What stayed in float, and why, in words: one sentence for each artifact of `went_back`."""
    notes = []
    for name, entry in gone.items():
        first, last = (_share(entry["fallback"]["tried"][i]["mean_error"], entry["spread"]) for i in (0, -1))
        floats = ", ".join(entry["fallback"]["float"])
        notes.append(f"{name} keeps {floats} in float: the mean error of its outputs is {last}, all in INT8 {first}.")
    return notes


def _share(error: float | None, spread: float) -> str:
    return "not a number" if error is None else f"{error / spread:.1%} of their spread"


def _notes(measured: Sequence[Measurement]) -> list[str]:
    """What a reader must know to read the figures rightly."""
    notes = [f"{m.name} on {m.device} is invalid: {reason}." for m in measured for reason in m.invalid]
    for m in measured:
        if m.attempts:
            again = "once" if len(m.attempts) == 1 else f"{len(m.attempts)} times"
            why = "; ".join(dict.fromkeys(reason for attempt in m.attempts for reason in attempt["invalid"]))
            notes.append(f"{m.name} on {m.device} was measured again {again}, since {why}.")
    for m in measured:
        if cut := samples_of(m.partial):
            notes.append(
                f"{cut} samples of {m.name} on {m.device} are of a measurement that was cut: kept, not pooled."
            )
    if any(m.facts_before.get("virtual_machine") for m in measured):
        notes.append("Measured in a virtual machine: other guests of its host may have disturbed the times.")
    return notes
