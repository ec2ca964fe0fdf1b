"""Operator groups: the parts of a model that are quantized, or kept in float, together.

`embeddings`, for each layer its `attention` (projections into and out of it) and its `ffn`, and `pooler`: what the
head computes before its classifier, which is never quantized. Operators are told apart by the module that they come
from, which every converter leaves in their names: `/encoder/layers.0/up/MatMul` in ONNX,
`__module.encoder.layers.0.up/...` in OpenVINO, `.../Layer_0/torch.nn.modules.linear.Linear_up;1` in TFLite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EMBEDDINGS, POOLER = "embeddings", "pooler"

_LAYER = re.compile(r"layers?[._](\d+)", re.IGNORECASE)
_HEAD = re.compile(r"(?<![a-z])(head|pooler|classifier|qa_outputs)(?![a-z])")


def group_of(name: str) -> str:
    """The group of an operator, by its name in the converted graph."""
    layer = _LAYER.search(name)
    if layer is None:
        return POOLER if _HEAD.search(name) else EMBEDDINGS
    rest = name[layer.end() :].lower()
    # `output` is the attention's where we wrote the layer; transformers has `output.dense` in both halves.
    attention = "attention" in rest or ("output" in rest and "dense" not in rest and "ffn" not in rest)
    return f"layers.{layer[1]}.{'attention' if attention else 'ffn'}"


def beside(name: str) -> bool:
    """Whether an operator is one of the neurons that are computed apart, in float (`neurons.py`)."""
    return "beside/" in name


def groups_of(names: Iterable[str]) -> tuple[str, ...]:
    """The groups of several operators, each once, from the model's input to its output."""

    def place(group: str) -> tuple[int, int, str]:
        _, _, rest = group.partition("layers.")
        number, _, half = rest.partition(".")
        return (0 if group == EMBEDDINGS else 2 if group == POOLER else 1, int(number or 0), half)

    return tuple(sorted({group_of(name) for name in names}, key=place))
