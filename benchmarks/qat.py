"""What quantization-aware training wins back: WNUT-17's teacher in INT8, by PTQ and by QAT.

    python benchmarks/qat.py [--ways onnx-int8-static,…] [--steps 200] [--lr 5e-5] [--work build/qat] [--out FOLDER]

The model is the whole teacher (6 layers of 384), which post-training quantization costs the most of all that
`benchmarks/defaults.py` shows. The student is the same model, all layers and word pieces, without any distillation, so
that only the quantization differs: then so many steps of 16 training sentences with `qat`. Both are exported as
`edgebert export MODEL --calibrate DATA` does it, and asked the whole test split. Shown are F1 with its 95 % interval,
and the drop against the teacher in FP32 with the interval of the paired difference.

Everything is kept in `--work` when it is done; the same command goes on where it was stopped. `--ways` makes some of
the cells, and the table is written of those that are there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from defaults import HERE, ROOT, SHARED, SOURCE, Subject, cell, figures, subjects

from edgebert import cpu, data, tasks, teacher
from edgebert.compress.distill import distill
from edgebert.compress.student import build_student
from edgebert.progress import Lines
from edgebert.recipe import DistillSpec, QatSpec, StudentSpec
from edgebert.tasks import texts_of

WAYS = ("onnx-int8-static", "openvino-int8", "onnx-int8", "tflite-int8", "tflite-int8-full")
MODELS = ("PTQ", "QAT")
LENGTHS = (16, 32, 64, 128)


def trained(work: Path, subject: Subject, steps: int, lr: float) -> Path:
    """The teacher as a student that went on with `qat`; made where it is not there, resumed where it was begun."""
    name = f"steps-{steps}-lr-{lr:g}"
    out = work / name / "student"
    if (out / "config.json").is_file():
        return out
    task = tasks.get(subject.task)
    taught = teacher.inspect(subject.model, name=subject.model.name, task=task)
    wnut = SHARED / "data" / "wnut17"
    train = data.read_task_records(wnut / "wnut17train.conll", task, {})
    start = build_student(
        taught, StudentSpec(layers=None, vocabulary="keep"), task=task,
        texts=[text for record in train for text in texts_of(record)], max_length=LENGTHS[-1],
        out=work / name / "start", progress=Lines(),
    )  # fmt: skip
    distill(
        taught, start.path, DistillSpec(epochs=0, batch_size=16), task=task, train=train, validation=(),
        labels=taught.labels, lengths=LENGTHS, out=out, work=work / name / "training", progress=Lines(), threads=1,
        qat=QatSpec(steps=steps, lr=lr),
    )  # fmt: skip
    return out


def rows_of(work: Path, qat: Path) -> list[dict[str, Any]]:
    """One row for each cell that is there, against the teacher in torch."""
    folders = dict(zip(MODELS, (work / "PTQ", qat), strict=True))
    source = np.asarray(json.loads((work / "PTQ" / f"{SOURCE}.json").read_text("utf-8"))["units"])
    rows = []
    for way in (SOURCE, *WAYS):
        for model, folder in folders.items():
            path = folder / f"{way}.json"
            if not path.is_file():
                continue
            kept = json.loads(path.read_text("utf-8"))
            rows.append({"model": model, "way": way, **figures(kept, source)})
    return rows


def markdown(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """The table."""
    lines = [
        "# What quantization-aware training wins back", "",
        "| format | quantized by | F1, 95 % interval | drop in points, interval of the paired difference | MB |",
        "|:--|:--|--:|--:|--:|",
    ]  # fmt: skip
    for row in rows:
        whole = f"{100 * row['value']:.2f} ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
        drop = f"{row['drop']:+.2f} ({row['drop_low']:+.2f} to {row['drop_high']:+.2f})"
        back = f", in float: {', '.join(row['float'])}" if row["float"] else ""
        fp32 = row["way"] == SOURCE
        way = ("the teacher" if row["model"] == "PTQ" else "its weights after QAT") if fp32 else row["model"]
        name = "FP32, torch" if fp32 else f"`{row['way']}`{back}"
        lines.append(f"| {name} | {way} | {whole} | {drop} | {row['model_bytes'] / 1e6:.1f} |")
    return "\n".join([*lines, "", *(f"- {key}: {value}" for key, value in about.items()), ""])


def main() -> None:
    """Train, make the cells that were asked for, and the table of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", default=",".join(WAYS[:3]))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "qat")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "qat")
    given = parser.parse_args()
    ways = given.ways.split(",")
    if unknown := {*ways} - {*WAYS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(WAYS)}")
    ptq = subjects(Path())["wnut17-teacher"]
    student = trained(given.work, ptq, given.steps, given.lr)
    for way in (SOURCE, *ways):
        cell(given.work, "PTQ", ptq, way, 0)
        cell(student.parent, "QAT", replace(ptq, model=student), way, 0)
    packages = ("torch", "transformers", "onnxruntime", "openvino", "nncf", "ai-edge-quantizer", "ai-edge-litert")
    about = {
        "command": "`python benchmarks/qat.py`",
        "training": f"{given.steps} steps of 16 sentences, lr {given.lr:g}",
        "instructions": cpu.instructions(),
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in packages),
    }
    rows = rows_of(given.work, student.parent / "QAT")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "qat.md").write_text(text := markdown(rows, about), "utf-8")
    (given.out / "qat.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
