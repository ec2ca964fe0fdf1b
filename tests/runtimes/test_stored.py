"""What the files of INT8 artifacts hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgebert.artifact import Artifact

Exported = Callable[[str, str], Artifact]
WIDTH = 32


def pieces(artifact: Artifact) -> int:
    """Rows of the word embeddings."""
    import json

    rows: int = json.loads((artifact.path / "config.json").read_text())["vocab_size"]
    return rows


def test_onnx_int8_holds_int8_embeddings_and_a_float_classifier(exported: Exported) -> None:
    import onnx
    from onnx import numpy_helper

    artifact = exported("bert", "onnx-int8")
    stored = [numpy_helper.to_array(t) for t in onnx.load(str(artifact.model_path)).graph.initializer]
    words = {a.dtype for a in stored if a.shape == (pieces(artifact), WIDTH)}
    assert len(words) == 1 and words <= {np.dtype(np.int8), np.dtype(np.uint8)}
    assert {a.dtype for a in stored if sorted(a.shape) == [3, WIDTH]} == {np.dtype(np.float32)}
    floats = sum(a.size for a in stored if a.dtype == np.float32 and a.ndim == 2)
    assert floats == 3 * WIDTH + 16 * WIDTH  # classifier, positions


def test_onnx_int8_ort_is_in_the_format_of_the_mobile_build_and_lists_its_operators(exported: Exported) -> None:
    artifact = exported("bert", "onnx-int8-ort")
    assert artifact.manifest.model_files == ("model.ort",) and artifact.manifest.settings == {}
    assert artifact.model_path.read_bytes()[4:8] == b"ORTM"  # the file identifier of its flatbuffer
    listed: dict[str, set[str]] = {}
    for line in (artifact.path / "required_operators.config").read_text("utf-8").splitlines():
        domain, _, operators = line.split(";")
        listed.setdefault(domain, set()).update(operators.split(","))  # a line for each opset
    assert {"DynamicQuantizeMatMul", "Gelu"} <= listed["com.microsoft"] and "Softmax" in listed["ai.onnx"]
    assert "SkipLayerNormalization" not in listed["com.microsoft"]


def test_openvino_int8_holds_int8_embeddings_and_a_float_classifier(exported: Exported) -> None:
    import openvino as ov

    artifact = exported("bert", "openvino-int8")
    model = ov.Core().read_model(str(artifact.model_path))
    constants = [op.output(0) for op in model.get_ordered_ops() if op.get_type_name() == "Constant"]
    kinds = {
        tuple(port.get_shape()): port.get_element_type().get_type_name()
        for port in constants
        if len(port.get_shape()) in (2, 4)
    }
    assert kinds[pieces(artifact), WIDTH] in ("i8", "u8")
    assert kinds[3, WIDTH, 1, 1] == "f32"
    assert kinds[64, WIDTH, 1, 1] == "i8"


def test_tflite_int8_holds_int8_embeddings_and_one_table_for_all_lengths(exported: Exported) -> None:
    from ai_edge_litert import schema_py_generated as schema

    for name in ("tflite-int8", "tflite-int8-legacy", "tflite-int8-full"):
        artifact = exported("bert", name)
        model = schema.ModelT.InitFromPackedBuf(artifact.model_path.read_bytes(), 0)
        assert len(model.subgraphs) == 2 and not model.metadata
        kinds: dict[tuple[int, ...], set[tuple[int, int]]] = {}
        for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
            if model.buffers[tensor.buffer].data is not None and tensor.shape is not None:
                kinds.setdefault(tuple(map(int, tensor.shape)), set()).add((tensor.type, tensor.buffer))
            if name.endswith("legacy") and tensor.quantization is not None and tensor.quantization.scale is not None:
                assert len(tensor.quantization.scale) == 1
        asymmetric = {
            op.builtinOptions.asymmetricQuantizeInputs
            for graph in model.subgraphs
            for op in graph.operators
            if isinstance(op.builtinOptions, schema.FullyConnectedOptionsT)
        }
        assert asymmetric == {name.endswith("legacy")}  # tflite-runtime 2.14 would quantize otherwise than LiteRT
        words = kinds[pieces(artifact), WIDTH]
        assert len(words) == 1 and next(iter(words))[0] == schema.TensorType.INT8
        assert {kind for kind, _ in kinds[3, WIDTH]} == {schema.TensorType.FLOAT32}
