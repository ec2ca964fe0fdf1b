"""Trials: exports of one job with more or fewer operator groups kept in float, each asked the same texts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebert import cpu, exporting, golden, registry, tasks
from edgebert.artifact import Artifact, Manifest
from edgebert.protocols import ExportedModel, ExportJob, Runtime
from edgebert.tasks import Answered, Record, Task

from . import calibration, parity
from .source import Source, companions, reference_outputs


@dataclass(frozen=True)
class Setting:
    """What all trials of a job share.

    Args:
        job: the export, with nothing kept in float.
        task: with its settings, thresholds not tuned yet.
        source: the FP32 model.
        describe: the manifest of what a job made.
        expected: the texts to compare on, with the source's outputs.
        labelled: records that thresholds are tuned on; may be empty.
    """

    job: ExportJob
    task: Task
    source: Source
    describe: Callable[[ExportJob, ExportedModel], Manifest]
    expected: Sequence[Answered]
    labelled: Sequence[Record]


@dataclass(frozen=True)
class Trial:
    """An exported model in the job's folder, no artifact yet, and how far it is from its source.

    Args:
        manifest: as it would be saved, the lineage excepted.
        groups: operator groups that the precision quantizes.
        task: with thresholds tuned on this model's own answers, so that they fit what quantization made of it.
        engine: that answered, name and version.
        found: the texts with this model's outputs.
        figures: of the comparison.
        faults: limits that they break, in words.
    """

    manifest: Manifest
    groups: tuple[str, ...]
    task: Task
    engine: str
    found: Sequence[Answered]
    figures: dict[str, Any]
    faults: tuple[str, ...]


def setting(
    job: ExportJob,
    task: Task,
    source: Source,
    describe: Callable[[ExportJob, ExportedModel], Manifest],
    tuning: Path | None,
) -> Setting:
    """The texts and what the source makes of them, asked once for all trials."""
    records = calibration.parity_records(job)
    windows = calibration.windows_of(job.model, task, records, job.lengths[-1])
    outputs = [reference_outputs(source, record, task) for record in windows]
    expected = [Answered(*item) for item in zip(records, windows, outputs, strict=True)]
    read = calibration.read_records(tuning) if tuning is not None else []
    return Setting(job, task, source, describe, expected, [record for record in read if task.target in record])


def attempt(given: Setting, float_groups: Sequence[str] = ()) -> Trial:
    """Export into the job's folder, and compare with the source.

    Raises:
        ExportError: the conversion failed. Not when it lost too much: `Trial.faults` says so.
    """
    job = replace(given.job, float_groups=tuple(float_groups))
    exported, manifest = _export(given, job)
    task = given.task
    with closing(_load(job.out, manifest)) as runtime:
        if given.labelled:
            windows = calibration.windows_of(job.out, task, given.labelled, manifest.max_length)
            blank = [Answered(*item, []) for item in zip(given.labelled, windows, strict=True)]
            task = task.tune(_answered(blank, manifest, runtime), given.source.labels)
        found = _answered(given.expected, manifest, runtime)
        figures, faults = parity.judge(job, task, given.expected, found, given.source.labels)
        proven = ({"instructions": cpu.instructions(), "engine": runtime.engine},)
        tuned = replace(manifest, task_settings=tasks.settings_of(task), proven=proven)
        return Trial(tuned, exported.groups, task, runtime.engine, found, figures, tuple(faults))


def errors(given: Setting, float_groups: Sequence[str], texts: int) -> dict[str, float]:
    """The errors of a model that is exported for this alone, on about so many of the texts.

    The job's folder is left as it is.
    """
    job = replace(given.job, float_groups=tuple(float_groups), out=given.job.out.parent / "sensitivity")
    job.out.mkdir(exist_ok=True)
    try:
        _, manifest = _export(given, job)
        expected = given.expected[:: max(1, len(given.expected) // texts)]
        with closing(_load(job.out, manifest)) as runtime:
            found = _answered(expected, manifest, runtime)
        there, here = ([window for item in side for window in item.outputs] for side in (expected, found))
        return parity.errors(job, there, here)
    finally:
        shutil.rmtree(job.out)


def write_golden(given: Setting, trial: Trial) -> None:
    """The golden answers of the trial whose model stands in the job's folder."""
    chosen = calibration.spread_by_length([item.windows for item in trial.found], golden.TEXTS)
    golden.make(
        given.job.out,
        task=trial.task,
        precision=given.job.precision,
        engine=trial.engine,
        records=[trial.found[index].record for index in chosen],
        windows=[trial.found[index].windows for index in chosen],
        outputs=[trial.found[index].outputs for index in chosen],
    )


def _export(given: Setting, job: ExportJob) -> tuple[ExportedModel, Manifest]:
    # Unlinked and not written over: an engine may still have the last trial's file mapped.
    for left in job.out.iterdir():
        left.unlink()
    exported = exporting.exporter(job.format).export(job)
    for path in companions(job.model):
        shutil.copyfile(path, job.out / path.name)
    return exported, given.describe(job, exported)


def _load(folder: Path, manifest: Manifest) -> Runtime:
    # Not an artifact yet, but what a runtime reads of one is there.
    runtime: Runtime = registry.find("runtimes", manifest.format)(Artifact(folder, manifest, artifact_id=""), 1)
    return runtime


def _answered(items: Sequence[Answered], manifest: Manifest, runtime: Runtime) -> list[Answered]:
    """The same records with this model's outputs."""
    return [
        replace(item, outputs=golden.run(item.windows, runtime, manifest.inputs, manifest.lengths, manifest.outputs))
        for item in items
    ]
