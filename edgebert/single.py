"""What the verbs do for one artifact or model, without a recipe: export, check, bench, verify."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from edgebert import artifact as artifacts
from edgebert import data, golden, tasks
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.errors import ArtifactError, DataError, UsageError
from edgebert.kept import keep_folder
from edgebert.progress import Progress
from edgebert.repeat import Patience, measure_validly
from edgebert.tasks import Record, Task

if TYPE_CHECKING:
    from edgebert.report import Result


def export_model(
    model: Path,
    *,
    format: str,
    precision: str,
    calibrate: Path | None,
    columns: Mapping[str, str],
    lengths: Sequence[int],
    task: str,
    options: Mapping[str, Any],
    output: Path,
    fallback: bool = True,
    sensitivity: bool = False,
    tokenizer_in_graph: str | None = None,
) -> Artifact:
    """Export a fine-tuned model as it is.

    Args:
        model: a Hugging Face folder.
        format: of the exporter registry.
        precision: one that the exporter knows.
        calibrate: real texts, labelled or not; `.txt` holds one a line.
        columns: role -> column of that file.
        lengths: sequence lengths in tokens; the largest is where texts are cut.
        task: of the task registry.
        options: settings of the task; what they leave open, the folder says.
        output: the artifact's folder; it must not exist, or hold an artifact, which is replaced.
        fallback: as `exporting.export_artifact` takes it.
        sensitivity: likewise.
        tokenizer_in_graph: likewise.

    Raises:
        DataError: the model or the calibration text cannot be used.
        ExportError: the conversion failed, or lost too much; a tokenizer graph gives other ids.
        MissingExtra: what such a graph is made with is not installed.
    """
    from edgebert import exporting, teacher

    if output.exists() and not (output / artifacts.MANIFEST).is_file() and any(output.iterdir()):
        raise UsageError(f"{output} is not empty and holds no artifact", "give a new folder")
    if list(lengths) != sorted(lengths):
        raise UsageError(f"--lengths {','.join(map(str, lengths))} must ascend", "such as 16,32,64,128")
    with tempfile.TemporaryDirectory(prefix="edgebert-export-") as scratch:
        folder = teacher.with_tokenizer(teacher.resolve(str(model), Path()), Path(scratch) / "model")
        kind = tasks.get(
            task, teacher.options(folder, task, options) | ({"pair": True} if "text_pair" in columns else {})
        )
        found = teacher.inspect(folder, name=model.name, task=kind)
        source = {
            "name": found.name,
            "role": "teacher",
            "hash": found.content_hash,
            "parameters": found.parameters,
        }
        calibration, tuning = None, None
        if calibrate is not None:
            records = _records(calibrate, kind, columns)
            calibration = _spread(records, exporting.CALIBRATION_RECORDS, Path(scratch) / "calibration.jsonl")
            tuning = _spread(records, exporting.tuning_records(kind), Path(scratch) / "tuning.jsonl")
        log = output.parent / f"{output.name}.log"  # stays when the export fails, for its message names it
        artifact = exporting.export_artifact(
            found.path, task=task, format=format, precision=precision, lengths=tuple(lengths), calibration=calibration,
            target=output, lineage=(source,), licence=found.licence, log=log, settings=tasks.settings_of(kind),
            tuning=tuning, fallback=fallback, sensitivity=sensitivity, tokenizer_in_graph=tokenizer_in_graph,
        )  # fmt: skip
        log.unlink()
        return artifact


def _records(path: Path, task: Task, columns: Mapping[str, str]) -> list[Record]:
    """The records to calibrate and tune with; targets are used when the file has them."""
    if path.suffix == ".txt":
        if task.roles != ("text",):
            raise DataError(f"{path}: {task.name} reads {' and '.join(task.roles)}", "give JSONL with these keys")
        records: list[Record] = [{"text": text} for text in data.read_texts(path)]
    else:
        try:
            records = data.read_task_records(path, task, columns)
        except DataError as error:
            if repr(columns.get(task.target, task.target)) not in error.message:
                raise
            records = list(data.read_records(path, {role: columns.get(role, role) for role in task.roles}))
    if not records:
        raise DataError(f"{path} has no text to calibrate with", "give a file of real texts")
    return [{key: value for key, value in record.items() if key != "line"} for record in records]


def _spread(records: Sequence[Record], most: int, path: Path) -> Path:
    """A file of at most so many of the records, evenly spaced."""
    places = range(len(records)) if len(records) <= most else (at * len(records) // most for at in range(most))
    path.write_text("".join(json.dumps(records[at], ensure_ascii=False) + "\n" for at in places), "utf-8")
    return path


def check_artifact(
    path: Path,
    file: Path,
    *,
    columns: Mapping[str, str],
    format: str | None = None,
    device: str,
    threads: int,
    launches: int,
    samples: int,
    repeats: int,
    progress: Progress,
) -> Result:
    """Accuracy and latency of one artifact on one device, over the labelled records of `file`.

    Raises:
        ArtifactError: damaged, or other answers than its golden ones.
        DataError: the records cannot be used, or have labels that the artifact does not know.
        DeviceError: the device cannot do it.
    """
    from edgebert.results import results_of

    artifact = artifacts.load(path)
    task = tasks.get(artifact.manifest.task, artifact.manifest.task_settings)
    records = data.read_task_records(file, task, columns, format=format)
    if not records:
        raise DataError(f"{file} is empty", "give labelled texts")
    data.check_labels(records, artifact.manifest.labels, file, task)
    lengths = artifact.manifest.lengths or tuple(n for n in (16, 32, 64, 128) if n <= artifact.manifest.max_length)
    plan = Plan(launches, samples, threads, lengths)
    with connected(device) as connection:
        candidate = Candidate(path.name, "artifact", artifact)
        patience = Patience(repeats)
        measured = measure_validly([candidate], connection, records, plan, progress, patience, keep=keep_folder())
    return results_of(measured)[0]


def bench_native(
    paths: Sequence[Path], binary: Path, *, device: str, lengths: Sequence[int], threads: Sequence[int], launches: int
) -> list[dict[str, Any]]:
    """As `bench_artifacts`, by a benchmark program of the engine's own, 50 runs for each launch.

    Raises:
        UsageError: the device or the artifacts' format has no such program.
        ArtifactError, DeviceError: as `check_artifact`.
    """
    loaded = [(name, artifacts.load(path)) for name, path in zip(_names(paths), paths, strict=True)]
    with connected(device) as connection:
        bench = getattr(connection, "bench_native", None)
        if bench is None:
            raise UsageError(f"{device}: native figures are taken on local and android devices", "leave --native out")
        rows: list[dict[str, Any]] = bench(loaded, binary, lengths=lengths, threads=threads, runs=50 * launches)
    return rows


def _names(paths: Sequence[Path]) -> list[str]:
    return [path.name if len({p.name for p in paths}) == len(paths) else str(path) for path in paths]


def bench_artifacts(
    paths: Sequence[Path],
    *,
    device: str,
    lengths: Sequence[int],
    threads: Sequence[int],
    launches: int,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Engine times of several artifacts, taking turns; p50 and p90 in milliseconds by sequence length.

    `partial` of a row has the samples of an earlier measurement that was cut; they are not in its figures.

    Raises:
        ArtifactError, DeviceError: as `check_artifact`.
    """
    loaded = [artifacts.load(path) for path in paths]
    names = _names(paths)
    rows = []
    with connected(device) as connection:
        for count in threads:
            plan = Plan(launches, samples=0, threads=count, lengths=tuple(lengths), predict=False)
            candidates = [Candidate(n, "artifact", a) for n, a in zip(names, loaded, strict=True)]
            records = golden.records_of(loaded[0])
            for found in measure_all(candidates, connection, records, plan, progress, keep_folder()):
                times = {length: _quantiles(runs) for length, runs in found.engine_ms.items()}
                rows.append(
                    {
                        "name": found.name, "device": device, "threads": count, "engine": found.engine,
                        "engine_ms": times, "emulated": bool(found.facts_before.get("emulated")),
                        "facts": dict(found.facts_before), "partial": list(found.partial),
                    }
                )  # fmt: skip
    return rows


def _quantiles(launches: Sequence[Sequence[float]]) -> dict[str, float | int]:
    values = [value for launch in launches for value in launch]
    deciles = quantiles(values, n=10, method="inclusive")
    return {"p50": deciles[4], "p90": deciles[8], "n": len(values)}


def prove_artifact(path: Path, device: str, *, record: bool) -> dict[str, Any]:
    """Checksums here, golden answers on a device; with `record` the manifest says so afterwards.

    Raises:
        ArtifactError: damaged, or other answers there.
        DeviceError: the device cannot do it.
    """
    from edgebert import proving

    artifact = artifacts.load(path)
    with connected(device) as connection:
        proof = proving.prove(artifact, connection)
    if record:
        artifact = proving.record(artifact, proof)
    return {
        "artifact": str(path),
        "artifact_id": artifact.artifact_id,
        "name": artifact.manifest.name,
        "device": device,
        "instructions": proof.instructions,
        "engine": proof.engine,
        "golden": _equal(proof.max_error, proof.tolerance),
        "proven": _proven(artifact),
    }


def _equal(error: float, tolerance: float) -> str:
    return f"equal (largest difference {error:.2g}, tolerance {tolerance:.2g})"


def _proven(artifact: Artifact) -> str:
    """`x86_64 avx2 in onnxruntime 1.32.0; …`."""
    return "; ".join(f"{each['instructions']} in {each['engine']}" for each in artifact.manifest.proven) or "not said"


def verify_artifact(path: Path) -> dict[str, Any]:
    """Checksums, manifest and golden answers of one artifact, in this machine's engine.

    Raises:
        ArtifactError: any of them is wrong.
    """
    from edgebert.model import Model

    with Model.load(path, golden=False) as model:
        found = golden.check(model.artifact, model.runtime)
        if not found.ok:
            raise ArtifactError(
                f"{path}: golden answers differ in {model.runtime.engine}: {found.details}",
                "do not use this artifact with this engine: export it again, or install another engine version",
            )
        manifest = model.artifact.manifest
        return {
            "artifact": str(path),
            "artifact_id": model.artifact.artifact_id,
            "name": manifest.name,
            "task": manifest.task,
            "labels": len(manifest.labels),
            "files": f"{len(manifest.files)} as listed, {model.artifact.folder_bytes:,} bytes",
            "engine": model.runtime.engine,
            "golden": _equal(found.max_error, found.tolerance),
            "proven": _proven(model.artifact),
        }
