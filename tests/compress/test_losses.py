"""Losses against independent references in numpy, in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgebert.compress.losses import LOSSES, Attention, Pair, Projections, total
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
    """Losses vanish, with their gradients, at the teacher itself; labels do not look at it."""
    given = replace(projected(), layer_map=(0, 1, 2, 3))
    logits = given.teacher["logits"].clone().requires_grad_()
    hidden = tuple(h.clone().requires_grad_() for h in given.teacher_hidden)
    parts = [p.clone().requires_grad_() for layer in given.teacher_projections for p in vars(layer).values()]
    perfect = replace(
        given, student={"logits": logits}, student_hidden=hidden, temperature=2.0,
        student_projections=(Projections(*parts[:3]), Projections(*parts[3:])),
    )  # fmt: skip
    loss = LOSSES[name](perfect)
    torch.autograd.backward(loss)
    gradients = [x.grad for x in (logits, *hidden, *parts) if x.grad is not None]
    largest = max(float(g.abs().max()) for g in gradients)
    if name == "label":
        assert largest > 0.01
    else:
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert largest < 1e-7 if name == "hidden_cosine" else largest < 1e-12


def projected(heads: int = 2) -> Pair:
    """A pair whose two mapped layers have queries, keys and values of width 4."""
    random = np.random.default_rng(3)

    def layers() -> tuple[Projections, ...]:
        return tuple(
            Projections(*(torch.from_numpy(random.normal(size=(B, T, H)) * 2) for _ in range(3))) for _ in range(2)
        )

    return replace(
        pair(),
        student_projections=layers(),
        teacher_projections=layers(),
        attention=Attention(heads, heads),
    )


def scores(left: torch.Tensor, right: torch.Tensor, row: int, head: int, heads: int) -> NDArray[np.float64]:
    """Scaled products of one head's part, real tokens alone."""
    real, width = MASK[row].sum(), H // heads
    part = slice(head * width, (head + 1) * width)
    found: NDArray[np.float64] = left[row, :real, part].numpy() @ right[row, :real, part].numpy().T / np.sqrt(width)
    return found


def diverge(student: NDArray[np.float64], teacher: NDArray[np.float64]) -> list[float]:
    """Kullback-Leibler divergence row by row."""
    a, b = softmax(student), softmax(teacher)
    return list((b * (np.log(b) - np.log(a))).sum(axis=-1))


def test_attention_mse_is_that_of_scores_between_real_tokens() -> None:
    given = projected()
    errors = [
        (scores(s.query, s.key, row, head, 2) - scores(t.query, t.key, row, head, 2)) ** 2
        for s, t in zip(given.student_projections, given.teacher_projections, strict=True)
        for row in range(B)
        for head in range(2)
    ]
    expected = np.concatenate([e.ravel() for e in errors]).mean()
    assert LOSSES["attention_mse"](given).item() == pytest.approx(expected, rel=1e-9)


def test_attention_kl_is_that_of_distributions_over_real_tokens() -> None:
    given = projected()
    rows: list[float] = []
    for s, t in zip(given.student_projections, given.teacher_projections, strict=True):
        for row in range(B):
            for head in range(2):
                rows += diverge(scores(s.query, s.key, row, head, 2), scores(t.query, t.key, row, head, 2))
    assert LOSSES["attention_kl"](given).item() == pytest.approx(np.mean(rows), rel=1e-9)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_relations_are_those_of_the_last_layer_in_any_number_of_heads(heads: int) -> None:
    given = replace(projected(), attention=Attention(2, 2, heads))
    s, t = given.student_projections[-1], given.teacher_projections[-1]
    rows: list[float] = []
    for ours, theirs in ((s.query, t.query), (s.key, t.key), (s.value, t.value)):
        for row in range(B):
            for head in range(heads):
                rows += diverge(scores(ours, ours, row, head, heads), scores(theirs, theirs, row, head, heads))
    assert LOSSES["relations"](given).item() == pytest.approx(np.mean(rows), rel=1e-9)


def test_hidden_cosine_and_embedding() -> None:
    given = pair(layer_map=(1, 3))
    apart, errors = [], []
    for b in range(B):
        for t in range(MASK[b].sum()):
            errors.append((given.student_hidden[0][b, t] - given.teacher_hidden[0][b, t]).numpy() ** 2)
            for i, layer in enumerate((1, 3)):
                ours, theirs = given.student_hidden[i + 1][b, t].numpy(), given.teacher_hidden[layer + 1][b, t].numpy()
                apart.append(1 - ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
    assert LOSSES["hidden_cosine"](given).item() == pytest.approx(np.mean(apart), rel=1e-9)
    assert LOSSES["embedding"](given).item() == pytest.approx(np.mean(errors), rel=1e-9)


def test_logits_mse_by_window_and_by_token() -> None:
    given = pair()
    errors = (given.student["logits"] - given.teacher["logits"]).numpy() ** 2
    assert LOSSES["logits_mse"](given).item() == pytest.approx(errors.mean(), rel=1e-9)
    rows = {"logits": torch.from_numpy(np.random.default_rng(5).normal(size=(B, T, C)))}
    zeros = {"logits": torch.zeros(B, T, C, dtype=torch.float64)}
    tokens = replace(given, objective=OBJECTIVES["token-classification"], student=rows, teacher=zeros)
    expected = (rows["logits"].numpy()[MASK == 1] ** 2).mean()
    assert LOSSES["logits_mse"](tokens).item() == pytest.approx(expected, rel=1e-9)


def test_focus_weighs_what_the_teacher_answers_rightly() -> None:
    given = pair(temperature=1.0)
    targets = given.teacher["logits"].argmax(dim=-1).clone()
    targets[1] = (targets[1] + 1) % C
    given = replace(given, targets=targets)
    student, teacher = softmax(given.student["logits"].numpy()), softmax(given.teacher["logits"].numpy())
    rows = (teacher * (np.log(teacher) - np.log(student))).sum(axis=1)
    expected = (rows * np.array([3.0, 1.0, 3.0])).mean()
    assert LOSSES["logits"](replace(given, focus=2.0)).item() == pytest.approx(expected, rel=1e-9)
