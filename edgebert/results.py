"""Measurements into the rows of a report: metric with its interval, drop, agreement, flips, percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from edgebert.check import Candidate, Measurement
from edgebert.report import Latency, LineageStep, Metric, Report, Result, assemble
from edgebert.statistics import mean_interval, percentiles

if TYPE_CHECKING:
    from edgebert.recipe import Recipe


def results_of(measurements: Sequence[Measurement]) -> list[Result]:
    """One row for each measurement, compared with the teacher and the FP32 student among them."""
    teacher = next((m for m in measurements if m.role == "teacher"), None)
    student = next((m for m in measurements if m.role == "student"), None)
    return [_result(m, teacher, student) for m in measurements]


def _result(measured: Measurement, teacher: Measurement | None, student: Measurement | None) -> Result:
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
            "temperature_c_after": measured.facts_after.get("temperature_c"),
            "load_average_after": measured.facts_after.get("load_average"),
        },
        samples_ms=tuple(tuple(launch) for launch in measured.latency_ms),
        valid=not measured.invalid,
    )
    return _compared(found, measured, teacher, student)


def _compared(found: Result, measured: Measurement, teacher: Measurement | None, student: Measurement | None) -> Result:
    """With drop against the teacher, agreement and flips against the student, where they answered too."""
    if teacher is not None and teacher.correct is not None and measured.correct is not None:
        points = 100.0 * float(np.mean(teacher.correct) - np.mean(measured.correct))
        found = replace(found, drop=points)
    if student is not None and student.answers is not None and measured.answers is not None:
        same = np.asarray(student.answers) == np.asarray(measured.answers)
        right_there = np.asarray(student.correct) == 1.0
        wrong_here = np.asarray(measured.correct) == 0.0
        found = replace(found, agreement=float(same.mean()), flips=int((right_there & wrong_here).sum()))
    return found


def _metric(measured: Measurement) -> Metric | None:
    if measured.correct is None or measured.metric is None:
        return None
    interval = mean_interval(measured.correct)
    return Metric(name=measured.metric, value=interval.value, low=interval.low, high=interval.high)


def _latency(measured: Measurement) -> Latency:
    found = percentiles(measured.latency_ms)
    return Latency(p50=found["p50"], p90=found["p90"], p95=found["p95"], p99=found["p99"], n=int(found["n"] or 0))


def build_report(
    recipe: Recipe, made: Sequence[Candidate], measured: Sequence[Measurement], sources: Mapping[str, str]
) -> Report:
    """The report of a run: its results judged by the recipe's gates, and where each model came from.

    Args:
        recipe: as it was run.
        made: teacher, student and artifacts.
        measured: all of them, on every device.
        sources: the content hashes of the `teacher` and the `student` folder.
    """
    rows = results_of(measured)
    metrics = {row.name: row.metric.value for row in rows if row.metric is not None}
    parents = {"teacher": None, "student": "teacher", "artifact": "student"}
    lineage = [
        LineageStep(
            name=candidate.name,
            role=candidate.role,
            id=sources.get(candidate.role, candidate.artifact.artifact_id),
            parent=parents[candidate.role],
            metric=metrics.get(candidate.name),
        )
        for candidate in made
    ]
    return assemble(
        rows,
        task=recipe.task,
        recipe=recipe.model_dump(mode="json"),
        gates=recipe.gates.model_dump(mode="json"),
        lineage=lineage,
        notes=_notes(measured),
    )


def _notes(measured: Sequence[Measurement]) -> list[str]:
    """What a reader must know to read the figures rightly."""
    notes = [f"{m.name} on {m.device} is invalid: {reason}." for m in measured for reason in m.invalid]
    if any(m.facts_before.get("virtual_machine") for m in measured):
        notes.append("Measured in a virtual machine: other guests of its host may have disturbed the times.")
    return notes
