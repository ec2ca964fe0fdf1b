"""Trained integers and ranges in TFLite models: in the place of what ai-edge-quantizer stores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgebert.errors import ExportError, require

from .trained import Product

#: `…edgebert.export.modules.Layer_0/torch.nn.modules.linear.Linear_up;1`: the layer's number, and the linear layer.
_LAYER, _LINEAR = re.compile(r"Layer_(\d+)"), re.compile(r"Linear_(\w+?)(?=[;/]|$)")


def places(content: bytes, found: Mapping[str, Product]) -> dict[str, str]:
    """Of an FP32 file: the names of the tensors that trained products make, of all signatures -> the products' modules."""
    made = {}
    for graph, op in _products(_model(content)):
        name = graph.tensors[op.outputs[0]].name.decode()
        place = _place(name)
        if place in found:
            made[name] = place
    return made


def _place(name: str) -> str:
    layer, linear = _LAYER.search(name), _LINEAR.findall(name)
    last = linear[-1] if linear else ""
    if layer is None:
        return f"head.{last}"
    inside = f"attention.{last}" if last in ("packed", "query") else last
    return f"encoder.layers.{layer[1]}.{inside}"


def _products(model: Any) -> Iterator[tuple[Any, Any]]:
    """The matrix products with weights: (subgraph, operation)."""
    schema = _schema()
    for graph in model.subgraphs:
        for op in graph.operators:
            if model.operatorCodes[op.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
                yield graph, op


def _model(content: bytes) -> Any:
    return _schema().ModelT.InitFromPackedBuf(content, 0)


def _schema() -> Any:
    return require("ai_edge_litert.schema_py_generated", "host")
