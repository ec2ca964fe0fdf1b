"""The stages of a run, each with the key that says when its result may be kept."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert import artifact as artifacts
from edgebert import data, exporting, parallel, stages, tasks, teacher
from edgebert.check import Candidate, Plan
from edgebert.compress.distill import distill
from edgebert.compress.finetune import fine_tune
from edgebert.compress.student import Student, build_student, load_student
from edgebert.data_stream import Texts
from edgebert.errors import EdgebertError
from edgebert.measurement import Measurement
from edgebert.progress import SILENT, Progress
from edgebert.protocols import Device
from edgebert.recipe import FineTuneSpec, Recipe
from edgebert.repeat import Patience, measure_validly
from edgebert.report.model import Role
from edgebert.results import build_report
from edgebert.stages import Key, Store
from edgebert.tasks import Record, Task, texts_of
from edgebert.teacher import Teacher
from edgebert.together import Turn, side_by_side

if TYPE_CHECKING:
    from edgebert.report import Report

#: Raised by hand when the result of the same recipe would change.
TEACH_VERSION = 3
COMPRESS_VERSION = 3
MEASURE_VERSION = 4

_TRAINING_TOOLS = ("torch", "transformers", "accelerate", "tokenizers", "numpy")
_ENGINES = ("onnxruntime", "openvino", "ai-edge-litert", "torch", "tokenizers", "numpy")


@dataclass(frozen=True)
class Splits:
    """The data of a run, read once; texts without labels, which may be many, at each use."""

    train: list[Record]
    validation: list[Record]
    test: list[Record]
    unlabelled: Collection[Record]
    hashes: Mapping[str, str]


def task_of(recipe: Recipe) -> Task:
    """The task with its options: the recipe's, and what its teacher says of itself."""
    spec = recipe.teacher
    options: Mapping[str, Any] = recipe.options
    if not isinstance(spec, FineTuneSpec):
        options = teacher.options(_found(recipe, spec), recipe.task, recipe.options)
    return tasks.get(recipe.task, recipe.task_settings(options))


def read_splits(recipe: Recipe, task: Task, progress: Progress = SILENT) -> Splits:
    """Every record of the data; warns of test texts that are trained on. Raises DataError with file and line."""
    files = recipe.data.splits()
    unlabelled = files.pop("unlabelled", None)
    read = {name: data.read_split(split, recipe.folder, task) for name, split in files.items()}
    more: Collection[Record] = () if unlabelled is None else data.read_unlabelled(unlabelled, recipe.folder, task)
    if "validation" not in read:
        read["train"], read["validation"] = data.split_off(read["train"], 0.1, _seed(recipe))
    every: Mapping[str, Collection[Record]] = {**read, "unlabelled": more}
    hashes = {name: stages.digest_of(_said(record) for record in records) for name, records in every.items()}
    known = {tuple(texts_of(record)) for record in read["train"]}
    seen = sum(tuple(texts_of(record)) in known for record in read["test"])
    if seen:
        progress.say(f"warning: {seen} of {len(read['test'])} test texts stand in train too: the metric flatters")
    return Splits(read["train"], read["validation"], read["test"], more, hashes)


def teach(recipe: Recipe, task: Task, splits: Splits, store: Store) -> Teacher:
    """The teacher, found or fine-tuned, checked against the data before anything is trained on it."""
    spec = recipe.teacher
    if isinstance(spec, FineTuneSpec):
        path = store.out / "teacher"
        labels = list(recipe.labels or data.labels_of(splits.train, task))
        check_splits(recipe, task, splits, labels)
        base = _found(recipe, spec.base) if spec.base else None
        inputs = {"train": splits.hashes["train"], "validation": splits.hashes["validation"]}
        if base is not None:
            inputs["base"] = teacher.check_body(base, base.name).content_hash
        sections = recipe.section_json("task", "teacher") + _settings(task) + json.dumps([labels, recipe.max_length])
        key = Key(sections, inputs, stages.tools(*_TRAINING_TOOLS), TEACH_VERSION)

        def make() -> None:
            fine_tune(
                spec, task=task, labels=labels, train=splits.train, validation=splits.validation,
                lengths=recipe.lengths, out=path, work=store.work(f"teacher-{key.digest[:16]}"),
                progress=store.progress, body=base,
            )  # fmt: skip

        store.stage("teacher", key, [path], make)
        return teacher.inspect(path, name="teacher", task=task, labels=labels)
    path = _found(recipe, spec)
    path = Path(parallel.first(lambda: str(teacher.with_tokenizer(path, store.state / "teacher"))))
    found = teacher.inspect(path, name=Path(spec).name, task=task, labels=recipe.labels)
    check_splits(recipe, task, splits, found.labels)
    store.progress.say(f"teacher: {found.name}, {found.layers} layers, {found.parameters:,} parameters")
    return found


def compress(recipe: Recipe, task: Task, splits: Splits, taught: Teacher, store: Store) -> Student:
    """The student: cut out of the teacher, then distilled."""
    path = store.out / "student"
    inputs = {"teacher": taught.content_hash} | {k: splits.hashes[k] for k in ("train", "validation", "unlabelled")}
    corpus = recipe.path_of(recipe.student.corpus) if recipe.student.corpus else None
    inputs |= {"corpus": artifacts.sha256(corpus)} if corpus else {}
    asked = _found(recipe, recipe.masked_lm) if recipe.masked_lm else None
    inputs |= {"masked_lm": teacher.check_body(asked, asked.name).content_hash} if asked else {}
    # Of the lengths only the last decides: it cuts the texts and the positions.
    sections = recipe.section_json("task", "labels", "student", "distill", "qat") + _settings(task)
    key = Key(f"{sections}{recipe.max_length}", inputs, stages.tools(*_TRAINING_TOOLS), COMPRESS_VERSION)

    def make() -> None:
        work = store.work(f"student-{key.digest[:16]}")
        texts = Texts((splits.train, splits.validation, splits.unlabelled), corpus)
        unseen = [text for record in splits.test for text in texts_of(record)]  # counted, never trained on
        parallel.alone(lambda: build_student(
            taught, recipe.student, task=task, texts=texts, unseen=unseen, max_length=recipe.max_length,
            out=work / "start", intermediate_size=recipe.student.intermediate_size, seed=recipe.distill.seed,
            progress=store.progress,
        ))  # fmt: skip
        distill(
            taught, work / "start", recipe.distill, task=task,
            train=chain(splits.train, splits.unlabelled), validation=splits.validation, labels=taught.labels,
            lengths=recipe.lengths, out=path, work=work / "training", progress=store.progress,
            masked_lm=asked, qat=recipe.qat,
        )  # fmt: skip

    store.stage("student", key, [path], make)
    return load_student(path)


def export(
    recipe: Recipe, task: Task, splits: Splits, taught: Teacher, student: Student, store: Store
) -> list[Candidate]:
    """Teacher and student in the reference engine, and every artifact, each exported in a process of its own."""
    calibration = _sample(recipe, splits, store, "calibration", exporting.CALIBRATION_RECORDS)
    tuning = _sample(recipe, splits, store, "tuning", exporting.tuning_records(task))
    first = {"name": taught.name, "role": "teacher", "hash": taught.content_hash, "parameters": taught.parameters}
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
        inputs = {"model": model, "calibration": artifacts.sha256(calibration), "tuning": artifacts.sha256(tuning)}
        graph = recipe.tokenizer_in_graph if exporting.takes_tokenizer(format, precision) else None
        sections = recipe.section_json("task", "lengths") + _settings(task)
        sections += json.dumps([format, precision, lineage, *([graph] if graph else [])])
        tools = exporting.tool_versions(format, tokenizer=graph is not None)
        key = Key(sections, inputs, tools, exporting.version(format))

        def make(
            source: Path = source, format: str = format, precision: str = precision, target: Path = target,
            lineage: Sequence[Mapping[str, Any]] = lineage, name: str = name, graph: str | None = graph,
        ) -> None:  # fmt: skip
            exporting.export_artifact(
                source, task=recipe.task, format=format, precision=precision, lengths=recipe.lengths,
                calibration=calibration, target=target, lineage=lineage, licence=taught.licence,
                log=store.work("export") / f"{name}.log", settings=tasks.settings_of(task), tuning=tuning,
                tokenizer_in_graph=graph,
            )  # fmt: skip

        store.stage(f"export {name}", key, [target], make)
        made.append(Candidate(name, role, artifacts.load(target)))
    store.progress.step("export", len(wanted), len(wanted))
    return made


def measure(
    recipe: Recipe, splits: Splits, made: Sequence[Candidate], devices: Sequence[str], store: Store
) -> tuple[list[Measurement], dict[str, EdgebertError]]:
    """Every model on every device, side by side; teacher and student, which need torch, on this computer only.

    Returns:
        What was measured, and for each device that failed why.

    Raises:
        EdgebertError: all devices that were asked for failed.
    """

    def on(device: Device, turn: Turn) -> list[Measurement]:
        # Teacher and student are the reference that all devices are compared with: they run here, in torch.
        name = device.name
        chosen = [c for c in made if (name in devices if c.role == "artifact" else name == "local")]
        return _measure_on(device, recipe, splits, chosen, store, turn)

    outcomes = side_by_side(list(dict.fromkeys(("local", *devices))), on)
    failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, EdgebertError)}
    for name, error in failed.items():
        if set(devices) <= set(failed):
            raise error
        store.progress.say(f"error: {name} failed: {error.message}")
    return [m for outcome in outcomes.values() if not isinstance(outcome, EdgebertError) for m in outcome], failed


def _measure_on(
    device: Device, recipe: Recipe, splits: Splits, chosen: Sequence[Candidate], store: Store, turn: Turn
) -> list[Measurement]:
    plan = Plan(recipe.measure.launches, recipe.measure.samples, recipe.measure.threads, tuple(recipe.lengths))
    patience = Patience(recipe.measure.repeats, recipe.measure.rest_seconds)
    files = [store.out / "measurements" / f"{stages.slug(device.name)}-{c.name}.json" for c in chosen]
    facts = device.facts()
    lasting = {k: facts.get(k) for k in ("machine", "cpu", "model", "features", "usable_cores", "python")}
    inputs = {c.name: c.artifact.artifact_id for c in chosen} | {"test": splits.hashes["test"]}
    sections = recipe.section_json("task", "measure", "lengths") + json.dumps([device.name, lasting])
    key = Key(sections, inputs, stages.tools(*_ENGINES), MEASURE_VERSION)

    def make() -> None:
        measured = measure_validly(
            chosen, device, splits.test, plan, store.progress, patience,
            keep=store.state / "jobs" / stages.slug(device.name), quiet=turn,
        )  # fmt: skip
        for file, measurement in zip(files, measured, strict=True):
            stages.write_json(file, measurement.to_json())

    store.stage(f"measure {device.name}", key, files, make)
    return [Measurement.from_json(json.loads(file.read_text("utf-8"))) for file in files]


def report(
    recipe: Recipe,
    taught: Teacher,
    student: Student,
    made: Sequence[Candidate],
    measured: Sequence[Measurement],
    failed: Mapping[str, EdgebertError],
    splits: Splits,
    store: Store,
) -> Report:
    """The report in three forms, with the gates' verdicts. Cheap, so it is always written anew."""
    from edgebert.report import write_report

    sources = {"teacher": taught.content_hash, "student": student.content_hash}
    about = {
        "teacher": taught.name,
        "licence": taught.licence,
        "labels": len(taught.labels),
        "records": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
    }
    written = build_report(recipe, made, measured, sources, failed=failed, about=about)
    for path in write_report(written, store.out):
        store.progress.say(f"wrote {path}")
    return written


def check_splits(recipe: Recipe, task: Task, splits: Splits, labels: Sequence[str]) -> None:
    """Every label of every split must be one that the model knows. Raises DataError."""
    for name, records in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        split = recipe.data.splits().get(name, recipe.data.train)
        data.check_labels(records, labels, recipe.path_of(split.path), task)


def _sample(recipe: Recipe, splits: Splits, store: Store, name: str, most: int) -> Path:
    """A file of at most about `most` validation records, chosen by the seed."""
    share = min(1.0, most / len(splits.validation))
    chosen = splits.validation if share == 1.0 else data.split_off(splits.validation, share, _seed(recipe))[1]
    path = store.state / f"{name}.jsonl"
    text = "".join(json.dumps(_said(record), ensure_ascii=False) + "\n" for record in chosen)
    if not path.is_file() or path.read_text("utf-8") != text:  # a finished run touches nothing
        path.write_text(text, "utf-8")
    return path


def _said(record: Record) -> dict[str, Any]:
    """A record without the line that it stands on."""
    return {role: value for role, value in record.items() if role != "line"}


def _found(recipe: Recipe, name: str) -> Path:
    """A folder or hub id, fetched once for all processes of a machine."""
    return parallel.in_turn(lambda: teacher.resolve(name, recipe.folder))


def _settings(task: Task) -> str:
    return json.dumps(tasks.settings_of(task), sort_keys=True)


def _seed(recipe: Recipe) -> int:
    return recipe.distill.seed
