"""Artifacts of tiny models in every format, exported once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebert import exporting
from edgebert.artifact import Artifact
from edgebert.teacher import Teacher

LENGTHS = (8, 16)
Exported = Callable[[str, str], Artifact]


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(make_teacher: Callable[..., Teacher]) -> Callable[[str], Path]:
    """`tiny("bert")`: a folder of a model with two layers and random weights large enough to differ by text."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = make_teacher(family, layers=2, initializer_range=0.3).path
        return made[family]

    return make


@pytest.fixture(scope="session")
def job() -> Callable[..., dict[str, Any]]:
    """`job(model, "onnx-int8", calibration, target)`: the body of a job file."""

    def make(model: Path, name: str, calibration: Path | None, target: Path) -> dict[str, Any]:
        format, _, precision = name.partition("-")
        return {
            "model": str(model), "task": "text-classification", "format": format, "precision": precision,
            "lengths": list(LENGTHS), "calibration": str(calibration) if calibration else None,
            "lineage": [], "licence": "Apache-2.0", "seed": 0, "target": str(target), "parent": os.getpid(),
        }  # fmt: skip

    return make


@pytest.fixture(scope="session")
def exported(
    tiny: Callable[[str], Path],
    calibration: Path,
    job: Callable[..., dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    """`exported("bert", "onnx-int8")`: exported by what the child process runs, but in this one: torch loads once."""
    from edgebert.export import __main__ as child

    made: dict[tuple[str, str], Artifact] = {}

    def make(family: str, name: str) -> Artifact:
        if (family, name) not in made:
            folder = tmp_path_factory.mktemp(f"{family}-{name}")
            work = folder / "work"
            work.mkdir()
            body = job(tiny(family), name, calibration, folder / name)
            made[family, name] = child.export(body, work)
        return made[family, name]

    os.environ.update(exporting.ENVIRONMENT)
    return make
