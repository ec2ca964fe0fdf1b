"""Layers by importance: one that does nothing is the first to go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edgebert import teacher as teachers
from edgebert.compress.folder import load_model
from edgebert.compress.student import build_student
from edgebert.recipe import StudentSpec
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer


@pytest.fixture
def idle(make_teacher: Callable[..., Teacher], tmp_path: Path) -> tuple[Teacher, int]:
    """A teacher, and its one layer that adds nothing to what it is given."""
    made = make_teacher("bert")
    number = made.layers - 2
    folder = tmp_path / "idle"
    shutil.copytree(made.path, folder)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        at = f"bert.encoder.layer.{number}."
        if name.startswith(at) and "output.dense" in name:
            weights[name] = torch.zeros_like(weights[name])
        if name.startswith("bert.encoder.layer.") and "LayerNorm" in name:
            # Normalizing again what is normalized changes nothing.
            weights[name] = torch.full_like(weights[name], float(name.endswith("weight")))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return teachers.inspect(folder, name="idle", labels=made.labels), number


def answers(folder: Path, texts: list[str]) -> np.ndarray:
    model = load_model(folder)
    rows = []
    for item in load_tokenizer(folder, 32).encode_batch(texts):
        with torch.inference_mode():
            rows.append(model(torch.tensor([item.ids])).logits.numpy())
    return np.concatenate(rows)


def test_a_layer_that_does_nothing_goes_first(
    idle: tuple[Teacher, int], records: list[dict[str, str]], tmp_path: Path
) -> None:
    teacher, number = idle
    texts = [record["text"] for record in records]
    spec = StudentSpec(layers=teacher.layers - 1, layer_choice="importance", vocabulary="keep")
    student = build_student(teacher, spec, texts=texts, max_length=32, out=tmp_path / "student")
    assert student.layer_map == tuple(i for i in range(teacher.layers) if i != number)
    found, expected = answers(student.path, texts[:20]), answers(teacher.path, texts[:20])
    assert np.allclose(found, expected, atol=1e-4)


def test_a_list_of_layers_is_taken_as_it_is(
    idle: tuple[Teacher, int], records: list[dict[str, str]], tmp_path: Path
) -> None:
    teacher, number = idle
    spec = StudentSpec(layers=(number,), layer_choice="importance", vocabulary="keep")
    texts = [record["text"] for record in records]
    student = build_student(teacher, spec, texts=texts, max_length=32, out=tmp_path / "student")
    assert student.layer_map == (number,)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "mobilebert"])
def test_every_family_can_be_measured(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path, model_type: str
) -> None:
    spec = StudentSpec(layers=2, layer_choice="importance", vocabulary="keep")
    texts = [record["text"] for record in records]
    student = build_student(make_teacher(model_type), spec, texts=texts, max_length=32, out=tmp_path / "student")
    assert len(student.layer_map) == 2 and list(student.layer_map) == sorted(set(student.layer_map))
    assert answers(student.path, texts[:2]).shape[0] == 2
