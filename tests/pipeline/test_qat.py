"""A recipe with `qat`, as a user runs it: the artifact says so, a second run does nothing, without it all is new."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from told import Told

import edgebert
from edgebert.teacher import Teacher

pytestmark = pytest.mark.slow


def test_from_recipe_to_artifact(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path
) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    recipe: dict[str, Any] = {
        "task": "text-classification",
        "teacher": str(make_teacher("bert", layers=2, initializer_range=0.3).path),
        "data": {name: {"path": f"{name}.jsonl"} for name in ("train", "validation", "test")},
        "lengths": [16, 32], "distill": {"epochs": 2}, "qat": {"steps": 5}, "export": ["onnx-int8"],
    }  # fmt: skip
    path, out = tmp_path / "recipe.yaml", tmp_path / "out"

    def run(**changes: Any) -> list[str]:
        path.write_text(json.dumps({**recipe, **changes}), "utf-8")
        told = Told()
        edgebert.run(path, out=out, until="export", progress=told)
        return told.lines

    first = run()
    steps = [line.split()[:2] for line in first]
    assert steps.index(["distil", "6/6"]) < steps.index(["qat", "1/5"]) < steps.index(["qat", "5/5"])
    assert any("on the validation split as rounded to INT8" in line for line in first)
    with edgebert.load(out / "artifacts" / "onnx-int8") as model:
        assert "trained integers" in model.artifact.manifest.precision_parts["matmul"]
        assert model.predict("please lamp").label in ("lights", "music", "weather")
    again = run()
    assert {"student: kept", "export onnx-int8: kept"} <= set(again) and not any(line[:3] == "qat" for line in again)
    assert "student …" in run(qat=None) and not (out / "student" / "qat.json").exists()
