"""Artifacts of tiny models in every format, exported once."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import SINGLE, records_for

from edgebert import exporting, tasks
from edgebert.artifact import Artifact
from edgebert.tasks import Task
from edgebert.teacher import Teacher

LENGTHS = (8, 16)
Exported = Callable[..., Artifact]


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> Callable[[Task], Path]:
    """`calibration(task)`: a file of its records."""
    folder = tmp_path_factory.mktemp("calibration")

    def write(task: Task = SINGLE) -> Path:
        path = folder / f"{task.name}-{getattr(task, 'problem', '')}-{task.segments}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records_for(task, records)), "utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny(make_teacher: Callable[..., Teacher]) -> Callable[..., Path]:
    """`tiny("bert", task)`: a folder of a model with two layers and random weights large enough to differ by text."""
    made: dict[tuple[str, Task], Path] = {}

    def make(family: str, task: Task = SINGLE) -> Path:
        if (family, task) not in made:
            # One number, or the best of many tokens, hangs on little: larger random weights would drown it in noise.
            quiet = task.name == "question-answering" or not task.labelled
            size = 0.15 if quiet else 0.3
            made[family, task] = make_teacher(family, layers=2, task=task, initializer_range=size).path
        return made[family, task]

    return make


@pytest.fixture(scope="session")
def job() -> Callable[..., dict[str, Any]]:
    """`job(model, "onnx-int8", calibration, target, task)`: the body of a job file."""

    def make(
        model: Path, name: str, calibration: Path | None, target: Path, task: Task = SINGLE, tune: bool = False
    ) -> dict[str, Any]:
        format, _, precision = name.partition("-")
        return {
            "model": str(model), "task": task.name, "format": format, "precision": precision,
            "lengths": list(LENGTHS), "calibration": str(calibration) if calibration else None,
            "lineage": [], "licence": "Apache-2.0", "seed": 0, "target": str(target), "parent": os.getpid(),
            "settings": tasks.settings_of(task), "tuning": str(calibration) if tune else None,
        }  # fmt: skip

    return make


@pytest.fixture(scope="session")
def exported(
    tiny: Callable[..., Path],
    calibration: Callable[[Task], Path],
    job: Callable[..., dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    """`exported("bert", "onnx-int8", task)`: by what the child process runs, but in this one: torch loads once."""
    from edgebert.export import __main__ as child

    made: dict[tuple[str, str, Task], Artifact] = {}

    def make(family: str, name: str, task: Task = SINGLE) -> Artifact:
        if (family, name, task) not in made:
            folder = tmp_path_factory.mktemp(f"{family}-{name}")
            work = folder / "work"
            work.mkdir()
            body = job(tiny(family, task), name, calibration(task), folder / name, task)
            made[family, name, task] = child.export(body, work)
        return made[family, name, task]

    os.environ.update(exporting.ENVIRONMENT)
    return make


@pytest.fixture(scope="session")
def real_teacher_as(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artifact]:
    """`real_teacher_as("onnx-int8")`: the teacher of CLINC150, six layers, exported once at 16 and 32 tokens."""
    data = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))
    folder = tmp_path_factory.mktemp("real")
    validation = folder / "validation.jsonl"
    records = [{"text": text, "label": label} for text, label in data["val"]]
    validation.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")

    @functools.cache
    def make(name: str) -> Artifact:
        format, _, precision = name.partition("-")
        return exporting.export_artifact(
            shared / "models/minilm-clinc150", task="text-classification", format=format, precision=precision,
            lengths=(16, 32), calibration=validation, target=folder / name, log=folder / f"{name}.log",
        )  # fmt: skip

    return make
