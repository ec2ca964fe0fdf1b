"""Trained integers and ranges in TFLite models: in the place of what ai-edge-quantizer stores.

The converter names what a product puts out after the modules that it comes from:
`…edgebert.export.modules.Layer_0/torch.nn.modules.linear.Linear_up;1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgebert.errors import ExportError, require

from .trained import Product

_LAYER, _LINEAR = re.compile(r"Layer_(\d+)"), re.compile(r"Linear_([a-z]+)")

#: Operations that only move a tensor, in the same scale.
_MOVES = ("RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE")


def ranges(content: bytes, found: Mapping[str, Product]) -> dict[str, dict[str, Any]]:
    """Of an FP32 file: the ranges of what trained products read, by tensor, as the quantizer takes them."""
    told = {}
    model = _model(content)
    for graph, op, product in _products(model, found):
        makers = {index: maker for maker in graph.operators for index in maker.outputs}
        index = op.inputs[0]
        while True:
            tensor = graph.tensors[index]
            low, high = (np.full((1,) * len(tensor.shape), end, np.float32) for end in product.ends())
            told[tensor.name.decode()] = {"min": low, "max": high}
            maker = makers.get(index)
            if maker is None or _kind(model, maker) not in _codes(*_MOVES):
                break
            index = maker.inputs[0]
    return told


def carry(model: Any, found: Mapping[str, Product]) -> None:
    """Store the trained integers and scales, in place, and biases of INT32 in their new unit.

    Args:
        model: a quantized ModelT, with the names that its tensors had before.
        found: the products by module.

    Raises:
        ExportError: a product has no INT8 weights of that shape.
    """
    left = set(found)
    for graph, op, product in _products(model, found):
        given, weights = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
        old = weights.quantization
        if old is None or old.scale is None or tuple(weights.shape) != product.integers.shape:
            raise ExportError("a trained product was not quantized per channel", "report this with the config.json")
        old.scale, old.min, old.max = product.scales, None, None
        old.zeroPoint = np.zeros(len(product.scales), np.int64)
        _write(model.buffers[weights.buffer], product.integers)
        bias = graph.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
        if bias is not None and bias.type == _schema().TensorType.INT32:
            unit = product.scales.astype(np.float64) * float(given.quantization.scale[0])
            bias.quantization.scale = unit.astype(np.float32)
            limits = np.iinfo(np.int32)
            rounded = np.clip(np.round(product.bias / unit), limits.min, limits.max).astype(np.int32)
            _write(model.buffers[bias.buffer], rounded)
        left -= {_place(graph.tensors[op.outputs[0]].name.decode())}
    if left:
        raise ExportError(f"the graph has no product {min(left)}", "report this with the model's config.json")


def _place(name: str) -> str:
    layer, linear = _LAYER.search(name), _LINEAR.findall(name)
    last = linear[-1] if linear else ""
    if layer is None:
        return f"head.{last}"
    return f"encoder.layers.{layer[1]}.{'attention.' if last in ('packed', 'query') else ''}{last}"


def _products(model: Any, found: Mapping[str, Product]) -> Iterator[tuple[Any, Any, Product]]:
    """The trained products of all signatures: subgraph, operation, product."""
    for graph in model.subgraphs:
        for op in graph.operators:
            place = _place(graph.tensors[op.outputs[0]].name.decode())
            if _kind(model, op) in _codes("FULLY_CONNECTED") and place in found:
                yield graph, op, found[place]


def _write(buffer: Any, values: Any) -> None:
    """Put an array into the tables, wherever the old one was."""
    buffer.data, buffer.offset, buffer.size = np.ascontiguousarray(values).reshape(-1).view(np.uint8), 0, 0


def _kind(model: Any, op: Any) -> int:
    return int(model.operatorCodes[op.opcodeIndex].builtinCode)


def _codes(*names: str) -> list[int]:
    return [getattr(_schema().BuiltinOperator, name) for name in names]


def _model(content: bytes) -> Any:
    return _schema().ModelT.InitFromPackedBuf(content, 0)


def _schema() -> Any:
    return require("ai_edge_litert.schema_py_generated", "host")
