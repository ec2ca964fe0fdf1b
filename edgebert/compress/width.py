"""Narrowing the feed-forward layers: the neurons that say least on the task's own text are cut out.

A neuron's say is the mean square of its activation times the squared norm of its outgoing weights, which is the error
that its removal leaves in the layer's output, correlations apart (as in Molchanov et al. 2017, arXiv:1611.06440, with
activations in place of gradients). What a removed neuron gives on average is added to the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert.compress.families import Family
from edgebert.compress.observe import observe
from edgebert.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Activity:
    """One feed-forward layer's neurons on real tokens: mean and mean square of each, float64 [neurons]."""

    mean: Tensor
    square: Tensor


def measure(
    model: Any, family: Family, layers: Sequence[int], rows: Sequence[Sequence[int]], pad_id: int
) -> dict[int, Activity]:
    """The activity of every feed-forward neuron of `layers` on `rows` of token ids.

    Raises:
        RecipeError: the family has no plain feed-forward layers, or there is no text.
    """
    if family.ffn_out is None:
        raise RecipeError(
            f"student.intermediate_size: the feed-forward layers of {family.model_type} cannot be narrowed",
            "leave it out",
        )
    if not rows:
        raise RecipeError("student.intermediate_size needs text to measure on", "give training data")
    sums: dict[int, list[Any]] = {layer: [0.0, 0.0, 0] for layer in layers}

    def watch(layer: int) -> Any:
        def watcher(given: Tensor, found: Tensor) -> None:
            real = given.double()
            sums[layer][0] += real.sum(dim=0)
            sums[layer][1] += real.square().sum(dim=0)
            sums[layer][2] += len(real)

        return watcher

    names = {layer: f"{family.layer_prefix}{layer}.{family.ffn_out}" for layer in layers}
    observe(model, rows, pad_id, {name: [watch(layer)] for layer, name in names.items()})
    return {layer: Activity(total / count, square / count) for layer, (total, square, count) in sums.items()}


def narrow(weights: dict[str, Tensor], prefix: str, family: Family, activity: Activity, size: int) -> None:
    """Cut one layer's feed-forward part in `weights` (names begin with `prefix`) down to `size` neurons, in place.

    Raises:
        RecipeError: it has no more than `size`.
    """
    import torch

    first, second = f"{prefix}{family.ffn_in}", f"{prefix}{family.ffn_out}"
    outgoing = weights[f"{second}.weight"]
    if size >= outgoing.shape[1]:
        raise RecipeError(
            f"student.intermediate_size is {size}, but the teacher's is {outgoing.shape[1]}",
            "give a smaller number, or leave it out",
        )
    say = activity.square * outgoing.double().square().sum(dim=0)
    order = torch.from_numpy(np.argsort(-say.numpy(), kind="stable"))
    kept, gone = order[:size].sort().values, order[size:]
    lost = (outgoing[:, gone].double() @ activity.mean[gone]).to(outgoing.dtype)
    weights[f"{second}.bias"] = weights[f"{second}.bias"] + lost
    weights[f"{second}.weight"] = outgoing[:, kept].clone()
    weights[f"{first}.weight"] = weights[f"{first}.weight"][kept].clone()
    weights[f"{first}.bias"] = weights[f"{first}.bias"][kept].clone()
