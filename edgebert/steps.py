"""The stages of a run, each with the key that says when its result may be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert import artifact as artifacts
from edgebert import data, exporting, stages, teacher
from edgebert.check import Candidate, Measurement, Plan, connected, measure_all
from edgebert.compress.distill import distill
from edgebert.compress.student import Student, build_student, load_student
from edgebert.progress import SILENT, Progress
from edgebert.protocols import Device
from edgebert.recipe import FineTuneSpec, Recipe
from edgebert.report.model import Role
from edgebert.results import build_report
from edgebert.stages import Key, Store
from edgebert.tasks import Record
from edgebert.teacher import Teacher

if TYPE_CHECKING:
    from edgebert.report import Report

#: Validation records that INT8 is calibrated on and exports are compared on.
CALIBRATION_RECORDS = 300

#: Raised by hand when the result of the same recipe would change.
TEACH_VERSION = 1
COMPRESS_VERSION = 1

_TRAINING_TOOLS = ("torch", "transformers", "accelerate", "tokenizers", "numpy")
_ENGINES = ("onnxruntime", "openvino", "ai-edge-litert", "torch", "tokenizers", "numpy")


@dataclass(frozen=True)
class Splits:
    """The data of a run, read once."""

    train: list[Record]
    validation: list[Record]
    test: list[Record]
    hashes: Mapping[str, str]


def read_splits(recipe: Recipe, progress: Progress = SILENT) -> Splits:
    """Every record of the data; warns of test texts that are trained on. Raises DataError with file and line."""
    read = {name: data.read_split(split, recipe.folder) for name, split in recipe.data.splits().items()}
    if "validation" not in read:
        read["train"], read["validation"] = data.split_off(read["train"], 0.1, _seed(recipe))
    hashes = {
        name: stages.digest([{k: v for k, v in record.items() if k != "line"} for record in records])
        for name, records in read.items()
    }
    known = {record["text"] for record in read["train"]}
    seen = sum(record["text"] in known for record in read["test"])
    if seen:
        progress.say(f"warning: {seen} of {len(read['test'])} test texts stand in train too: the metric flatters")
    return Splits(read["train"], read["validation"], read["test"], hashes)


def teach(recipe: Recipe, splits: Splits, store: Store) -> Teacher:
    """The teacher, found or fine-tuned, checked against the data before anything is trained on it."""
    spec = recipe.teacher
    if isinstance(spec, FineTuneSpec):
        path = store.out / "teacher"
        labels = list(recipe.labels or data.labels_of(splits.train))
        check_splits(recipe, splits, labels)
        base = teacher.resolve(spec.base, recipe.folder) if spec.base else None
        inputs = {"train": splits.hashes["train"], "validation": splits.hashes["validation"]}
        if base is not None:
            inputs["base"] = teacher.check_body(base, base.name).content_hash
        sections = recipe.section_json("task", "teacher") + json.dumps([labels, recipe.max_length])
        key = Key(sections, inputs, stages.tools(*_TRAINING_TOOLS), TEACH_VERSION)

        def make() -> None:
            teacher.fine_tune(
                spec, task=recipe.task, labels=labels, train=splits.train, validation=splits.validation,
                lengths=recipe.lengths, out=path, work=store.work(f"teacher-{key.digest[:16]}"),
                progress=store.progress, base=base,
            )  # fmt: skip

        store.stage("teacher", key, [path], make)
        return teacher.inspect(path, name="teacher", labels=labels)
    path = teacher.with_tokenizer(teacher.resolve(spec, recipe.folder), store.state / "teacher")
    found = teacher.inspect(path, name=Path(spec).name, labels=recipe.labels)
    check_splits(recipe, splits, found.labels)
    store.progress.say(f"teacher: {found.name}, {found.layers} layers, {found.parameters:,} parameters")
    return found


def compress(recipe: Recipe, splits: Splits, taught: Teacher, store: Store) -> Student:
    """The student: cut out of the teacher, then distilled."""
    path = store.out / "student"
    inputs = {"teacher": taught.content_hash} | {k: splits.hashes[k] for k in ("train", "validation")}
    # Of the lengths only the last decides: it cuts the texts and the positions.
    sections = recipe.section_json("task", "labels", "student", "distill") + str(recipe.max_length)
    key = Key(sections, inputs, stages.tools(*_TRAINING_TOOLS), COMPRESS_VERSION)

    def make() -> None:
        work = store.work(f"student-{key.digest[:16]}")
        texts = [record["text"] for record in (*splits.train, *splits.validation)]
        start = build_student(
            taught, recipe.student, texts=texts, max_length=recipe.max_length, out=work / "start",
            intermediate_size=recipe.student.intermediate_size,
        )  # fmt: skip
        distill(
            taught, start.path, recipe.distill, layer_map=start.layer_map, train=splits.train,
            validation=splits.validation, labels=taught.labels, lengths=recipe.lengths, out=path,
            work=work / "training", progress=store.progress,
        )  # fmt: skip

    store.stage("student", key, [path], make)
    return load_student(path)


def export(recipe: Recipe, splits: Splits, taught: Teacher, student: Student, store: Store) -> list[Candidate]:
    """Teacher and student in the reference engine, and every artifact, each exported in a process of its own."""
    calibration = _calibration(recipe, splits, store)
    first = {
        "name": taught.name,
        "role": "teacher",
        "hash": taught.content_hash,
        "parameters": taught.parameters,
    }
    wanted: list[tuple[str, Role, Path, str, str, Path, tuple[Mapping[str, Any], ...]]] = [
        ("teacher", "teacher", taught.path, "torch", "fp32", store.state / "baselines" / "teacher", ()),
        (
            "student",
            "student",
            student.path,
            "torch",
            "fp32",
            store.state / "baselines" / "student",
            (first,),
        ),
    ]
    second = {
        "name": "student",
        "role": "student",
        "hash": student.content_hash,
        "parameters": student.parameters,
    }
    for name in recipe.export:
        format, precision = name.split("-", 1)
        target = store.out / "artifacts" / name
        wanted.append((name, "artifact", student.path, format, precision, target, (first, second)))
    made = []
    for number, (name, role, source, format, precision, target, lineage) in enumerate(wanted):
        store.progress.step("export", number, len(wanted), name)
        model = taught.content_hash if role == "teacher" else student.content_hash
        inputs = {"model": model, "calibration": artifacts.sha256(calibration)}
        sections = recipe.section_json("task", "lengths") + json.dumps([format, precision, lineage])
        key = Key(sections, inputs, exporting.tool_versions(format), exporting.version(format))

        def make(
            source: Path = source, format: str = format, precision: str = precision, target: Path = target,
            lineage: Sequence[Mapping[str, Any]] = lineage, name: str = name,
        ) -> None:  # fmt: skip
            exporting.export_artifact(
                source, task=recipe.task, format=format, precision=precision, lengths=recipe.lengths,
                calibration=calibration, target=target, lineage=lineage, licence=taught.licence,
                log=store.work("export") / f"{name}.log",
            )  # fmt: skip

        store.stage(f"export {name}", key, [target], make)
        made.append(Candidate(name, role, artifacts.load(target)))
    store.progress.step("export", len(wanted), len(wanted))
    return made


def measure(
    recipe: Recipe, splits: Splits, made: Sequence[Candidate], devices: Sequence[str], store: Store
) -> list[Measurement]:
    """Every model on every device; teacher and student, which need torch, on this computer only."""
    plan = Plan(recipe.measure.launches, recipe.measure.samples, recipe.measure.threads, tuple(recipe.lengths))
    found: list[Measurement] = []
    for name in dict.fromkeys(("local", *devices)):
        # Teacher and student are the reference that all devices are compared with: they run here, in torch.
        chosen = [c for c in made if (name in devices if c.role == "artifact" else name == "local")]
        files = [store.out / "measurements" / f"{stages.slug(name)}-{c.name}.json" for c in chosen]
        with connected(name) as device:
            facts = device.facts()
            lasting = {k: facts.get(k) for k in ("machine", "cpu", "model", "features", "usable_cores", "python")}
            inputs = {c.name: c.artifact.artifact_id for c in chosen} | {"test": splits.hashes["test"]}
            sections = recipe.section_json("task", "measure", "lengths") + json.dumps([name, lasting])
            key = Key(sections, inputs, stages.tools(*_ENGINES))

            def make(
                device: Device = device, chosen: Sequence[Candidate] = chosen, files: Sequence[Path] = files
            ) -> None:
                measured = measure_all(chosen, device, splits.test, recipe.task, plan, store.progress)
                for file, measurement in zip(files, measured, strict=True):
                    stages.write_json(file, measurement.to_json())

            store.stage(f"measure {name}", key, files, make)
        found += [Measurement.from_json(json.loads(file.read_text("utf-8"))) for file in files]
    return found


def report(
    recipe: Recipe,
    taught: Teacher,
    student: Student,
    made: Sequence[Candidate],
    measured: Sequence[Measurement],
    store: Store,
) -> Report:
    """The report in three forms, with the gates' verdicts. Cheap, so it is always written anew."""
    from edgebert.report import write_report

    sources = {"teacher": taught.content_hash, "student": student.content_hash}
    written = build_report(recipe, made, measured, sources)
    for path in write_report(written, store.out):
        store.progress.say(f"wrote {path}")
    return written


def check_splits(recipe: Recipe, splits: Splits, labels: Sequence[str]) -> None:
    """Every label of every split must be one that the model knows. Raises DataError."""
    for name, records in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        split = recipe.data.splits().get(name, recipe.data.train)
        data.check_labels(records, labels, recipe.path_of(split.path))


def _calibration(recipe: Recipe, splits: Splits, store: Store) -> Path:
    """The file of validation records that exports are calibrated and compared on, chosen by the seed."""
    share = min(1.0, CALIBRATION_RECORDS / len(splits.validation))
    chosen = splits.validation if share == 1.0 else data.split_off(splits.validation, share, _seed(recipe))[1]
    path = store.state / "calibration.jsonl"
    lines = [json.dumps({k: v for k, v in r.items() if k != "line"}, ensure_ascii=False) for r in chosen]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _seed(recipe: Recipe) -> int:
    return recipe.distill.seed
