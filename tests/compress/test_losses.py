"""Losses against independent references in numpy, in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgebert.compress.losses import LOSSES, Pair, total
from edgebert.compress.objectives import OBJECTIVES

B, T, H, C = 3, 5, 4, 6
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
LABELS = np.array([0, 5, 2])


def pair(temperature: float = 3.0, layer_map: tuple[int, ...] = (1, 3)) -> Pair:
    random = np.random.default_rng(0)

    def hidden(layers: int) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(random.normal(size=(B, T, H))) for _ in range(layers + 1))

    def outputs() -> dict[str, torch.Tensor]:
        return {"logits": torch.from_numpy(random.normal(size=(B, C)) * 4)}

    return Pair(
        OBJECTIVES["single-label"], outputs(), outputs(), torch.from_numpy(MASK), torch.from_numpy(LABELS), layer_map,
        temperature, hidden(2), hidden(4),
    )  # fmt: skip


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_logits(temperature: float) -> None:
    given = pair(temperature)
    student = softmax(given.student["logits"].numpy() / temperature)
    teacher = softmax(given.teacher["logits"].numpy() / temperature)
    divergence = (teacher * (np.log(teacher) - np.log(student))).sum(axis=1).mean()
    assert LOSSES["logits"](given).item() == pytest.approx(divergence * temperature**2, rel=1e-10)


def test_hidden_counts_real_tokens_of_mapped_layers_only() -> None:
    given = pair(layer_map=(1, 3))
    errors = [
        (given.student_hidden[i + 1][b, t] - given.teacher_hidden[layer + 1][b, t]).numpy() ** 2
        for i, layer in enumerate((1, 3))
        for b in range(B)
        for t in range(T)
        if MASK[b, t]
    ]
    assert LOSSES["hidden"](given).item() == pytest.approx(np.concatenate(errors).mean(), rel=1e-10)


def test_hidden_ignores_what_stands_at_padding() -> None:
    given = pair()
    before = LOSSES["hidden"](given).item()
    for hidden in given.student_hidden:
        hidden[1, 2:] = 1e6
    assert LOSSES["hidden"](given).item() == before


def test_label() -> None:
    given = pair()
    chosen = softmax(given.student["logits"].numpy())[np.arange(B), LABELS]
    assert LOSSES["label"](given).item() == pytest.approx(-np.log(chosen).mean(), rel=1e-10)


def test_total_weighs_and_adds() -> None:
    given = pair()
    expected = 2.0 * LOSSES["logits"](given) + 0.5 * LOSSES["label"](given)
    found = total(given, {"logits": 2.0, "hidden": 0.0, "label": 0.5})
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_perfect_student_has_no_gradient_to_follow(name: str) -> None:
    """Logits and hidden losses vanish, with their gradients, at the teacher itself; labels do not look at it."""
    given = pair(layer_map=(0, 1, 2, 3))
    logits = given.teacher["logits"].clone().requires_grad_()
    hidden = tuple(h.clone().requires_grad_() for h in given.teacher_hidden)
    perfect = replace(given, student={"logits": logits}, student_hidden=hidden, temperature=2.0)
    loss = LOSSES[name](perfect)
    torch.autograd.backward(loss)
    gradients = [x.grad for x in (logits, *hidden) if x.grad is not None]
    largest = max(float(g.abs().max()) for g in gradients)
    if name == "label":
        assert largest > 0.01
    else:
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert largest < 1e-12
