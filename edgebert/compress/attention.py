"""Narrowing attention: which heads stay, and how a head of fewer dimensions comes near one of more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.compress.channels import Matrix, Moments, root
from edgebert.compress.families import Family
from edgebert.compress.observe import batches
from edgebert.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """Moments of all heads' queries, keys and contexts (what attention found), [teacher's width]."""

    query: Moments
    key: Moments
    context: Moments


@dataclass(frozen=True)
class Squeezed:
    """How the narrower heads come from the teacher's.

    `query`, `key` and `value` [new width, old width] are applied after the teacher's projections; `back`
    [old width, new width] brings the narrower contexts back, as far as that goes.
    """

    query: Matrix
    key: Matrix
    value: Matrix
    back: Matrix


def importance(
    model: Any, task: Task, family: Family, layers: Sequence[int], rows: Sequence[Sequence[int]], pad_id: int
) -> dict[int, Matrix]:
    """How much the answers change, to first order, when a head is silenced: float64 [heads] for each layer.

    The mean square, over texts, of the context times the gradient of a random sum of the outputs: its expectation is
    the sum over all outputs of the squared first-order change (Michel et al. 2019, arXiv:1905.10650, whose loss needs
    labels, with the squares of Molchanov et al. 2019, arXiv:1906.10771).
    """
    import torch

    heads = int(model.config.num_attention_heads)
    names = {layer: f"{family.layer_prefix}{layer}.{family.attention_out}" for layer in layers}
    draw = torch.Generator().manual_seed(0)
    total = {layer: np.zeros(heads) for layer in layers}
    contexts: dict[int, Tensor] = {}

    def keeping(layer: int) -> Any:
        def hook(module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            # A leaf of its own where nothing before it wants a gradient: parameters need none here.
            contexts[layer] = given[0] if given[0].requires_grad else given[0].detach().requires_grad_()
            return (contexts[layer], *given[1:])

        return hook

    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in wanted:
            parameter.requires_grad_(False)
        with ExitStack() as stack:
            for layer, name in names.items():
                stack.callback(model.get_submodule(name).register_forward_pre_hook(keeping(layer)).remove)
            for ids, mask in batches(rows, pad_id):
                found = model(input_ids=ids, attention_mask=mask)
                score = torch.zeros(())
                for name in task.outputs:
                    answer = found[name]
                    real: Any = mask.reshape(*mask.shape, *[1] * (answer.dim() - 2)) if task.per_token else 1.0
                    score = score + (torch.randn(answer.shape, generator=draw) * answer * real).sum()
                gradients = torch.autograd.grad(score, [contexts[layer] for layer in layers])
                for layer, gradient in zip(layers, gradients, strict=True):
                    product = (contexts[layer] * gradient).detach().double()
                    change = product.reshape(*product.shape[:-1], heads, -1).sum(dim=(1, 3))
                    total[layer] += change.square().sum(dim=0).numpy()
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
    return total


def most_important(scores: Mapping[int, Matrix], count: int) -> dict[int, NDArray[np.int64]]:
    """The `count` heads of the highest score in each layer, ascending."""
    return {
        layer: np.sort(np.argsort(-found, kind="stable")[:count]).astype(np.int64) for layer, found in scores.items()
    }


def squeeze(seen: Seen, outgoing: Matrix, heads: Sequence[int], old: int, new: int) -> Squeezed:
    """The chosen heads, of `old` dimensions each, in `new` of them.

    Queries and keys keep the directions in which their product varies most: the best product of lower rank, over
    queries and keys drawn apart from each other. Adding a constant to all keys changes no distribution, so that their
    spread counts and not their mean. Values keep what `outgoing` [outputs, old width] passes on of the contexts.

    Args:
        seen: of the teacher's layer.
        outgoing: the product that follows attention.
        heads: the teacher's numbers of those that stay.
        old: dimensions of the teacher's head.
        new: of the student's, not more.
    """
    width = outgoing.shape[1]
    down = [np.zeros((len(heads) * new, width)) for _ in range(3)]
    made = Squeezed(down[0], down[1], down[2], np.zeros((width, len(heads) * new)))
    for index, head in enumerate(heads):
        ours, theirs = slice(index * new, (index + 1) * new), slice(head * old, (head + 1) * old)
        if new == old:
            for matrix in (made.query, made.key, made.value, made.back.T):
                matrix[ours, theirs] = np.eye(old)
            continue
        query, query_inverse = root(seen.query.part(theirs).second)
        key, key_inverse = root(seen.key.part(theirs).covariance)
        left, sizes, right = np.linalg.svd(query @ key)
        size = np.sqrt(sizes[:new])[:, None] * (new / old) ** 0.25  # scores are divided by the root of the dimensions
        made.query[ours, theirs] = size * left[:, :new].T @ query_inverse
        made.key[ours, theirs] = size * right[:new] @ key_inverse
        context, context_inverse = root(seen.context.part(theirs).covariance)
        directions = np.linalg.svd(outgoing[:, theirs] @ context, full_matrices=False)[2][:new]
        made.value[ours, theirs] = directions @ context_inverse
        made.back[theirs, ours] = context @ directions.T
    return made
