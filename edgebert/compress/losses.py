"""How far the student is from the teacher: one function a loss, found by the name that recipes use.

Each takes a `Pair` (both models' outputs for one batch) and returns a scalar; `total` weighs and adds them. A new
loss is a function and a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebert.compress.objectives import Objective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """One batch of B windows, padded to T tokens, seen by both models.

    `student` and `teacher` are the task's outputs by name; the `_hidden` ones the embeddings' output and then each
    layer's, float32 [B, T, H]. `mask` is int64 [B, T] (1 at real tokens), `targets` as the task's objective makes
    them; `layer_map[i]` is the teacher's layer (from 0) that the student's layer `i` came from.
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


def logits_loss(pair: Pair) -> Tensor:
    """The task's distance between the answers of student and teacher (`objectives`)."""
    return pair.objective.imitate(pair)


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


def label_loss(pair: Pair) -> Tensor:
    """The task's distance from the right answers of the data (`objectives`)."""
    assert pair.objective.label is not None, "refused before the training"
    return pair.objective.label(pair)


Loss = Callable[[Pair], "Tensor"]

LOSSES: dict[str, Loss] = {"logits": logits_loss, "hidden": hidden_loss, "label": label_loss}

#: The losses that read hidden states; without any of them, neither model has to keep its own.
READ_HIDDEN = frozenset({"hidden"})


def total(pair: Pair, weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the named losses, those of weight 0 left out."""
    terms = [weight * LOSSES[name](pair) for name, weight in weights.items() if weight]
    return sum(terms[1:], start=terms[0])
