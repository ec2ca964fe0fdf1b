"""Could INT8 sums saturate on x86 without VNNI? Told from the weights of an ONNX model.

There VPMADDUBSW multiplies two neighbouring U8 activations by two S8 weights and adds the two products in 16 bits,
saturating at 32,767 and -32,768 (Intel's Software Developer's Manual). ONNX Runtime's kernels pair the rows 2k and
2k + 1 of the weights. Activations are not known before they come (dynamic quantization) or reach 255 by calibration
(static), so a pair of weights is safe when both products at 255 fit: when its positive weights add up to 128 at most,
and its negative ones to -128 at least. With one more bit less, `int8` in OpenVINO, every pair is safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto

#: Operators that multiply U8 activations by weights of INT8 -> where the weights stand.
_PRODUCTS = {"MatMulInteger": 1, "QLinearMatMul": 3}

#: What a session must be given where sums could saturate: kernels without 16-bit sums.
EXACT = {"session.x64quantprecision": "1"}


def settings(model: ModelProto) -> dict[str, str]:
    """The session's configuration that the model needs for right answers on every x86 processor."""
    return EXACT if share(model) > 0 else {}


def share(model: ModelProto) -> float:
    """The share of pairs of weights whose sum of products could saturate; 0 where no product is in INT8."""
    from onnx import numpy_helper

    makers = {name: node for node in model.graph.node for name in node.output}
    tables = {tensor.name: tensor for tensor in model.graph.initializer}
    unsafe = pairs = 0
    for node in model.graph.node:
        place = _PRODUCTS.get(node.op_type)
        if place is not None:
            name = node.input[place]
        elif node.op_type in ("MatMul", "Gemm") and _dequantized(makers, node.input[0]):
            maker = makers.get(node.input[1])  # QDQ: the weights are made float, and fused into an INT8 product
            name = maker.input[0] if maker is not None and maker.op_type == "DequantizeLinear" else ""
        else:
            continue
        if name not in tables:
            continue
        weights = numpy_helper.to_array(tables[name])
        if weights.dtype == np.int8 and weights.ndim == 2:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            found = unsafe_pairs(weights.T if transposed else weights)
            unsafe, pairs = unsafe + int(found.sum()), pairs + found.size
    return unsafe / pairs if pairs else 0.0


def unsafe_pairs(weights: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Int8 weights [inputs, outputs] -> bool [inputs / 2, outputs]: whether a pair could saturate at 255."""
    wide = np.pad(weights.astype(np.int32), ((0, len(weights) % 2), (0, 0)))
    above, below = np.maximum(wide, 0), np.minimum(wide, 0)
    high = 255 * (above[::2] + above[1::2])
    low = 255 * (below[::2] + below[1::2])
    return (high > np.iinfo(np.int16).max) | (low < np.iinfo(np.int16).min)


def _dequantized(makers: Mapping[str, object], name: str) -> bool:
    return getattr(makers.get(name), "op_type", "") == "DequantizeLinear"
