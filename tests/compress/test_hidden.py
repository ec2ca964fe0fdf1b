"""Narrower students: the same answers where the teacher has channels to spare, and learning where it has none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from edgebert.compress.distill import distill
from edgebert.compress.folder import load_model
from edgebert.compress.projection import FILE
from edgebert.compress.student import Student, build_student
from edgebert.errors import EdgebertError, RecipeError
from edgebert.progress import SILENT, Progress
from edgebert.recipe import DistillSpec, StudentSpec
from edgebert.tasks import get
from edgebert.teacher import Teacher, inspect
from edgebert.tokenization import load_tokenizer

Records = list[dict[str, str]]
WHOLE: dict[str, Any] = {"layers": None}
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 8, "lr": 2e-3, "warmup": 0.0}


def build(teacher: Teacher, records: Records, out: Path, **spec: Any) -> Student:
    texts = [record["text"] for record in records]
    return build_student(
        teacher, StudentSpec(**WHOLE | spec), texts=texts, max_length=32, out=out,
        intermediate_size=spec.get("intermediate_size"),
    )  # fmt: skip


def logits(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    with torch.inference_mode():
        found = [model(input_ids=torch.tensor([tokenizer.encode(text).ids])).logits[0] for text in texts]
    return np.stack([np.asarray(row) for row in found])


def widened(small: Teacher, folder: Path) -> Teacher:
    """The same model in disguise: every channel twice, and beside the 2 heads of 8 another 2 that nobody hears."""
    shutil.copytree(small.path, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 32, "num_attention_heads": 4}))
    noise = torch.Generator().manual_seed(3)
    wide = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        twice = tensor
        if "LayerNorm" in name or "embeddings" in name:
            twice = torch.cat([tensor, tensor], dim=-1)
        elif any(part in name for part in ("query", "key", "value")):
            other = torch.randn(tensor.shape, generator=noise)
            twice = torch.cat([tensor, other])
            twice = torch.cat([twice, twice], dim=1) / 2 if tensor.dim() == 2 else twice
        elif "attention.output.dense" in name:
            twice = torch.cat([tensor, torch.zeros_like(tensor)], dim=1) if tensor.dim() == 2 else tensor
            twice = torch.cat([twice, twice])
        elif "intermediate" in name or "classifier" in name:
            twice = torch.cat([tensor, tensor], dim=1) / 2 if tensor.dim() == 2 else tensor
        elif "pooler" in name:
            twice = torch.cat([tensor, tensor])
            twice = torch.cat([twice, twice], dim=1) / 2 if tensor.dim() == 2 else twice
        else:  # the feed-forward layer's output
            twice = torch.cat([tensor, tensor])
        wide[name] = twice.contiguous()
    save_file(wide, folder / "model.safetensors", {"format": "pt"})
    return inspect(folder, name="wide")


def test_a_small_model_in_disguise_is_found_out(
    make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path
) -> None:
    small = make_teacher(layers=3, hidden_size=16, num_attention_heads=2)
    wide = widened(small, tmp_path / "wide")
    texts = [record["text"] for record in records[::9]]
    spread = float(np.ptp(logits(small.path, texts)))
    assert np.abs(logits(wide.path, texts) - logits(small.path, texts)).max() < 1e-4 * spread
    student = build(wide, records, tmp_path / "s", heads=2)
    assert (student.hidden_size, student.layers) == (16, 3)
    assert student.parameters < small.parameters
    assert np.abs(logits(student.path, texts) - logits(small.path, texts)).max() < 0.03 * spread


@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
@pytest.mark.parametrize("task", ["text-classification", "token-classification", "question-answering"])
def test_the_wider_the_nearer(
    make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path, model_type: str, task: str
) -> None:
    """28 of 32 channels, in heads that are narrower, against 8 in a single head."""
    kind = get(task)
    teacher = make_teacher(model_type, layers=2, task=kind, initializer_range=0.2)
    texts = [record["text"] for record in records]
    rows = [torch.tensor([item.ids]) for item in load_tokenizer(teacher.path).encode_batch(texts[::9])]

    def answer(folder: Path) -> NDArray[np.float32]:
        model = load_model(folder, kind)
        with torch.inference_mode():
            found = [model(input_ids=ids) for ids in rows]
        return np.concatenate([np.asarray(one[name]).ravel() for one in found for name in kind.outputs])

    def error(**spec: Any) -> float:
        out = tmp_path / str(spec["hidden_size"])
        student = build_student(
            teacher, StudentSpec(layers=None, vocabulary="keep", **spec), task=kind, texts=texts, max_length=32, out=out
        )
        assert student.hidden_size == spec["hidden_size"]
        return float(np.abs(answer(out) - answer(teacher.path)).mean())

    assert error(hidden_size=28) < error(hidden_size=8)


def test_it_repeats_itself(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    spec: dict[str, Any] = {"layers": 2, "heads": 3, "hidden_size": 18, "intermediate_size": 40}
    first = build(teacher, records, tmp_path / "a", **spec)
    assert first.content_hash == build(teacher, records, tmp_path / "b", **spec).content_hash
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert [config[key] for key in ("num_attention_heads", "hidden_size", "intermediate_size")] == [3, 18, 40]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"heads": 2}, (16, 2)),  # heads as wide as they were
        ({"hidden_size": 24}, (24, 3)),
        ({"hidden_size": 20}, (20, 4)),  # no multiple of 8: as many heads, narrower
        ({"hidden_size": 12, "heads": 2}, (12, 2)),
        ({"hidden_size": 32, "heads": 4}, (32, 4)),
    ],
)
def test_heads_and_width_agree(
    teacher: Teacher, records: Records, tmp_path: Path, spec: dict[str, int], told: tuple[int, int]
) -> None:
    build(teacher, records, tmp_path / "s", **spec)
    config = load_model(tmp_path / "s").config
    assert (config.hidden_size, config.num_attention_heads) == told
    assert (tmp_path / "s" / FILE).is_file() == (told[0] < 32)


@pytest.mark.parametrize(
    ("model_type", "spec", "told"),
    [
        ("bert", {"hidden_size": 40}, "hidden_size is 40, but the teacher has 4 heads and a hidden size of 32"),
        ("bert", {"heads": 5}, "heads is 5, but the teacher"),
        ("bert", {"hidden_size": 18}, "18 is no multiple of 4 heads"),
        ("bert", {"hidden_size": 24, "heads": 2}, "heads of 12 dimensions; the teacher's have 8"),
        ("electra", {"hidden_size": 16}, "type electra cannot be narrowed"),
        ("mobilebert", {"heads": 2}, "type mobilebert cannot be narrowed"),
    ],
)
def test_shapes_that_cannot_be(
    make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path, model_type: str, spec: Any, told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        build(make_teacher(model_type), records, tmp_path / "s", **spec)
    assert not list(tmp_path.iterdir())


def test_no_text_no_width(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="hidden_size needs text"):
        build(teacher, [], tmp_path / "s", hidden_size=16)


def test_vectors_stay_as_long_as_the_teachers(make_teacher: Callable[..., Teacher], tmp_path: Path) -> None:
    task = get("embeddings")
    teacher = make_teacher(task=task)
    with pytest.raises(RecipeError, match="vectors as long as the teacher's"):
        build_student(
            teacher, StudentSpec(hidden_size=16), task=task, texts=["the lamp"], max_length=32, out=tmp_path / "s"
        )


def learn(
    teacher: Teacher, start: Path, records: Records, out: Path, progress: Progress = SILENT, **spec: Any
) -> Student:
    return distill(
        teacher, start, DistillSpec(**TRAINING | spec),
        train=records, validation=[], labels=teacher.labels, lengths=(16, 32), out=out,
        work=out.with_name(out.name + "-work"), progress=progress, threads=1, checkpoint_every=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        {"losses": {"hidden": 1}},
        {"losses": {"hidden_cosine": 1, "embedding": 1}},
        {"losses": {"relations": 1, "logits": 1}, "relation_heads": 8},
        {"losses": {"logits": 1}, "layerwise_epochs": 4, "epochs": 0},
    ],
)
def test_states_come_nearer_to_the_teachers(
    make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path, spec: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every loss that looks inside takes states of another width, and goes down."""
    from edgebert.compress import imitation, losses

    teacher = make_teacher(layers=2, initializer_range=0.2)
    start = build(teacher, records, tmp_path / "start", hidden_size=16).path
    seen: list[float] = []
    original = losses.total

    def watched(pair: losses.Pair, weights: dict[str, float]) -> torch.Tensor:
        loss = original(pair, weights)
        seen.append(loss.item())
        return loss

    monkeypatch.setattr(imitation, "total", watched)
    settings: dict[str, Any] = {"epochs": 4, "noise": 0.0, **spec}
    student = learn(teacher, start, records, tmp_path / "out", **settings)
    assert np.mean(seen[-5:]) < np.mean(seen[:5])
    assert not any("projections" in name for name in load_file(student.path / "model.safetensors"))
    assert not (student.path / FILE).exists()


class UntilStep:
    """Ends a training at a step."""

    def __init__(self, last: int) -> None:
        self.last = last

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        """End it."""
        if done >= self.last:
            raise KeyboardInterrupt


def test_the_maps_are_learned_kept_in_checkpoints_and_dropped(
    teacher: Teacher, records: Records, tmp_path: Path
) -> None:
    start = build(teacher, records, tmp_path / "start", heads=2).path
    spec: dict[str, Any] = {"losses": {"logits": 1.0, "hidden": 1.0, "embedding": 1.0}}
    undisturbed = learn(teacher, start, records, tmp_path / "a", **spec)
    with pytest.raises(KeyboardInterrupt):
        learn(teacher, start, records, tmp_path / "b", UntilStep(15), **spec)
    checkpoint = max((tmp_path / "b-work").glob("*/checkpoint-*"), key=lambda path: int(path.name[11:]))
    kept, first = load_file(checkpoint / "model.safetensors"), load_file(start / FILE)
    for number in range(5):
        weight = kept[f"projections.{number}.weight"]
        assert weight.shape == (32, 16)
        assert not torch.equal(weight, first[f"{number}.weight"])
    resumed = learn(teacher, start, records, tmp_path / "b", **spec)
    assert resumed.content_hash == undisturbed.content_hash
    assert [path.name for path in tmp_path.glob("*-work")] == []


def test_losses_that_compare_heads_need_as_many(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(teacher, records, tmp_path / "start", heads=3).path
    with pytest.raises(RecipeError, match="attention_kl compares head by head, but the student has 3 heads and the"):
        learn(teacher, start, records, tmp_path / "out", losses={"attention_kl": 1.0})
    with pytest.raises(EdgebertError) as refused:
        learn(teacher, start, records, tmp_path / "out", losses={"relations": 1.0}, relation_heads=3)
    assert refused.value.hint == "give relation_heads: 2"


ALONE = """
import json, sys
sys.modules["edgebert"] = None  # its import would fail
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
with torch.inference_mode():
    rows = [model(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in json.loads(sys.argv[2])]
print(json.dumps(rows))
"""


@pytest.mark.slow
def test_transformers_alone_loads_it_and_gives_the_same_logits(
    teacher: Teacher, records: Records, tmp_path: Path
) -> None:
    """Pruned, narrowed in every way and distilled: in a process that has no edgebert."""
    start = build(teacher, records, tmp_path / "start", layers=2, heads=2, intermediate_size=24).path
    student = learn(teacher, start, records, tmp_path / "out", epochs=1)
    texts = [record["text"] for record in records[::7]]
    command = [sys.executable, "-c", ALONE, str(student.path), json.dumps(texts)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert np.abs(np.array(found) - logits(student.path, texts)).max() < 1e-6
