"""Trained integers and ranges in OpenVINO's graphs: in the place of what NNCF found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgebert.errors import ExportError

from .trained import Product


def carry(model: Any, found: Mapping[str, Product]) -> None:
    """Give the convolutions of an INT8 graph their trained weights and input ranges, in place.

    Args:
        model: as NNCF quantized it: FakeQuantize before each convolution.
        found: the products by module; each must be in the graph.

    Raises:
        ExportError: NNCF left a product without its quantizer.
    """
    left = dict(found)
    for op in model.get_ordered_ops():
        place = _place(op.get_friendly_name())
        if op.get_type_name() != "Convolution" or place not in left:
            continue
        product = left.pop(place)
        op.input(1).replace_source_output(_weights(product))
        quantizer = _quantizer(op)
        if quantizer is None:
            raise ExportError(f"NNCF did not quantize the input of {place}", "report this with the model's config.json")
        for port, value in zip((1, 2, 3, 4), (*product.ends(), *product.ends()), strict=True):
            quantizer.input(port).replace_source_output(_constant(np.float32(value)))
    if left:
        raise ExportError(f"the graph has no product {next(iter(left))}", "report this with the model's config.json")
    model.validate_nodes_and_infer_types()


def _place(name: str) -> str:
    """`__module.encoder.layers.0.up/aten::_convolution/Convolution` -> `encoder.layers.0.up`."""
    return name.partition("/")[0].removeprefix("__module.")


def _weights(product: Product) -> Any:
    """INT8 [outputs, inputs, 1, 1], made float and scaled: what OpenVINO's INT8 kernels look for."""
    from openvino import opset13

    integers = _constant(product.integers[:, :, None, None])
    floats = opset13.convert(integers, "f32")
    return opset13.multiply(floats, _constant(product.scales[:, None, None, None])).output(0)


def _constant(values: Any) -> Any:
    from openvino import opset13

    return opset13.constant(np.ascontiguousarray(values)).output(0)


def _quantizer(op: Any) -> Any:
    """The FakeQuantize that an operation's first input comes from, whatever only moves the tensor in between."""
    node = op.input(0).get_source_output().get_node()
    while node.get_type_name() in ("Transpose", "Unsqueeze", "Reshape", "Slice", "StridedSlice", "Squeeze"):
        node = node.input(0).get_source_output().get_node()
    return node if node.get_type_name() == "FakeQuantize" else None
