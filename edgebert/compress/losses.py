"""How far the student is from the teacher: one function a loss, found by the name that recipes use.

Each takes a `Pair` (both models' outputs for one batch) and returns a scalar; `total` weighs and adds them. A new
loss is a function and a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """What a model computed for one batch of B texts padded to T tokens.

    `logits` is float32 [B, C]; `hidden` holds the embeddings' output and then each layer's, float32 [B, T, H].
    """

    logits: Tensor
    hidden: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Pair:
    """One batch seen by both models.

    `mask` is int64 [B, T] (1 at real tokens), `labels` int64 [B]; `layer_map[i]` is the teacher's layer (from 0) that
    the student's layer `i` came from.
    """

    student: Outputs
    teacher: Outputs
    mask: Tensor
    labels: Tensor
    layer_map: tuple[int, ...]
    temperature: float


def logits_loss(pair: Pair) -> Tensor:
    """KL divergence from teacher to student at a temperature T, times T squared.

    Hinton et al. 2015, "Distilling the knowledge in a neural network", arXiv:1503.02531.
    """
    from torch.nn import functional

    student = functional.log_softmax(pair.student.logits / pair.temperature, dim=-1)
    teacher = functional.log_softmax(pair.teacher.logits / pair.temperature, dim=-1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * pair.temperature**2


def hidden_loss(pair: Pair) -> Tensor:
    """Mean squared error between the outputs of mapped layers, over real tokens.

    As in TinyBERT (Jiao et al. 2020, arXiv:1909.10351) and PKD (Sun et al. 2019, arXiv:1908.09355), over all tokens
    rather than the first alone. Both models must have the same width.
    """
    import torch

    weight = pair.mask.unsqueeze(-1).to(pair.student.logits.dtype)
    # Two operations over all layers at once: on short texts the calls cost more than the arithmetic.
    student = torch.stack(pair.student.hidden[1:])
    teacher = torch.stack([pair.teacher.hidden[layer + 1] for layer in pair.layer_map])
    squared = ((student - teacher) * weight).square().sum()
    return squared / (weight.sum() * student.shape[-1] * student.shape[0])


def label_loss(pair: Pair) -> Tensor:
    """Cross-entropy with the labels of the data."""
    from torch.nn import functional

    return functional.cross_entropy(pair.student.logits, pair.labels)


Loss = Callable[[Pair], "Tensor"]

LOSSES: dict[str, Loss] = {"logits": logits_loss, "hidden": hidden_loss, "label": label_loss}

#: The losses that read hidden states; without any of them, neither model has to keep its own.
READ_HIDDEN = frozenset({"hidden"})


def total(pair: Pair, weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the named losses, those of weight 0 left out."""
    terms = [weight * LOSSES[name](pair) for name, weight in weights.items() if weight]
    return sum(terms[1:], start=terms[0])
