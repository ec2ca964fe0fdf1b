"""Bad input, as a user would meet it: the command line, two lines of error, the right exit code, nothing left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from edgebert.cli import main
from edgebert.teacher import Teacher


class Workshop:
    """A folder with a good recipe, good data and a good teacher; each test spoils one thing."""

    def __init__(self, folder: Path, teacher: Path, records: list[dict[str, str]]) -> None:
        self.folder = folder
        self.recipe: dict[str, Any] = {
            "task": "text-classification",
            "teacher": "./teacher",
            "data": {name: {"path": f"{name}.jsonl"} for name in ("train", "validation", "test")},
            "lengths": [16, 32],
            "student": {"layers": 1},
            "distill": {"epochs": 1},
        }
        shutil.copytree(teacher, folder / "teacher")
        for name in ("train", "validation", "test"):
            self.write(name, records)

    def write(self, name: str, records: list[dict[str, Any]]) -> None:
        lines = [json.dumps(record) for record in records]
        (self.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n" if lines else "")

    def refused(self, code: int, *messages: str) -> None:
        """Run the recipe: that exit code, one error line and one fix line, no student, no artifact."""
        (self.folder / "recipe.yaml").write_text(json.dumps(self.recipe))
        arguments = ["run", str(self.folder / "recipe.yaml"), "--out", str(self.folder / "out")]
        done = CliRunner().invoke(main, arguments)
        shown = done.stderr[done.stderr.index("error: ") :].rstrip("\n").split("\n")
        assert done.exit_code == code, done.stderr
        assert any(line.startswith("  fix: ") for line in shown), done.stderr
        for message in messages:
            assert message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        left = {path.name for path in (self.folder / "out").rglob("*") if path.is_file()}
        assert left <= {"lock"}, left


@pytest.fixture
def workshop(tmp_path: Path, teacher: Teacher, records: list[dict[str, str]]) -> Workshop:
    return Workshop(tmp_path, teacher.path, records)


def test_missing_data_file(workshop: Workshop) -> None:
    (workshop.folder / "test.jsonl").unlink()
    workshop.refused(2, "test.jsonl")


def test_missing_teacher(workshop: Workshop) -> None:
    workshop.recipe["teacher"] = "./techer"
    workshop.refused(2, "techer")


def test_unknown_recipe_key(workshop: Workshop) -> None:
    workshop.recipe["distil"] = {"epochs": 1}
    workshop.refused(2, "distil", "did you mean 'distill'?")


def test_every_recipe_error_at_once(workshop: Workshop) -> None:
    workshop.recipe |= {"lengths": [32, 16], "export": ["onxx-int8"], "distill": {"epoch": 1, "lr": -1}}
    workshop.refused(2, "lengths", "onnx-int8", "epochs", "lr")


def test_label_that_the_teacher_does_not_know(workshop: Workshop, records: list[dict[str, str]]) -> None:
    workshop.write("test", [*records, {"text": "one more", "label": "musik"}])
    workshop.refused(2, "musik", "test.jsonl", "music")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_empty_split(workshop: Workshop, split: str) -> None:
    workshop.write(split, [])
    workshop.refused(2, f"{split}.jsonl")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "", "label": "music"}', "empty"),
        ('{"text": "   ", "label": "music"}', "empty"),
        ('{"text": "\\ud83d", "label": "music"}', "surrogate"),
        ('{"text": 7, "label": "music"}', "text"),
        ('{"text": "a", "label": null}', "label"),
        ('{"label": "music"}', "text"),
        ('{"text": "a", "label": "music"', "JSON"),
    ],
)
def test_bad_record_is_named_by_line(
    workshop: Workshop, records: list[dict[str, str]], line: str, message: str
) -> None:
    good = [json.dumps(record) for record in records]
    (workshop.folder / "train.jsonl").write_text("\n".join([*good[:4], line, *good[4:]]) + "\n")
    workshop.refused(2, "train.jsonl:5", message)


def test_teacher_without_tokenizer(workshop: Workshop) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (workshop.folder / "teacher" / name).unlink(missing_ok=True)
    workshop.refused(2, "tokenizer")


def test_pickled_weights_only(workshop: Workshop) -> None:
    (workshop.folder / "teacher" / "model.safetensors").unlink()
    (workshop.folder / "teacher" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    workshop.refused(2, "pickle", "safe_serialization")


def test_weights_that_are_not_numbers(workshop: Workshop) -> None:
    path = workshop.folder / "teacher" / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("query.weight"))
    weights[name] = weights[name].copy()
    weights[name][3, 5] = np.nan
    save_file(weights, path, metadata={"format": "pt"})
    workshop.refused(2, name)


def test_truncated_weights(workshop: Workshop) -> None:
    path = workshop.folder / "teacher" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    workshop.refused(2, "model.safetensors")


def test_model_of_another_kind(workshop: Workshop) -> None:
    path = workshop.folder / "teacher" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "gpt2"}))
    workshop.refused(2, "gpt2")


def test_output_folder_of_something_else(workshop: Workshop, make_teacher: Callable[..., Teacher]) -> None:
    (workshop.folder / "out").mkdir()
    (workshop.folder / "out" / "lock").write_text("mine")
    workshop.refused(2, "holds no run of edgebert")


@pytest.mark.parametrize(
    ("device", "code", "message"),
    [
        ("ssh:no-such-host.invalid", 3, "there is no host of that name"),
        ("local:/no/such/python", 3, "no such Python interpreter"),
    ],
)
def test_device_that_is_not_there_is_told_before_anything_is_trained(
    workshop: Workshop, device: str, code: int, message: str
) -> None:
    workshop.recipe["devices"] = [device]
    workshop.refused(code, message)
