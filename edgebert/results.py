"""Measurements into the rows of a report: metric with its interval, drop, agreement, flips, percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert import __version__, gate
from edgebert.check import Candidate, Measurement
from edgebert.report import SCHEMA_VERSION, Latency, LineageStep, Metric, Report, Result, best_of
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


def build_report(recipe: Recipe, made: Sequence[Candidate], results: Sequence[Result]) -> Report:
    """The report of a run: its results judged by the recipe's gates, and where each model came from."""
    gates = recipe.gates.model_dump(mode="json", exclude_none=True)
    rows = gate.judged(results, gates)
    metrics = {row.name: row.metric.value for row in rows if row.metric is not None}
    parents = {"teacher": None, "student": "teacher", "artifact": "student"}
    lineage = tuple(
        LineageStep(
            name=c.name, role=c.role, id=c.artifact.artifact_id, parent=parents[c.role], metric=metrics.get(c.name)
        )
        for c in made
    )
    return Report(
        schema_version=SCHEMA_VERSION,
        edgebert=__version__,
        recipe=recipe.model_dump(mode="json"),
        task=recipe.task,
        results=rows,
        gates=gates,
        verdict=gate.overall(rows),
        notes=_notes(recipe, rows, gates),
        lineage=lineage,
        best=best_of(rows),
    )


def _notes(recipe: Recipe, rows: Sequence[Result], gates: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know to read the figures rightly."""
    notes = [
        f"Times are of {recipe.measure.threads} engine thread(s), batch 1, on real test texts, tokenization included; "
        f"{recipe.measure.launches} launches of fresh processes for each model, taking turns."
    ]
    if any(row.facts.get("virtual_machine") for row in rows):
        notes.append("Measured in a virtual machine: other guests of its host may have disturbed the times.")
    notes += [f"No result is of the device {name}, which a gate names." for name in gate.unmatched_devices(rows, gates)]
    return tuple(notes)
