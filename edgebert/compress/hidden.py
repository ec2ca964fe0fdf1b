"""Narrowing the hidden size: fewer channels between the layers, fewer or smaller heads inside them, no masks left.

Each channel of the student is one of the teacher's (`channels.select`, on the task's own text). What reads channels
takes over, by least squares, what the kept ones say of the others; what writes them writes the kept ones alone; layer
normalizations are rescaled, for their mean and deviation are now those of fewer channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.compress.attention import Seen, importance, most_important, squeeze
from edgebert.compress.channels import Matrix, Moments, Told, select, tell
from edgebert.compress.families import Family
from edgebert.compress.observe import Gathered, Rescaled, observe
from edgebert.compress.shape import Shape
from edgebert.errors import RecipeError
from edgebert.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]


@dataclass(frozen=True)
class Origin:
    """Where a narrow student's states come from.

    `channels` are the teacher's numbers of its channels, int64 [width]; `told` says the teacher's state from the
    student's after the embeddings and after each layer, to begin with.
    """

    channels: NDArray[np.int64]
    told: tuple[Told, ...]


@dataclass(frozen=True)
class Points:
    """The teacher's normalizations whose outputs the student's states imitate, by name.

    After the embeddings, after each layer's attention, and at each layer's end.
    """

    embeddings: str
    attention: tuple[str, ...]
    ends: tuple[str, ...]

    @classmethod
    def of(cls, family: Family, layer_map: Sequence[int]) -> Points:
        """Those of the layers that the student takes."""
        assert family.norms is not None, "refused before"
        names = [[f"{family.layer_prefix}{layer}.{norm}" for layer in layer_map] for norm in family.norms]
        return cls(f"{family.prefix}embeddings.LayerNorm", tuple(names[0]), tuple(names[1]))

    @property
    def all(self) -> tuple[str, ...]:
        """Every name, once."""
        return (self.embeddings, *self.attention, *self.ends)


def narrow_hidden(
    weights: Weights,
    model: Any,
    task: Task,
    family: Family,
    layer_map: Sequence[int],
    shape: Shape,
    rows: Sequence[Sequence[int]],
) -> Origin:
    """Cut `weights` (those of the student's layers, at the teacher's width) down to `shape`, in place.

    Args:
        weights: by name, with the student's layer numbers.
        model: the teacher, which is looked at on the texts.
        task: whose head it has.
        family: where it keeps its layers.
        layer_map: the teacher's layer of each of the student's; where there are none, the embeddings alone are cut.
        shape: of the student.
        rows: token ids of the texts.

    Raises:
        RecipeError: there is no text.
    """
    if not rows:
        raise RecipeError("student.hidden_size needs text to measure on", "give training data")
    pad_id = model.config.pad_token_id or 0
    points = Points.of(family, layer_map)
    seen = _gather(model, family, points, layer_map, rows, pad_id)
    channels = select([seen[name] for name in points.all], shape.hidden_size)
    told = {name: tell(seen[name], channels) for name in points.all}
    rescaled = {name: Rescaled(channels) for name in points.all}
    observe(model, rows, pad_id, {name: [watcher] for name, watcher in rescaled.items()})
    heads = {layer: np.arange(shape.teacher_heads, dtype=np.int64) for layer in layer_map}
    if layer_map and shape.heads < shape.teacher_heads:
        heads = most_important(importance(model, task, family, layer_map, rows, pad_id), shape.heads)
    for kind in ("word", "position", "token_type"):
        name = f"{family.prefix}embeddings.{kind}_embeddings.weight"
        if name in weights:
            weights[name] = weights[name][:, channels].contiguous()
    _norm(weights, points.embeddings, channels, rescaled[points.embeddings])
    states = (points.embeddings, *points.ends)
    for new, old in enumerate(layer_map):
        prefix, between = f"{family.layer_prefix}{new}.", points.attention[new]
        _attention(weights, prefix, family, told[states[new]], _layer(seen, family, old), channels, heads[old], shape)
        _norm(weights, prefix + _norms(family)[0], channels, rescaled[between])
        _read(weights, prefix + family.ffn_in, told[between])
        _write(weights, f"{prefix}{family.ffn_out}", channels)
        _norm(weights, prefix + _norms(family)[1], channels, rescaled[points.ends[new]])
    if layer_map:
        _head(weights, family, told[states[-1]], seen.get("pooled"), shape.hidden_size)
    return Origin(channels, tuple(told[name] for name in states))


def _gather(
    model: Any, family: Family, points: Points, layer_map: Sequence[int], rows: Sequence[Sequence[int]], pad_id: int
) -> dict[str, Moments]:
    """Moments at the points, of the layers' queries, keys and contexts, and of what the classifier reads (`pooled`)."""
    watchers = {name: Gathered() for name in points.all}
    for layer in layer_map:
        prefix = f"{family.layer_prefix}{layer}."
        watchers |= {prefix + name: Gathered() for name in family.projections[:2]}
        watchers[prefix + family.attention_out] = Gathered(given=True)
    if _is_pooled(model.state_dict(), family):
        watchers["classifier"] = Gathered(given=True)
    observe(model, rows, pad_id, {name: [watcher] for name, watcher in watchers.items()})
    return {"pooled" if name == "classifier" else name: watcher.moments for name, watcher in watchers.items()}


def _layer(seen: dict[str, Moments], family: Family, layer: int) -> Seen:
    prefix = f"{family.layer_prefix}{layer}."
    return Seen(*(seen[prefix + name] for name in (*family.projections[:2], family.attention_out)))


def _norms(family: Family) -> tuple[str, str]:
    assert family.norms is not None, "refused before"
    return family.norms


def _is_pooled(weights: Any, family: Family) -> bool:
    return f"{family.pooled}.weight" in weights


def _attention(
    weights: Weights, prefix: str, family: Family, told: Told, seen: Seen, channels: NDArray[np.int64],
    heads: NDArray[np.int64], shape: Shape,
) -> None:  # fmt: skip
    out = prefix + family.attention_out
    outgoing, bias = _get(weights, out)
    outgoing, bias = outgoing[channels], bias[channels]
    made = squeeze(seen, outgoing, heads.tolist(), shape.teacher_head_size, shape.head_size)
    for name, squeezed in zip(family.projections, (made.query, made.key, made.value), strict=True):
        _read(weights, prefix + name, told)
        matrix, offset = _get(weights, prefix + name)
        _set(weights, prefix + name, squeezed @ matrix, squeezed @ offset)
    mean = seen.context.mean
    lost = outgoing @ (mean - made.back @ (made.value @ mean))
    _set(weights, out, outgoing @ made.back, bias + lost)


def _head(weights: Weights, family: Family, told: Told, pooled: Moments | None, size: int) -> None:
    """What reads the last state: a pooled layer as wide as it and what follows it, or the answers themselves."""
    last = next((name for name in ("classifier", "qa_outputs") if f"{name}.weight" in weights), None)
    if pooled is not None:
        kept = select([pooled], size)
        _read(weights, family.pooled, told)
        _write(weights, family.pooled, kept)
        told = tell(pooled, kept)
    assert last is not None, "a head that edgebert does not know"
    _read(weights, last, told)


def _norm(weights: Weights, name: str, channels: NDArray[np.int64], rescaled: Rescaled) -> None:
    gain, bias = _get(weights, name)
    gain, bias = gain[channels], bias[channels]
    _set(weights, name, gain * rescaled.scale, bias + gain * rescaled.shift)


def _read(weights: Weights, name: str, told: Told) -> None:
    """The product takes the kept channels, and what they say of the others."""
    matrix, bias = _get(weights, name)
    _set(weights, name, matrix @ told.matrix, bias + matrix @ told.offset)


def _write(weights: Weights, name: str, kept: NDArray[np.int64]) -> None:
    matrix, bias = _get(weights, name)
    _set(weights, name, matrix[kept], bias[kept])


def _get(weights: Weights, name: str) -> tuple[Matrix, Matrix]:
    return weights[f"{name}.weight"].double().numpy(), weights[f"{name}.bias"].double().numpy()


def _set(weights: Weights, name: str, matrix: Matrix, bias: Matrix) -> None:
    import torch

    weights[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(matrix)).float()
    weights[f"{name}.bias"] = torch.from_numpy(np.ascontiguousarray(bias)).float()
