"""The precisions of ONNX models, each made of the FP32 graph in place.

| precision | matrix products | embeddings |
|---|---|---|
| `fp16` | weights and arithmetic FP16 where the processor has it | FP16 |
| `int8`, `int8-dynamic` | INT8 weights per channel, activations quantized as they come | UINT8 |
| `int8-ort` | the same with UINT8 weights, in ONNX Runtime's own format (`ort.py`) | UINT8 |
| `int8-static` | INT8 weights per channel, activations by calibrated ranges (QDQ, U8 and S8) | INT8 |
| `int8-weights` | INT8 weights per channel, made float when the model is loaded | INT8 |

The head stays float, since quantizing it clips the logits; so do products of two activations in the attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import ExportError, require
from edgebert.protocols import ExportJob
from edgebert.tasks import Task

from . import calibration, trained, trained_onnx
from .groups import beside, group_of, groups_of
from .trained import Product

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

#: Texts (or texts joined to fit) that activations are calibrated on at each sequence length.
TEXTS_PER_LENGTH = 48


Found = Mapping[str, Product]


@dataclass(frozen=True)
class Lowered:
    """What has which precision, in words, how it was calibrated, and which operator groups were quantized."""

    parts: Mapping[str, str]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


def lower(
    path: Path, job: ExportJob, task: Task, names: Sequence[str], found: Mapping[str, Product] | None = None
) -> Lowered:
    """Turn the FP32 model at `path` into the job's precision, in place.

    Args:
        path: of the model.
        job: the export.
        task: what the model does.
        names: of the model's inputs.
        found: what quantization-aware training settled, by module.

    Raises:
        ExportError: the graph has no head to keep float.
    """
    if job.precision == "fp32":
        return Lowered({"all": "float32"})
    require("onnxruntime", "host")
    makers = {"fp16": _half, "int8-static": _static, "int8-weights": _weights}
    return makers.get(job.precision, _dynamic)(path, job, task, names, found or {})


def _half(path: Path, job: ExportJob, task: Task, names: Sequence[str], found: Found) -> Lowered:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(str(path)), keep_io_types=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return Lowered({"all": "float16, inputs and outputs excepted"})


def _dynamic(path: Path, job: ExportJob, task: Task, names: Sequence[str], found: Found) -> Lowered:
    import onnx
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(path))
    floats, groups = _float_nodes(model, job, task)
    mobile = job.precision == "int8-ort"
    kept = {} if mobile else trained_onnx.weights_of(model, found)  # UINT8 has a zero point: quantized anew
    quantize_dynamic(
        model,
        str(path),
        per_channel=True,
        weight_type=QuantType.QUInt8 if mobile else QuantType.QInt8,
        nodes_to_exclude=floats,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
    _carry(path, kept)
    weights = "uint8" if mobile else f"int8 ({trained.HOW})" if kept else "int8"
    parts = _parts(f"{weights} weights per channel, uint8 activations per tensor, dynamic", "uint8 per tensor")
    return Lowered(parts, groups=groups)


def _static(path: Path, job: ExportJob, task: Task, names: Sequence[str], found: Found) -> Lowered:
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    encoded = calibration.calibration_encoded(job)
    data = calibration.batches(encoded, names, job.lengths, TEXTS_PER_LENGTH)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[dict[str, NDArray[np.int64]]] = iter(data)

        def get_next(self) -> dict[str, NDArray[np.int64]] | None:
            return next(self._rows, None)

    model = onnx.load(str(path))
    floats, groups = _float_nodes(model, job, task)
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = trained_onnx.weights_of(model, found)
    learned = {"TensorQuantOverrides": trained_onnx.ranges(model, found)} if kept else {}
    between = [n.name for n in model.graph.node if n.op_type == "MatMul" and not constants & set(n.input)]
    quantize_static(
        model,
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,  # S8 activations are slower than FP32 on x86
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        nodes_to_exclude=between + floats,
        calibrate_method=CalibrationMethod.MinMax,
        # Products read rounded activations; what they put out is rounded when the next one reads it, if at all.
        extra_options={**learned, "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    _carry(path, kept)
    how = {
        "method": "trained, else minmax" if kept else "minmax",
        "texts": len(encoded),
        "inputs": len(data),
        "lengths": list(job.lengths),
    }
    weights = f"int8 ({trained.HOW})" if kept else "int8"
    parts = _parts(f"{weights} weights per channel, uint8 activations per tensor, static", "int8 per tensor")
    return Lowered(parts, {**how, "seed": job.seed}, groups)


def _weights(path: Path, job: ExportJob, task: Task, names: Sequence[str], found: Found) -> Lowered:
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    floats, groups = _float_nodes(model, job, task)
    kept = trained_onnx.weights_of(model, found)
    tables = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        place = {"MatMul": 1, "Gemm": 1, "Gather": 0}.get(node.op_type)
        tensor = tables.get(node.input[place]) if place is not None else None
        if tensor is None or node.name in floats or len(tensor.dims) != 2 or tensor.data_type != 1:
            nodes.append(node)
            continue
        lookup = node.op_type == "Gather"
        axis = 0 if lookup or _transposed(node) else 1
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if f"{name}_int8" not in tables:
            # A table of embeddings has one scale for all rows: it is looked up in INT8, and made float after that.
            scale = np.abs(values).max(axis=None if lookup else 1 - axis) / 127.0
            scale = np.maximum(scale, 1e-12).astype(np.float32)
            column = scale if lookup else np.expand_dims(scale, 1 - axis)
            rounded = np.clip(np.round(values / column), -127, 127).astype(np.int8)
            for end, array in (
                ("int8", rounded),
                ("scale", np.asarray(scale)),
                ("zero", np.zeros_like(scale, np.int8)),
            ):
                tables[f"{name}_{end}"] = numpy_helper.from_array(array, f"{name}_{end}")
        stored = [f"{name}_scale", f"{name}_zero"]
        if lookup:
            result, looked = node.output[0], f"{node.output[0]}_int8"
            node.input[0], node.output[0] = f"{name}_int8", looked
            nodes += [node, helper.make_node("DequantizeLinear", [looked, *stored], [result], name=f"{result}_float")]
        else:
            given = f"{node.name}_weight"
            inputs = [f"{name}_int8", *stored]
            nodes.append(helper.make_node("DequantizeLinear", inputs, [given], name=f"{given}_float", axis=axis))
            node.input[1] = given
            nodes.append(node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    model.graph.initializer.extend(tensor for name, tensor in tables.items() if name in used)
    trained_onnx.carry(model, kept, stored="int8")
    path.write_bytes(model.SerializeToString(deterministic=True))
    weights = f"int8 ({trained.HOW})" if kept else "int8"
    return Lowered(_parts(f"{weights} weights per channel, float32 arithmetic", "int8 per tensor"), groups=groups)


def _carry(path: Path, kept: Found) -> None:
    import onnx

    if kept:
        model = onnx.load(str(path))
        trained_onnx.carry(model, kept)
        path.write_bytes(model.SerializeToString(deterministic=True))


def _transposed(node: NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _parts(products: str, embeddings: str) -> dict[str, str]:
    return {"matmul": products, "embeddings": embeddings, "attention": "float32", "classifier": "float32"}


def _float_nodes(model: ModelProto, job: ExportJob, task: Task) -> tuple[list[str], tuple[str, ...]]:
    """The nodes with weights that stay float (heads, neurons beside, the job's groups), and all INT8 groups."""
    always = _heads(model) if task.has_head else []
    always += [node.name for node in model.graph.node if node.op_type == "MatMul" and beside(node.name)]
    tables = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2 and tensor.data_type == 1}
    names = [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm", "Gather") and tables & set(node.input) and node.name not in always
    ]
    floats = [name for name in names if group_of(name) in job.float_groups]
    return sorted({*always, *floats}), groups_of(names)


def _heads(model: ModelProto) -> list[str]:
    """The matrix products that make the outputs: quantizing them clips the logits.

    Raises:
        ExportError: an output is not made by one.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    heads = []
    for output in model.graph.output:
        node = makers.get(output.name)
        while node is not None and node.op_type not in ("MatMul", "Gemm"):
            node = next((makers[name] for name in node.input if name in makers), None)
        if node is None:
            raise ExportError(f"the output {output.name} is made by no matrix product", "export fp32 instead")
        heads.append(node.name)
    return sorted(set(heads))
