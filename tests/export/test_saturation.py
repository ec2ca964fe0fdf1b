"""Which weights could saturate 16-bit sums, against the arithmetic of the instruction itself."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgebert.export import saturation


def saturates(weights: NDArray[np.int8]) -> NDArray[np.bool_]:
    """VPMADDUBSW with every choice of 0 and 255 for a pair of activations: is any sum another than the exact one?"""
    wide = weights.astype(np.int64)
    found = np.zeros((len(weights) // 2, weights.shape[1]), bool)
    for first in (0, 255):
        for second in (0, 255):
            exact = first * wide[::2] + second * wide[1::2]
            found |= np.clip(exact, -32768, 32767) != exact
    return found


def model(weights: NDArray[np.int8]) -> onnx.ModelProto:
    size = list(weights.shape)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["c"])], "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [1, size[0]])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [1, size[1]])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_every_pair_of_weights() -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    pairs = np.stack([np.repeat(every, 256), np.tile(every, 256)])
    assert (saturation.unsafe_pairs(pairs) == saturates(pairs)).all()
    assert saturation.unsafe_pairs(np.array([[127], [1]], np.int8)).tolist() == [[False]]
    assert saturation.unsafe_pairs(np.array([[127], [2]], np.int8)).tolist() == [[True]]


def test_the_last_row_of_an_odd_number_stands_alone() -> None:
    assert not saturation.unsafe_pairs(np.full((1, 3), -128, np.int8)).any()
    assert saturation.unsafe_pairs(np.full((3, 1), 127, np.int8)).tolist() == [[True], [False]]


def test_half_the_range_is_safe_and_the_whole_is_not() -> None:
    draw = np.random.default_rng(0)
    half = draw.integers(-64, 65, (32, 8)).astype(np.int8)
    assert saturation.share(model(half)) == 0 and saturation.settings(model(half)) == {}
    whole = draw.integers(-127, 128, (32, 8)).astype(np.int8)
    assert saturation.share(model(whole)) == saturates(whole).mean() > 0
    assert saturation.settings(model(whole)) == {"session.x64quantprecision": "1"}
