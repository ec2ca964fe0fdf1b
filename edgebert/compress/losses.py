"""How far the student is from the teacher: one function a loss, found by the name that recipes use.

Each takes a `Pair` (both models' outputs for one batch) and returns a scalar; `total` weighs and adds them. A new
loss is a function and a line in `LOSSES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebert.compress.objectives import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.compress.sharing import Share, Unit


@dataclass(frozen=True)
class Projections:
    """Queries, keys and values of one layer, float32 [B, T, H] each, all heads side by side."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class Attention:
    """Attention heads of student and teacher, and how many heads relations are computed in (None: the teacher's)."""

    student_heads: int = 1
    teacher_heads: int = 1
    relation_heads: int | None = None


@dataclass(frozen=True)
class Pair:
    """One batch of B windows, padded to T tokens, seen by both models.

    `student` and `teacher` are the task's outputs by name; the `_hidden` ones the embeddings' output and then each
    layer's, float32 [B, T, H]. `mask` is int64 [B, T] (1 at real tokens), `targets` as the task's objective makes
    them; `layer_map[i]` is the teacher's layer (from 0) that the student's layer `i` came from. The `_projections` are
    those of the mapped layers alone, student and teacher in the same order. `focus` is how much more a text weighs in
    the logits loss that the teacher answers rightly, `entity_weight` how much more a token that it sees in an entity,
    where `outside` is the column of the label `O`. `share` is what the windows are of a batch that several processes
    divide among them.
    """

    objective: Objective
    student: Mapping[str, Tensor]
    teacher: Mapping[str, Tensor]
    mask: Tensor
    targets: Tensor
    layer_map: tuple[int, ...]
    temperature: float
    student_hidden: tuple[Tensor, ...] = ()
    teacher_hidden: tuple[Tensor, ...] = ()
    student_projections: tuple[Projections, ...] = ()
    teacher_projections: tuple[Projections, ...] = ()
    attention: Attention = Attention()
    focus: float = 0.0
    entity_weight: float = 0.0
    outside: int | None = None
    share: Share | None = None


def logits_loss(pair: Pair) -> Tensor:
    """The task's distance between the answers of student and teacher (`objectives`)."""
    return pair.objective.imitate(pair)


def logits_mse_loss(pair: Pair) -> Tensor:
    """Mean squared error of the outputs, over real tokens where there is a row for each (Ba & Caruana 2014)."""
    errors = []
    for name, teacher in pair.teacher.items():
        squared = (pair.student[name] - teacher).square()
        if pair.objective.answers_per_token:
            weight = pair.mask.to(squared.dtype).reshape(*pair.mask.shape, *[1] * (squared.dim() - 2))
            errors.append((squared * weight).sum() / (weight.sum() * squared[0, 0].numel()))
        else:
            errors.append(squared.mean())
    return sum(errors[1:], start=errors[0]) / len(errors)


def hidden_loss(pair: Pair) -> Tensor:
    """Mean squared error between the outputs of mapped layers, over real tokens.

    As in TinyBERT (Jiao et al. 2020, arXiv:1909.10351) and PKD (Sun et al. 2019, arXiv:1908.09355), over all tokens
    rather than the first alone. Both models must have the same width.
    """
    import torch

    weight = pair.mask.unsqueeze(-1).to(pair.student_hidden[0].dtype)
    # Two operations over all layers at once: on short texts the calls cost more than the arithmetic.
    student = torch.stack(pair.student_hidden[1:])
    teacher = torch.stack([pair.teacher_hidden[layer + 1] for layer in pair.layer_map])
    squared = ((student - teacher) * weight).square().sum()
    return squared / (weight.sum() * student.shape[-1] * student.shape[0])


def hidden_cosine_loss(pair: Pair) -> Tensor:
    """One minus the cosine between the outputs of mapped layers, over real tokens (DistilBERT, arXiv:1910.01108)."""
    import torch
    from torch.nn import functional

    student = torch.stack(pair.student_hidden[1:])
    teacher = torch.stack([pair.teacher_hidden[layer + 1] for layer in pair.layer_map])
    apart = 1.0 - functional.cosine_similarity(student, teacher, dim=-1)
    return (apart * pair.mask).sum() / (pair.mask.sum() * len(pair.layer_map))


def embedding_loss(pair: Pair) -> Tensor:
    """Mean squared error between the embeddings' outputs, over real tokens (TinyBERT, arXiv:1909.10351)."""
    weight = pair.mask.unsqueeze(-1).to(pair.student_hidden[0].dtype)
    squared = ((pair.student_hidden[0] - pair.teacher_hidden[0]) * weight).square().sum()
    return squared / (weight.sum() * pair.student_hidden[0].shape[-1])


def _split(states: Tensor, heads: int) -> Tensor:
    """[B, T, H] -> [B, heads, T, H / heads]."""
    batch, length, width = states.shape
    return states.reshape(batch, length, heads, width // heads).transpose(1, 2)


def _scores(left: Tensor, right: Tensor, heads: int) -> Tensor:
    """Scaled products of rows, [B, heads, T, T] (Vaswani et al. 2017)."""
    rows, columns = _split(left, heads), _split(right, heads)
    return (rows @ columns.transpose(-1, -2)) / math.sqrt(rows.shape[-1])


def attention_mse_loss(pair: Pair) -> Tensor:
    """Mean squared error of attention scores before the softmax, between real tokens (TinyBERT, equation 7)."""
    both = (pair.mask.unsqueeze(1).unsqueeze(-1) * pair.mask.unsqueeze(1).unsqueeze(2)).to(pair.mask.dtype)
    errors = []
    for student, teacher in zip(pair.student_projections, pair.teacher_projections, strict=True):
        found = _scores(student.query, student.key, pair.attention.student_heads)
        wanted = _scores(teacher.query, teacher.key, pair.attention.teacher_heads)
        errors.append(((found - wanted).square() * both).sum() / (both.sum() * found.shape[1]))
    return sum(errors[1:], start=errors[0]) / len(errors)


def _relation(pair: Pair, student: Tensor, teacher: Tensor) -> Tensor:
    """Mean divergence of the rows of two score arrays [B, heads, T, T], over real rows and columns."""
    from torch.nn import functional

    outside = (pair.mask == 0).unsqueeze(1).unsqueeze(2)
    found = functional.log_softmax(student.masked_fill(outside, -1e4), dim=-1)
    wanted = functional.log_softmax(teacher.masked_fill(outside, -1e4), dim=-1)
    rows = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)
    return (rows * pair.mask.unsqueeze(1)).sum() / (pair.mask.sum() * student.shape[1])


def attention_kl_loss(pair: Pair) -> Tensor:
    """Divergence of the attention distributions of mapped layers (MiniLM, Wang et al. 2020, arXiv:2002.10957)."""
    errors = []
    for student, teacher in zip(pair.student_projections, pair.teacher_projections, strict=True):
        found = _scores(student.query, student.key, pair.attention.student_heads)
        wanted = _scores(teacher.query, teacher.key, pair.attention.teacher_heads)
        errors.append(_relation(pair, found, wanted))
    return sum(errors[1:], start=errors[0]) / len(errors)


def relations_loss(pair: Pair) -> Tensor:
    """Divergence of query, key and value self-relations of the last mapped layer (MiniLMv2, arXiv:2012.15828).

    The number of relation heads is free, so that models of other widths and heads can be compared.
    """
    student, teacher = pair.student_projections[-1], pair.teacher_projections[-1]
    heads = pair.attention.relation_heads or pair.attention.teacher_heads
    errors = [
        _relation(pair, _scores(ours, ours, heads), _scores(theirs, theirs, heads))
        for ours, theirs in (
            (student.query, teacher.query),
            (student.key, teacher.key),
            (student.value, teacher.value),
        )
    ]
    return sum(errors[1:], start=errors[0]) / len(errors)


def label_loss(pair: Pair) -> Tensor:
    """The task's distance from the right answers of the data (`objectives`)."""
    assert pair.objective.label is not None, "refused before the training"
    return pair.objective.label(pair)


Loss = Callable[[Pair], "Tensor"]

LOSSES: dict[str, Loss] = {
    "logits": logits_loss,
    "logits_mse": logits_mse_loss,
    "hidden": hidden_loss,
    "hidden_cosine": hidden_cosine_loss,
    "embedding": embedding_loss,
    "attention_mse": attention_mse_loss,
    "attention_kl": attention_kl_loss,
    "relations": relations_loss,
    "label": label_loss,
}

#: The losses that read hidden states; without any of them, neither model has to keep its own.
READ_HIDDEN = frozenset({"hidden", "hidden_cosine", "embedding"})

#: The losses that read queries, keys and values.
READ_PROJECTIONS = frozenset({"attention_mse", "attention_kl", "relations"})

#: The losses that look at answers; the others look inside.
ANSWERS = frozenset({"logits", "logits_mse", "label"})


def unit_of(name: str, objective: Objective) -> Unit:
    """What a loss is a mean over."""
    if name == "logits":
        return objective.unit
    if name == "logits_mse":
        return "tokens" if objective.answers_per_token else "rows"
    return {"label": "known", "attention_mse": "pairs"}.get(name, "tokens")  # type: ignore[return-value]


def total(pair: Pair, weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the named losses, those of weight 0 left out; of a share, its part in the batch's."""
    values = {name: LOSSES[name](pair) for name, weight in weights.items() if weight}
    if pair.share is not None:
        values = {name: pair.share.weigh(value, unit_of(name, pair.objective)) for name, value in values.items()}
    terms = [weights[name] * value for name, value in values.items()]
    return sum(terms[1:], start=terms[0])
