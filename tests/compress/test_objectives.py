"""What each task learns from: targets of its records, and losses against references in numpy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_tasks import TASKS
from tokenizers import Tokenizer

from edgebert.compress.finetune import train_wordpiece
from edgebert.compress.losses import LOSSES, Pair
from edgebert.compress.objectives import IGNORED, OBJECTIVES, check_labels, objective
from edgebert.errors import DataError
from edgebert.tasks import Task

B, T, C = 3, 5, 4
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
RANDOM = np.random.default_rng(0)
SHAPES = {"tokens": (B, T, C), "answers": (B, T), "no-answer": (B, T), "embeddings": (B, 8), "regression": (B, 1)}
TAGS = {"O": 0, "B-x": 1, "I-x": 2, "S-y": 3}


def pair(kind: str) -> Pair:
    task = TASKS[kind]

    def outputs() -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(RANDOM.normal(size=SHAPES.get(kind, (B, C))) * 2) for name in task.outputs}

    return Pair(objective(task), outputs(), outputs(), torch.from_numpy(MASK), torch.zeros(B), (), 2.0)


def log_softmax(rows: np.ndarray) -> np.ndarray:
    shifted = rows - rows.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def divergence(student: np.ndarray, teacher: np.ndarray, temperature: float) -> np.ndarray:
    a, b = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return np.asarray((np.exp(b) * (b - a)).sum(axis=-1) * temperature**2)


def test_imitating_tokens_counts_real_ones() -> None:
    given = pair("tokens")
    rows = divergence(given.student["logits"].numpy(), given.teacher["logits"].numpy(), 2.0)
    assert LOSSES["logits"](given).item() == pytest.approx(rows[MASK == 1].mean(), rel=1e-9)


def test_tokens_of_entities_weigh_more() -> None:
    given = replace(pair("tokens"), entity_weight=3.0, outside=1)
    teacher = given.teacher["logits"].numpy()
    rows = divergence(given.student["logits"].numpy(), teacher, 2.0)
    weights = 1 + 3.0 * (1 - np.exp(log_softmax(teacher))[..., 1])
    expected = (rows * weights)[MASK == 1].mean()
    assert LOSSES["logits"](given).item() == pytest.approx(expected, rel=1e-9)


def test_imitating_answers_looks_at_the_window_alone() -> None:
    given = pair("answers")
    expected = []
    for name in ("start_logits", "end_logits"):
        for row in range(B):
            real = MASK[row] == 1
            student, teacher = (side[name][row].numpy()[real] for side in (given.student, given.teacher))
            expected.append(divergence(student, teacher, 2.0))
    assert LOSSES["logits"](given).item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_imitating_several_labels_is_a_binary_divergence() -> None:
    given = pair("multi-label")
    p, q = (1 / (1 + np.exp(-side["logits"].numpy())) for side in (given.teacher, given.student))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert LOSSES["logits"](given).item() == pytest.approx(expected, rel=1e-9)


def test_imitating_numbers_and_vectors() -> None:
    given = pair("regression")
    error = (given.student["logits"] - given.teacher["logits"]).numpy()
    assert LOSSES["logits"](given).item() == pytest.approx((error**2).mean())
    given = pair("embeddings")
    a, b = (side["embedding"].numpy() for side in (given.student, given.teacher))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    expected = 1 - (a * b).sum(axis=1).mean() + ((a @ a.T - b @ b.T) ** 2).mean()
    assert LOSSES["logits"](given).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_a_perfect_student_has_nothing_to_imitate(kind: str) -> None:
    given = pair(kind)
    perfect = replace(given, student={n: v.clone().requires_grad_() for n, v in given.teacher.items()})
    loss = LOSSES["logits"](perfect)
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert max(float(v.grad.abs().max()) for v in perfect.student.values() if v.grad is not None) < 1e-9


def test_labels_of_each_kind() -> None:
    tokens = replace(pair("tokens"), targets=torch.from_numpy(np.where(MASK, 2, IGNORED)))
    chosen = log_softmax(tokens.student["logits"].numpy())[..., 2]
    assert LOSSES["label"](tokens).item() == pytest.approx(-chosen[MASK == 1].mean())
    answers = replace(pair("answers"), targets=torch.tensor([[1, 3], [0, 1], [IGNORED, IGNORED]]))
    expected = []
    for row, column in ((0, (1, 3)), (1, (0, 1))):
        for name, at in zip(("start_logits", "end_logits"), column, strict=True):
            expected.append(-log_softmax(answers.student[name][row].numpy()[MASK[row] == 1])[at])
    assert LOSSES["label"](answers).item() == pytest.approx(np.mean(expected), rel=1e-6)
    number = replace(pair("regression"), targets=torch.tensor([[1.0], [2.0], [float("nan")]]))
    error = number.student["logits"].numpy()[:2] - np.array([[1.0], [2.0]])
    assert LOSSES["label"](number).item() == pytest.approx((error**2).mean())
    several = replace(pair("multi-label"), targets=torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [float("nan")] * 4]))
    p = 1 / (1 + np.exp(-several.student["logits"].numpy()[:2]))
    y = several.targets.numpy()[:2]
    assert LOSSES["label"](several).item() == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), rel=1e-6)


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_records_without_labels_teach_nothing_of_them(kind: str) -> None:
    """Such as unlabelled text: the label loss is 0, and the imitation goes on."""
    task, tokenizer = TASKS[kind], words()
    record = dict.fromkeys(task.roles, "lamp rain")
    [window] = task.encode(tokenizer, record, 32)
    [target] = objective(task).targets(record, [window], dict.fromkeys(("a", "b", "c", "d"), 0))
    assert (np.isnan(target) | (target == IGNORED)).all()


def words() -> Tokenizer:
    return Tokenizer.from_str(json.dumps(train_wordpiece(["lamp rain sunshine the in", "x"] * 3, 200)))


def test_targets_of_tokens_stand_at_every_piece() -> None:
    record = {"tokens": ["sunshine", "lampx", "rain"], "tags": ["B-x", "S-y", "O"]}
    [window] = TASKS["tokens"].encode(words(), record, 32)
    [target] = OBJECTIVES["token-classification"].targets(record, [window], TAGS)
    for token, word in enumerate(window.words):
        first = token == 0 or window.words[token - 1] != word
        expected = {-1: IGNORED, 0: 1 if first else 2, 1: 3, 2: 0}[word]
        assert target[token] == expected
    assert window.words.count(1) > 1


def test_targets_of_answers_are_tokens_of_the_window() -> None:
    task: Task = TASKS["answers"]
    record = {
        "question": "in", "context": "the lamp in the rain the sunshine",
        "answers": [{"text": "the rain", "answer_start": 12}],
    }  # fmt: skip
    tokenizer = words()
    [window] = task.encode(tokenizer, record, 64)
    [(first, last)] = objective(task).targets(record, [window], {})
    assert record["context"][window.offsets[first][0] : window.offsets[last][1]] == "the rain"
    for narrow in task.encode(tokenizer, record, 8):
        [(first, last)] = objective(task).targets(record, [narrow], {})
        found = record["context"][narrow.offsets[first][0] : narrow.offsets[last][1]] if first else ""
        assert found in ("", "the rain")
    unanswerable = {**record, "answers": []}
    assert objective(task).targets(unanswerable, [window], {})[0].tolist() == [0, 0]


def test_unknown_labels_are_refused_for_every_labelled_task() -> None:
    with pytest.raises(DataError, match="'zzz'"):
        list(check_labels(TASKS["multi-label"], [{"text": "a", "label": ["a", "zzz"]}], ["a"]))
    with pytest.raises(DataError, match="'B-zzz'"):
        list(check_labels(TASKS["tokens"], [{"tokens": ["a"], "tags": ["B-zzz"]}], ["O"]))
    list(check_labels(TASKS["regression"], [{"text": "a", "label": 3.0}], []))
