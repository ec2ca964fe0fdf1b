"""The student before it is trained: the teacher with less of everything, and nothing else changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from edgebert.compress.families import FAMILIES, spread
from edgebert.compress.folder import load_model, new_folder, tokenizer_json
from edgebert.compress.student import Student, build_student, load_student
from edgebert.compress.vocabulary import all_pieces, id_map
from edgebert.errors import DataError, RecipeError
from edgebert.recipe import StudentSpec
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer


def build(teacher: Teacher, texts: list[str], out: Path, max_length: int = 32, **spec: Any) -> Student:
    return build_student(teacher, StudentSpec(**spec), texts=texts, max_length=max_length, out=out)


def logits(folder: Path, text: str) -> NDArray[np.float32]:
    ids = load_tokenizer(folder).encode(text).ids
    with torch.inference_mode():
        found = load_model(folder)(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)).long())
    return np.asarray(found.logits[0])


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_without_dropped_layers_the_logits_are_the_teachers(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path, model_type: str
) -> None:
    teacher = make_teacher(model_type)
    texts = [record["text"] for record in records]
    student = build_student(
        teacher, StudentSpec(layers=None), texts=[*texts, *texts], max_length=32, out=tmp_path / "s"
    )
    assert student.vocabulary < teacher.vocabulary
    assert student.positions == 32
    assert student.parameters < teacher.parameters
    for text in texts[::9]:
        assert np.abs(logits(student.path, text) - logits(teacher.path, text)).max() < 1e-6
    table = id_map(all_pieces(tokenizer_json(student.path)), all_pieces(tokenizer_json(teacher.path)))
    ids = load_tokenizer(student.path).encode(texts[0]).ids
    assert table[ids].tolist() == load_tokenizer(teacher.path).encode(texts[0]).ids


def test_layers_are_taken_whole_and_in_order(teacher: Teacher, records: list[dict[str, str]], tmp_path: Path) -> None:
    spec = StudentSpec(layers=(0, 3), vocabulary="keep")
    student = build_student(teacher, spec, texts=[], max_length=16, out=tmp_path / "s")
    assert student.layer_map == (0, 3)
    mine = load_model(student.path).bert
    theirs = load_model(teacher.path).bert
    for new, old in enumerate((0, 3)):
        pairs = zip(mine.encoder.layer[new].parameters(), theirs.encoder.layer[old].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert student.vocabulary == teacher.vocabulary


def test_a_plain_folder_that_transformers_loads_alone(
    teacher: Teacher, records: list[dict[str, str]], tmp_path: Path
) -> None:
    build(teacher, [record["text"] for record in records], tmp_path / "s")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "s")
    auto: Any = transformers.AutoTokenizer
    tokenizer = auto.from_pretrained(tmp_path / "s")
    found = model(**tokenizer("please lights", return_tensors="pt")).logits
    assert found.shape == (1, 3)
    assert model.config.id2label == {0: "lights", 1: "music", 2: "weather"}
    assert model.dtype == torch.float32
    config = (tmp_path / "s" / "config.json").read_text()
    assert str(teacher.path) not in config
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_same_inputs_same_bytes(teacher: Teacher, records: list[dict[str, str]], tmp_path: Path) -> None:
    texts = [record["text"] for record in records]
    first = build_student(teacher, StudentSpec(), texts=texts, max_length=32, out=tmp_path / "a")
    second = build_student(teacher, StudentSpec(), texts=texts, max_length=32, out=tmp_path / "b")
    assert first.content_hash == second.content_hash
    assert first.layer_map == (1, 3)
    assert load_student(tmp_path / "a") == first


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "taken"),
    [(6, 3, (1, 3, 5)), (12, 4, (2, 5, 8, 11)), (6, 1, (5,)), (5, 3, (0, 2, 4)), (4, 4, (0, 1, 2, 3))],
)
def test_spread(teacher_layers: int, student_layers: int, taken: tuple[int, ...]) -> None:
    assert spread(teacher_layers, student_layers) == taken


@pytest.mark.parametrize(("choice", "taken"), [("skip", (0, 2, 4)), ("first", (0, 1, 2)), ("last", (3, 4, 5))])
def test_other_choices_of_layers(choice: str, taken: tuple[int, ...]) -> None:
    assert spread(6, 3, choice) == taken


@pytest.mark.parametrize("layers", [5, (0, 4)])
def test_layers_that_the_teacher_lacks(teacher: Teacher, tmp_path: Path, layers: Any) -> None:
    with pytest.raises(RecipeError, match="tiny has 4 layers"):
        build(teacher, [], tmp_path / "s", layers=layers)
    assert not list(tmp_path.iterdir())


def test_more_tokens_than_the_teacher_reads(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at most 64 tokens"):
        build(teacher, [], tmp_path / "s", max_length=65)


def test_licence_travels_along(make_teacher: Callable[..., Teacher], tmp_path: Path) -> None:
    teacher = make_teacher()
    (teacher.path / "LICENSE").write_text("Apache-2.0\n")
    build(teacher, [], tmp_path / "s")
    assert (tmp_path / "s" / "LICENSE").read_text() == "Apache-2.0\n"


def test_a_strangers_folder_is_no_student(teacher: Teacher) -> None:
    with pytest.raises(DataError, match="no student of edgebert"):
        load_student(teacher.path)


def test_new_folder_leaves_nothing_half_written(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_folder(tmp_path / "out") as folder:
            (folder / "part").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    (tmp_path / ".out-new-killed").mkdir()  # what SIGKILL leaves
    with new_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text(json.dumps(1))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
