"""Narrowing the feed-forward layers: what is cut out is what says least."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgebert.compress.families import FAMILIES
from edgebert.compress.folder import load_model
from edgebert.compress.student import build_student
from edgebert.compress.width import Activity, narrow
from edgebert.errors import RecipeError
from edgebert.recipe import StudentSpec
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer

PREFIX = "bert.encoder.layer.0."


def weights(neurons: int = 6, width: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        f"{PREFIX}intermediate.dense.weight": draw(neurons, width),
        f"{PREFIX}intermediate.dense.bias": draw(neurons),
        f"{PREFIX}output.dense.weight": draw(width, neurons),
        f"{PREFIX}output.dense.bias": draw(width),
    }


def test_silent_neurons_go_and_constant_ones_move_into_the_bias() -> None:
    """Neuron 2 never fires and neuron 4 always gives 3: without both, the output is exactly what it was."""
    before = weights()
    acts = torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 10
    acts[:, 2], acts[:, 4] = 0.0, 3.0
    before[f"{PREFIX}output.dense.weight"][:, 4] *= 0.01
    expected = acts @ before[f"{PREFIX}output.dense.weight"].T + before[f"{PREFIX}output.dense.bias"]
    after = dict(before)
    narrow(after, PREFIX, FAMILIES["bert"], Activity(acts.mean(0), acts.square().mean(0)), 4)
    kept = [0, 1, 3, 5]
    found = acts[:, kept] @ after[f"{PREFIX}output.dense.weight"].T + after[f"{PREFIX}output.dense.bias"]
    assert torch.allclose(found, expected, atol=1e-12)
    for name in ("intermediate.dense.weight", "intermediate.dense.bias"):
        assert torch.equal(after[PREFIX + name], before[PREFIX + name][kept])


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra"])
def test_a_narrow_student_loads_and_stays_near(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path, model_type: str
) -> None:
    teacher = make_teacher(model_type)
    texts = [record["text"] for record in records]
    spec = StudentSpec(layers=None, vocabulary="keep")

    def error(size: int) -> float:
        out = tmp_path / str(size)
        student = build_student(teacher, spec, texts=texts, max_length=32, out=out, intermediate_size=size)
        ids = torch.tensor([load_tokenizer(out).encode(texts[7]).ids])
        with torch.inference_mode():
            difference = load_model(student.path)(input_ids=ids).logits - load_model(teacher.path)(input_ids=ids).logits
        return float(np.abs(difference.numpy()).max())

    errors = [error(size) for size in (63, 16)]
    assert errors[0] < errors[1]
    assert errors[0] < 1e-3


def test_no_narrower_than_it_is(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is 64, but the teacher's is 64"):
        build_student(
            teacher, StudentSpec(), texts=["the lamp"], max_length=32, out=tmp_path / "s", intermediate_size=64
        )


def test_a_family_without_plain_feed_forward_layers(make_teacher: Callable[..., Teacher], tmp_path: Path) -> None:
    teacher = make_teacher("mobilebert")
    with pytest.raises(RecipeError, match="mobilebert cannot be narrowed"):
        build_student(
            teacher, StudentSpec(), texts=["the lamp"], max_length=32, out=tmp_path / "s", intermediate_size=8
        )
