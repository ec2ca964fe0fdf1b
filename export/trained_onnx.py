"""Trained integers and ranges in ONNX models: in the place of what ONNX Runtime's quantizer stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert.errors import ExportError

from .trained import Product

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def weights_of(model: ModelProto, found: Mapping[str, Product]) -> dict[str, Product]:
    """Of an FP32 model: the names of its weights -> the trained products that they belong to."""
    return {node.input[1]: product for node, product in _nodes(model, found)}


def ranges(model: ModelProto, found: Mapping[str, Product]) -> dict[str, list[dict[str, Any]]]:
    """Of an FP32 model: by what the inputs of trained products are rounded, as ONNX Runtime's tools are told."""
    from onnxruntime.quantization import QuantType

    told = {}
    for node, product in _nodes(model, found):
        scale, zero = product.grid()
        given = {"scale": np.array(scale, np.float32), "zero_point": np.array(zero, np.uint8)}
        told[node.input[0]] = [{"quant_type": QuantType.QUInt8, **given}]
    return told


def carry(model: ModelProto, weights: Mapping[str, Product], stored: str = "quantized") -> None:
    """Store the trained integers and scales, in place.

    Args:
        model: quantized; its tables are named after the weights: `NAME_quantized` (or `stored`) and `NAME_scale`.
        weights: of the FP32 model, as `weights_of` found them.
        stored: what follows the weights' names where integers stand.

    Raises:
        ExportError: the quantizer stored something else than was expected.
    """
    from onnx import numpy_helper

    tables = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, product in weights.items():
        for end, array in ((stored, product.integers.T), ("scale", product.scales)):
            tensor = tables.get(f"{name}_{end}")
            if tensor is None or numpy_helper.to_array(tensor).shape != array.shape:
                raise ExportError(f"the trained weights {name} have no place in the quantized graph", "report this")
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _nodes(model: ModelProto, found: Mapping[str, Product]) -> Iterator[tuple[NodeProto, Product]]:
    for node in model.graph.node:
        place = node.name.strip("/").rpartition("/")[0].replace("/", ".")
        if node.op_type == "MatMul" and place in found:
            yield node, found[place]
