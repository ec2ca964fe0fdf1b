"""What a good recipe becomes: defaults, kinds of values, paths, and the identity that stage keys are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from tiny_tasks import SINGLE

from edgebert.recipe import FineTuneSpec, Recipe, ScratchSpec, load_recipe, parse_recipe

SMALL = """\
task: text-classification
teacher: owner/name
data:
  train: {path: train.jsonl, label: intent}
  test: {path: test.csv}
"""


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(SMALL)


def test_defaults_are_filled_in(recipe: Recipe) -> None:
    assert recipe.labels is None and recipe.data.validation is None
    assert recipe.lengths == (16, 32, 64, 128) and recipe.max_length == 128
    assert recipe.student.layers == "half" and recipe.student.vocabulary == "prune"
    assert recipe.distill.losses == {"logits": 1.0, "hidden": 1.0}
    assert recipe.export == ("onnx-int8", "openvino-int8", "tflite-int8")
    assert recipe.devices == ("local",)
    assert recipe.measure.launches == 5
    assert recipe.gates.limits("local") == {"max_metric_drop": 1.0}


def test_columns_and_splits(recipe: Recipe) -> None:
    assert recipe.data.train.columns(SINGLE) == {"text": "text", "label": "intent"}
    assert list(recipe.data.splits()) == ["train", "test"]


def test_a_recipe_is_frozen(recipe: Recipe) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recipe.distill.epochs = 5


@pytest.mark.parametrize(
    ("written", "layers"), [("3", 3), ("[0, 2, 5]", (0, 2, 5)), ("null", None), ("~", None), ("half", "half")]
)
def test_layers(written: str, layers: object) -> None:
    assert parse_recipe(SMALL + f"student: {{layers: {written}}}").student.layers == layers


def test_learning_rates_without_a_dot_are_numbers() -> None:
    # YAML 1.1 as PyYAML reads it takes 3e-4 for text, and nobody writes 3.0e-4.
    assert parse_recipe(SMALL + "distill: {lr: 3e-4}").distill.lr == 3e-4


def test_a_teacher_that_is_fine_tuned() -> None:
    tuned = parse_recipe(SMALL.replace("owner/name", "{base: owner/body, epochs: 2}")).teacher
    assert isinstance(tuned, FineTuneSpec)
    assert (tuned.base, tuned.scratch, tuned.epochs, tuned.lr) == ("owner/body", None, 2, 1e-4)


def test_a_teacher_from_scratch_trains_longer_by_default() -> None:
    tuned = parse_recipe(SMALL.replace("owner/name", "{scratch: {layers: 2}}")).teacher
    assert isinstance(tuned, FineTuneSpec)
    assert tuned.scratch == ScratchSpec(layers=2)
    assert (tuned.epochs, tuned.lr) == (20, 1e-3)
    tuned = parse_recipe(SMALL.replace("owner/name", "{scratch: {}, epochs: 3, lr: 0.01}")).teacher
    assert isinstance(tuned, FineTuneSpec)
    assert (tuned.epochs, tuned.lr) == (3, 0.01)


def test_limits_by_device() -> None:
    gates = "gates: {max_metric_drop: null, max_p50_ms: 3, max_p90_ms: {local: 5, android: 9}}"
    found = parse_recipe(SMALL + gates).gates
    assert found.limits("local") == {"max_p50_ms": 3, "max_p90_ms": 5}
    assert found.limits("ssh:pi") == {"max_p50_ms": 3}


@pytest.mark.parametrize("device", ["local", "local:/opt/py/bin/python", "ssh:pi", "ssh:u@pi", "android", "android:X1"])
def test_devices(device: str) -> None:
    assert parse_recipe(SMALL + f"devices: ['{device}']").devices == (device,)


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    (tmp_path / "test.csv").touch()
    (tmp_path / "recipe.yaml").write_text(SMALL)
    found = load_recipe(tmp_path / "recipe.yaml")
    assert found.folder == tmp_path
    assert found.path_of(found.data.train.path) == tmp_path / "train.jsonl"
    assert found.path_of("/data/x.csv") == Path("/data/x.csv")
    assert found.path_of("~/x.csv") == Path.home() / "x.csv"


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(SMALL, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "recipe.yaml", check_files=False).task == "text-classification"


def test_a_teacher_is_a_folder_or_a_hub_id(tmp_path: Path) -> None:
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "here").mkdir()
    found = parse_recipe(SMALL, folder=tmp_path)
    assert found.model_source("owner/name") == "owner/name"
    assert found.model_source("bert-base-uncased") == "bert-base-uncased"
    assert found.model_source("owner/here") == tmp_path / "owner" / "here"
    for path in ("./owner/name", "../name", "a/b/c", "~/teacher", "/teacher", "my teacher", "a\\b"):
        assert isinstance(found.model_source(path), Path), path


def test_identity_does_not_depend_on_place_or_spelling(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    sections = ("task", "teacher", "data", "distill", "lengths")
    here = parse_recipe(SMALL.replace("owner/name", "teacher"), folder=tmp_path)
    there = parse_recipe(
        SMALL.replace("owner/name", f"{tmp_path}/teacher").replace("train.jsonl", f"{tmp_path}/sub/a.jsonl")
        + "distill: {temperature: 2, losses: {hidden: 1, logits: 1}}"
    )
    assert here.section_json(*sections) == there.section_json(*sections)
    assert str(tmp_path) not in there.section_json(*sections)


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("data", "train.jsonl", "train.csv"),
        ("data", "label: intent", "label: class"),
        ("teacher", "owner/name", "owner/other"),
        ("teacher", "owner/name", "{base: owner/name}"),
        ("distill", "task:", "distill: {epochs: 5}\ntask:"),
    ],
)
def test_identity_tells_apart_what_differs(section: str, old: str, new: str, recipe: Recipe) -> None:
    assert parse_recipe(SMALL.replace(old, new)).section_json(section) != recipe.section_json(section)


def test_augmentation_is_part_of_the_identity_only_where_there_is_some(recipe: Recipe, tmp_path: Path) -> None:
    """Students that were made before there was such a thing keep their key; where the model lies does not matter."""
    assert "augment" not in recipe.section_json("distill")
    (tmp_path / "mlm").mkdir()
    text = SMALL.replace("task:", "distill: {augment: {words: 0.2, model: %s}}\ntask:")
    here, there = (parse_recipe(text % place, folder=tmp_path) for place in ("mlm", tmp_path / "mlm"))
    assert here.section_json("distill") == there.section_json("distill") != recipe.section_json("distill")
    assert here.masked_lm == "mlm" and recipe.masked_lm is None


def test_identity_is_canonical_json(recipe: Recipe) -> None:
    text = recipe.section_json("student", "lengths")
    student = {"intermediate_size": None, "layer_choice": "uniform", "layers": "half", "vocabulary": "prune"}
    student |= {"corpus": None, "pieces": None, "heads": None, "hidden_size": None, "init": "teacher", "config": {}}
    assert json.loads(text) == {"lengths": [16, 32, 64, 128], "student": student}
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
