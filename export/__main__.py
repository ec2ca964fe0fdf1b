"""One export, in a process of its own: `python -m edgebert.export JOB.json` (started by `edgebert.exporting`).

Convert, take the companions along, compare with the source, write the golden answers, and only then save.
What went wrong goes into a result file beside the job, so that the parent raises the same error.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebert import artifact as artifacts
from edgebert import cpu, exporting, golden, registry, tasks
from edgebert.artifact import Artifact, Manifest
from edgebert.errors import EdgebertError, ExportError
from edgebert.processes import die_with_parent
from edgebert.protocols import ExportedModel, ExportJob
from edgebert.tasks import Answered, Record, Task

from . import calibration, parity
from .source import Source, companions, first_line, load_source, reference_outputs


def main(job_path: Path) -> int:
    """Run one job file; returns the exit code."""
    body = json.loads(job_path.read_text("utf-8"))
    die_with_parent(body["parent"])
    error: dict[str, Any] = {"error": None}
    code = 0
    try:
        export(body, job_path.parent / exporting.FOLDER)
    except EdgebertError as found:
        error = {"error": type(found).__name__, "message": found.message, "hint": found.hint}
        code = found.exit_code
    except Exception as found:
        # The converters raise everything there is, and all of it means: this graph cannot be converted.
        traceback.print_exc()
        name = f"{body['format']}-{body['precision']}"
        error = {
            "error": "ExportError",
            "message": f"the conversion to {name} failed: {type(found).__name__}: {first_line(found)}",
            "hint": "is the model of a family that edgebert exports (BERT, DistilBERT, ...)?",
        }
        code = ExportError.exit_code
    (job_path.parent / exporting.RESULT).write_text(json.dumps(error), encoding="utf-8")
    return code


def export(body: dict[str, Any], folder: Path) -> Artifact:
    """From the job to the saved artifact.

    Raises:
        ExportError: the conversion failed, or its result lost too much.
    """
    job = ExportJob(
        model=Path(body["model"]),
        task=body["task"],
        format=body["format"],
        precision=body["precision"],
        lengths=tuple(body["lengths"]),
        calibration=Path(body["calibration"]) if body["calibration"] else None,
        out=folder,
        seed=body["seed"],
        settings=body.get("settings") or {},
    )
    task = tasks.get(job.task, job.settings)
    source = load_source(job.model, task)
    _check_lengths(source, job.lengths[-1])
    exported = exporting.exporter(job.format).export(job)
    for path in companions(job.model):
        shutil.copyfile(path, folder / path.name)
    manifest = _manifest(body, job, source, exported)
    tuning = Path(body["tuning"]) if body.get("tuning") else None
    manifest, entry = _compare(job, task, source, manifest, folder, tuning)
    lineage = (*body["lineage"], {"name": manifest.name, "role": "artifact", **entry})
    return artifacts.save(folder, replace(manifest, lineage=lineage), Path(body["target"]))


def _compare(
    job: ExportJob, task: Task, source: Source, manifest: Manifest, folder: Path, tuning: Path | None
) -> tuple[Manifest, dict[str, Any]]:
    """Ask the exported model and the source the same texts; writes `golden.json` when they agree.

    Thresholds are tuned on the exported model's own answers, so that they fit what quantization made of it.
    """
    # Not an artifact yet, but what a runtime reads of one is there.
    candidate = Artifact(folder, manifest, artifact_id="")
    runtime = registry.find("runtimes", job.format)(candidate, 1)

    def answered(records: Sequence[Record]) -> list[Answered]:
        windows = calibration.windows_of(folder, task, records, manifest.max_length)
        found = [golden.run(w, runtime, manifest.inputs, manifest.lengths, manifest.outputs) for w in windows]
        return [Answered(*item) for item in zip(records, windows, found, strict=True)]

    try:
        if tuning is not None:
            labelled = [record for record in calibration.read_records(tuning) if task.target in record]
            task = task.tune(answered(labelled), source.labels)
        found = answered(calibration.parity_records(job))
        expected = [replace(item, outputs=reference_outputs(source, item.windows, task)) for item in found]
        entry = parity.judge(job, task, expected, found, source.labels)
        chosen = calibration.spread_by_length([item.windows for item in found], golden.TEXTS)
        golden.make(
            folder,
            task=task,
            precision=job.precision,
            engine=runtime.engine,
            records=[found[index].record for index in chosen],
            windows=[found[index].windows for index in chosen],
            outputs=[found[index].outputs for index in chosen],
        )
    finally:
        runtime.close()
    proven = ({"instructions": cpu.instructions(), "engine": runtime.engine},)
    return replace(manifest, task_settings=tasks.settings_of(task), proven=proven), entry


def _manifest(body: dict[str, Any], job: ExportJob, source: Source, exported: ExportedModel) -> Manifest:
    return Manifest(
        task=job.task,
        labels=source.labels,
        format=job.format,
        precision=job.precision,
        model_files=exported.files,
        inputs=exported.inputs,
        outputs=exported.outputs,
        max_length=job.lengths[-1],
        lengths=exported.lengths,
        task_settings=job.settings,
        batch=exported.batch,
        precision_parts=exported.precision,
        calibration=exported.calibration,
        settings=exported.settings,
        parameters=source.parameters,
        tools=exporting.tool_versions(job.format),
        licence=body["licence"],
    )


def _check_lengths(source: Source, longest: int) -> None:
    positions = getattr(source.config, "max_position_embeddings", longest)
    if longest > positions:
        raise ExportError(
            f"the model reads at most {positions} tokens, and lengths go to {longest}",
            f"give lengths up to {positions}",
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
