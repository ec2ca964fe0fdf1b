"""What the default INT8 loses: three formats, four models, no quantization flag, beside Optimum's stock recipes.

    python benchmarks/defaults.py [--models clinc150-teacher,…] [--ways onnx-int8,…] [--student build/clinc150/student]
        [--questions 0] [--work build/defaults] [--out FOLDER]

Models: the teachers of CLINC150, WNUT-17 and SQuAD in `EDGEBERT_SHARED` (or `../shared`), and a CLINC150 student, that
of a recipe. Each cell is an artifact as `edgebert export MODEL --task … --format … --precision int8 --calibrate DATA`
makes it, DATA being the validation split (of SQuAD the one it was trained on), asked the whole test split as
`edgebert check` asks it (`--questions N`: N of SQuAD's questions, evenly spaced). Beside them stand the model itself in
torch, FP32, and Optimum's static and dynamic recipes (`AutoQuantizationConfig.avx512_vnni`, MinMax:
`defaults_optimum.py`), the former calibrated on the same texts, both run by the same runtime. Shown are the metric with
its 95 % interval, and the drop in points with the interval of the paired difference, a bootstrap over the test records.

Every cell is kept in `--work` when it is done; the same command goes on where it was stopped. `--models` and `--ways`
make some of the cells, and the table is written of those that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from runtime import OPTIMUM, optimum

from edgebert import artifact as artifacts
from edgebert import cpu, data, golden, metrics, registry, tasks
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.measurement import Measurement
from edgebert.progress import Lines
from edgebert.protocols import TensorSpec
from edgebert.statistics import statistic_interval
from edgebert.tokenization import load_tokenizer

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
SHARED = Path(os.environ.get("EDGEBERT_SHARED", ROOT.parent / "shared"))
SOURCE = "torch-fp32"
OURS = ("onnx-int8", "openvino-int8", "tflite-int8")
STOCK = ("optimum-static", "optimum-dynamic")
WAYS = (SOURCE, *OURS, *STOCK)

#: What a default artifact may lose, in points.
LIMIT = 0.5


@dataclass(frozen=True)
class Subject:
    """A model with its data: `columns` are those of both files, `format` is that of `test`."""

    model: Path
    task: str
    calibration: Path
    test: Path
    columns: Mapping[str, str]
    format: str | None = None


def subjects(student: Path) -> dict[str, Subject]:
    """Name -> model and data; CLINC150's files are made where they are not there."""
    clinc = ROOT / "build" / "clinc150-data"
    if not (clinc / "test.jsonl").is_file():
        source = SHARED / "data" / "clinc150" / "data_full.json"
        subprocess.run([sys.executable, HERE / "convert_clinc150.py", source, clinc], check=True)
    models, texts, intents = SHARED / "models", SHARED / "data", {"label": "intent"}
    intent = ("text-classification", clinc / "validation.jsonl", clinc / "test.jsonl", intents)
    wnut, squad = texts / "wnut17", texts / "squad"
    return {
        "clinc150-teacher": Subject(models / "minilm-clinc150", *intent),
        "clinc150-student": Subject(student, *intent),
        "wnut17-teacher": Subject(
            models / "minilm-wnut17", "token-classification", wnut / "emerging.dev.conll",
            wnut / "emerging.test.annotated", {}, "conll",
        ),
        "squad-teacher": Subject(
            models / "minilm-squad36", "question-answering", squad / "dev-v1.1-train36.json",
            squad / "dev-v1.1-eval12.json", {},
        ),
    }  # fmt: skip


def export_command(subject: Subject, way: str, out: Path) -> list[str]:
    """As a user types it."""
    format, _, precision = way.partition("-")
    label = [part for role, name in subject.columns.items() for part in (f"--{role}", name)]
    return [
        "edgebert", "export", str(subject.model), "--task", subject.task, "--format", format, "--precision", precision,
        "--calibrate", str(subject.calibration), *label, "-o", str(out),
    ]  # fmt: skip


def exported(subject: Subject, way: str, out: Path) -> Artifact:
    """The artifact of one cell, made where it is not there."""
    if not (out / artifacts.MANIFEST).is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        if way in STOCK:
            return stock(subject, way, exported(subject, "onnx-int8", out.parent / "onnx-int8"), out)
        command = export_command(subject, way, out)
        print(" ".join(command), file=sys.stderr)
        subprocess.run([sys.executable, "-m", *command], check=True)
    return artifacts.load(out)


def stock(subject: Subject, way: str, ours: Artifact, out: Path) -> Artifact:
    """Optimum's model in a folder that our runtime loads: tokenizer, labels and task are those of our ONNX artifact."""
    made, unfinished = out.with_name(f"{out.name}-made"), out.with_name(f".{out.name}-unfinished")
    for folder in (made, unfinished):
        shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, HERE / "defaults_optimum.py", subject.model, subject.task, ours.path]
    command += [subject.calibration, json.dumps(dict(subject.columns)), made, way]
    variables = os.environ | {"PYTHONPATH": str(optimum()), "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, env=variables)
    ignored = shutil.ignore_patterns(*ours.manifest.model_files, artifacts.MANIFEST, artifacts.GOLDEN)
    shutil.copytree(ours.path, unfinished, ignore=ignored)
    (made / "model_quantized.onnx").rename(unfinished / "model.onnx")
    manifest = replace(
        ours.manifest, precision=way.replace("optimum", "int8"), inputs=inputs_of(unfinished / "model.onnx"),
        settings={}, proven=(), precision_parts={"all": f"Optimum's recipe, {way}"}, calibration={},
        lineage=ours.manifest.lineage[:-1],
    )  # fmt: skip
    write_golden(unfinished, manifest, ours)
    shutil.rmtree(made)
    return artifacts.save(unfinished, manifest, out)


def inputs_of(path: Path) -> tuple[TensorSpec, ...]:
    """Of an ONNX file."""
    import onnx

    names = [entry.name for entry in onnx.load(str(path), load_external_data=False).graph.input]
    return tuple(TensorSpec(name, "int64", (-1, -1)) for name in names)


def write_golden(folder: Path, manifest: artifacts.Manifest, ours: Artifact) -> None:
    """What it answers here: nothing to judge it by, but a folder without golden answers is no artifact."""
    task = tasks.get(manifest.task, manifest.task_settings)
    tokenizer = load_tokenizer(folder, None if task.windowed else manifest.max_length)
    records = golden.records_of(ours)
    windows = [task.encode(tokenizer, record, manifest.max_length) for record in records]
    with closing(registry.find("runtimes", "onnx")(Artifact(folder, manifest, artifact_id=""), 1)) as runtime:
        outputs = [
            golden.run(each, runtime, manifest.inputs, manifest.lengths, manifest.outputs) for each in windows
        ]  # fmt: skip
        golden.make(
            folder, task=task, precision=manifest.precision, engine=runtime.engine, records=records, windows=windows,
            outputs=outputs,
        )  # fmt: skip


def measured(subject: Subject, way: str, artifact: Artifact, questions: int) -> Measurement:
    """All answers of one artifact, in a process of its own, as `edgebert check` has them; no times are taken."""
    task = tasks.get(artifact.manifest.task, artifact.manifest.task_settings)
    records = data.read_task_records(subject.test, task, subject.columns, format=subject.format)
    if questions and subject.task == "question-answering":
        records = [records[at] for at in np.linspace(0, len(records) - 1, questions).round().astype(int)]
    with connected("local") as device:
        role = "teacher" if way == SOURCE else "artifact"
        plan = Plan(launches=1, samples=0, lengths=())
        return measure_all([Candidate(way, role, artifact)], device, records, plan, Lines())[0]


def cell(folder: Path, name: str, subject: Subject, way: str, questions: int) -> None:
    """Make one cell where it is not there yet."""
    target = folder / name / f"{way}.json"
    artifact = exported(subject, way, folder / name / way)
    if target.is_file():
        kept = json.loads(target.read_text("utf-8"))
        if (kept["artifact_id"], kept.get("questions")) == (artifact.artifact_id, questions):
            return
    print(f"asking {name}, {way}", file=sys.stderr)
    found = measured(subject, way, artifact, questions)
    kept = {key: getattr(found, key) for key in ("artifact_id", "metric", "units", "engine", "model_bytes")}
    kept |= {"questions": questions, "instructions": cpu.instructions(), "fallback": _went_back(artifact)}
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(kept), "utf-8")
    unfinished.rename(target)


def _went_back(artifact: Artifact) -> list[str]:
    last = artifact.manifest.lineage[-1] if artifact.manifest.lineage else {}
    return list(last.get("fallback", {}).get("float", ()))


def rows_of(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each cell that is there: metric, and drop against the same model in torch, in points."""
    rows = []
    for name in names:
        if not (folder / name / f"{SOURCE}.json").is_file():
            continue
        cells = {way: folder / name / f"{way}.json" for way in WAYS}
        found = {way: json.loads(path.read_text("utf-8")) for way, path in cells.items() if path.is_file()}
        source = np.asarray(found[SOURCE]["units"])
        for way, kept in found.items():
            row = {"model": name, "way": way, **figures(kept, source)}
            if way == SOURCE:
                row = {key: value for key, value in row.items() if not key.startswith("drop")}
            rows.append(row)
    return rows


def figures(kept: Mapping[str, Any], source: NDArray[Any]) -> dict[str, Any]:
    """Of one cell: its metric, and its drop against the units of `source` in points, both with their intervals."""
    metric, units = kept["metric"], np.asarray(kept["units"])
    whole = metrics.interval(metric, units)
    drop = statistic_interval(
        lambda chosen: 100 * (metrics.value(metric, source[chosen]) - metrics.value(metric, units[chosen])), len(units)
    )
    return {
        "metric": metric, "records": len(units), "value": whole.value, "low": whole.low, "high": whole.high,
        "model_bytes": kept["model_bytes"], "engine": kept["engine"], "float": kept["fallback"],
        "drop": drop.value, "drop_low": drop.low, "drop_high": drop.high,
    }  # fmt: skip


def markdown(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """The table: a line for each model and way, and the worst drop of the default artifacts."""
    lines = [
        "# What the default INT8 loses", "",
        "| model | quantized as | metric, 95 % interval | drop in points, interval of the paired difference | MB |",
        "|:--|:--|--:|--:|--:|",
    ]  # fmt: skip
    for row in rows:
        whole = f"{100 * row['value']:.2f} ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
        drop = f"{row['drop']:+.2f} ({row['drop_low']:+.2f} to {row['drop_high']:+.2f})" if "drop" in row else ""
        back = f", in float: {', '.join(row['float'])}" if row["float"] else ""
        way = "FP32, torch" if row["way"] == SOURCE else f"`{row['way']}`{back}"
        size = f"{row['model_bytes'] / 1e6:.1f}"
        lines.append(f"| {row['model']}, {row['metric']} of {row['records']} | {way} | {whole} | {drop} | {size} |")
    titles = {"Default INT8, the worst drop": OURS} | {f"`{way}`, the worst": (way,) for way in STOCK}
    for title, ways in titles.items():
        drops = [row for row in rows if row["way"] in ways]
        if drops:
            worst = max(drops, key=lambda row: row["drop"])
            limit = f" (allowed: {LIMIT})" if ways == OURS else ""
            lines += ["", f"{title}: {worst['drop']:.2f} points, {worst['way']} of {worst['model']}{limit}."]
    return "\n".join([*lines, "", *(f"- {key}: {value}" for key, value in about.items()), ""])


def main() -> None:
    """Make the cells that were asked for, and the table of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", help="default: all four")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--student", type=Path, default=ROOT / "build" / "clinc150" / "student")
    parser.add_argument("--questions", type=int, default=0, help="of SQuAD; default: all")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "defaults")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "int8")
    given = parser.parse_args()
    every = subjects(given.student)
    names, ways = (given.models or ",".join(every)).split(","), given.ways.split(",")
    if unknown := {*names} - {*every} | {*ways} - {*WAYS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join([*every, *WAYS])}")
    for name in names:
        for way in ways:
            cell(given.work, name, every[name], way, given.questions)
    rows = rows_of(given.work, list(every))
    packages = ("torch", "transformers", "onnxruntime", "openvino", "nncf", "ai-edge-quantizer", "ai-edge-litert")
    about = {
        "command": "`python benchmarks/defaults.py`",
        "instructions": cpu.instructions(),
        "versions": ", ".join([f"{name} {metadata.version(name)}" for name in packages] + list(OPTIMUM)),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "defaults.md").write_text(text := markdown(rows, about), "utf-8")
    (given.out / "defaults.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
