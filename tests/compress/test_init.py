"""Students of any shape: what can be taken from the teacher is, the rest begins at random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edgebert.compress.distill import distill
from edgebert.compress.folder import load_model
from edgebert.compress.projection import FILE
from edgebert.compress.student import Student, build_student
from edgebert.errors import RecipeError
from edgebert.progress import SILENT
from edgebert.recipe import DistillSpec, StudentSpec
from edgebert.teacher import Teacher

Records = list[dict[str, str]]


def build(
    teacher: Teacher, records: Records, out: Path, seed: int = 0, size: int | None = None, **spec: Any
) -> Student:
    return build_student(
        teacher, StudentSpec(**spec), texts=[record["text"] for record in records], max_length=32, out=out, seed=seed,
        intermediate_size=size,
    )  # fmt: skip


def weights(student: Student) -> dict[str, torch.Tensor]:
    return dict(load_file(student.path / "model.safetensors"))


def weights_of(teacher: Teacher) -> dict[str, torch.Tensor]:
    return dict(load_file(teacher.path / "model.safetensors"))


def test_random_weights_follow_from_the_seed(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    """A deeper, wider student than its teacher; the state of torch's generator does not matter, nor does it change."""
    shape: dict[str, Any] = {"init": "random", "layers": 6, "hidden_size": 40, "heads": 5}
    first = build(teacher, records, tmp_path / "a", size=96, **shape)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    second = build(teacher, records, tmp_path / "b", size=96, **shape)
    assert torch.equal(before, torch.get_rng_state())
    other = build(teacher, records, tmp_path / "c", size=96, seed=1, **shape)
    assert first.content_hash == second.content_hash != other.content_hash
    assert (first.layers, first.hidden_size, first.layer_map) == (6, 40, (0, 1, 1, 2, 3, 3))
    config = load_model(first.path).config
    assert (config.num_attention_heads, config.intermediate_size) == (5, 96)
    assert config.id2label == {0: "lights", 1: "music", 2: "weather"}


def test_embeddings_alone(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    """The tables are the teacher's, narrower by whole channels; layers are not."""
    shape: dict[str, Any] = {"init": "embeddings", "layers": 2, "hidden_size": 16, "heads": 8}
    taken = build(teacher, records, tmp_path / "a", **shape)
    mine, theirs = weights(taken), weights_of(teacher)
    channels = load_file(taken.path / FILE)["channels"]
    table = "bert.embeddings.token_type_embeddings.weight"
    assert torch.equal(mine[table], theirs[table][:, channels])
    other = weights(build(teacher, records, tmp_path / "b", seed=1, **shape))
    differ = {name for name, tensor in mine.items() if not torch.equal(tensor, other[name])}
    assert differ and not any("embeddings" in name for name in differ)
    assert "bert.encoder.layer.0.attention.self.query.weight" in differ


@pytest.mark.parametrize(
    "spec",
    [
        {"init": "random", "layers": 5, "hidden_size": 24, "heads": 2, "config": {"hidden_act": "relu"}},
        {"init": "embeddings", "layers": 2, "hidden_size": 16, "heads": 2},
    ],
)
def test_they_learn(
    teacher: Teacher, records: Records, tmp_path: Path, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All losses that fit go down, one teacher's layer for two of the student's included."""
    from edgebert.compress import imitation, losses

    start = build(teacher, records, tmp_path / "start", **spec)
    seen: list[float] = []
    original = losses.total

    def watched(pair: losses.Pair, given: dict[str, float]) -> torch.Tensor:
        loss = original(pair, given)
        seen.append(loss.item())
        return loss

    monkeypatch.setattr(imitation, "total", watched)
    student = distill(
        teacher, start.path,
        DistillSpec(
            epochs=4, batch_size=8, lr=2e-3, losses={"logits": 1, "hidden": 1, "relations": 1}, relation_heads=8
        ),
        train=records, validation=records[:9], labels=teacher.labels, lengths=(16, 32), out=tmp_path / "out",
        work=tmp_path / "work", progress=SILENT, threads=1,
    )  # fmt: skip
    assert sum(seen[-5:]) < 0.9 * sum(seen[:5])
    config = json.loads((student.path / "config.json").read_text())
    assert config["hidden_act"] == spec.get("config", {}).get("hidden_act", "gelu")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"init": "embeddings", "hidden_size": 64}, "hidden_size is 64, but the teacher has"),
        ({"init": "random", "hidden_size": 30, "heads": 4}, "30 is no multiple of 4 heads"),
        ({"layers": 5}, "tiny has 4 layers"),
        ({"config": {"hidden_akt": "relu"}}, "hidden_akt is no setting of bert"),
        ({"config": {"hidden_act": 3}}, "hidden_act is a setting of type str of bert configurations, and 3 is none"),
        ({"config": {"hidden_size": 16}}, "hidden_size follows from the other keys"),
        ({"config": {"type_vocab_size": 3}}, "changes the shape of the teacher's weights"),
    ],
)
def test_what_cannot_be(teacher: Teacher, records: Records, tmp_path: Path, spec: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        build(teacher, records, tmp_path / "s", **spec)
    assert not list(tmp_path.iterdir())


def test_layers_of_another_width_cannot_be_fed(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(teacher, records, tmp_path / "start", init="random", layers=2, hidden_size=16).path
    with pytest.raises(RecipeError, match="layerwise_epochs feeds layers"):
        distill(
            teacher, start, DistillSpec(layerwise_epochs=1), train=records, validation=[], labels=teacher.labels,
            lengths=(16, 32), out=tmp_path / "out", work=tmp_path / "work", progress=SILENT,
        )  # fmt: skip
