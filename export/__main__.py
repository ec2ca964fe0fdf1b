"""One export, in a process of its own: `python -m edgebert.export JOB.json` (started by `edgebert.exporting`).

Convert, compare with the source (`trial.py`), send back to float what INT8 lost too much of (`fallback.py`), write
the golden answers and, where it is asked for, the tokenizer's graph (`tokenizer_graph.py`), and only then save.
What went wrong goes into a result file beside the job, so that the parent raises the same error.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edgebert import artifact as artifacts
from edgebert import exporting, tasks
from edgebert.artifact import Artifact, Manifest
from edgebert.errors import EdgebertError, ExportError
from edgebert.processes import die_with_parent
from edgebert.protocols import ExportedModel, ExportJob

from . import fallback, tokenizer_graph, trial
from .source import Source, first_line, load_source


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
    # Only an INT8 export may have to be made again.
    repeated = body["precision"].startswith("int8")
    with tempfile.TemporaryDirectory(prefix="fp32-", dir=folder.parent) as scratch:
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
            scratch=Path(scratch) if repeated else None,
        )
        task = tasks.get(job.task, job.settings)
        source = load_source(job.model, task)
        _check_lengths(source, job.lengths[-1])
        tuning = Path(body["tuning"]) if body.get("tuning") else None
        setting = trial.setting(job, task, source, partial(_manifest, body, source), tuning)
        settled, entry = fallback.settle(
            setting, fallback=body.get("fallback", True), sensitivity=body.get("sensitivity", False)
        )
    trial.write_golden(setting, settled)
    manifest = settled.manifest
    if mode := body.get("tokenizer_in_graph"):
        told = tokenizer_graph.add(job, settled.task, manifest, mode, tuning)
        tools = exporting.tool_versions(job.format, tokenizer=True)
        manifest = replace(manifest, tokenizer_graph=told, tools=tools)
    lineage = (*body["lineage"], {"name": manifest.name, "role": "artifact", **entry})
    return artifacts.save(folder, replace(manifest, lineage=lineage), Path(body["target"]))


def _manifest(body: dict[str, Any], source: Source, job: ExportJob, exported: ExportedModel) -> Manifest:
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
        precision_parts={**exported.precision, **dict.fromkeys(job.float_groups, "float32: INT8 lost too much here")},
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
