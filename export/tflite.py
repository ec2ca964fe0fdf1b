"""TFLite: FP32 by litert-torch, INT8 by ai-edge-quantizer's dynamic range quantization.

A file holds one signature (`seq16`, `seq32` ...) for each sequence length, which share their weights; batch 1,
INT32 inputs. Dynamic range quantization needs no calibration text: weights are INT8, activations are quantized
as they come. `int8` has one scale per channel; `int8-legacy` has one per tensor, because tflite-runtime 2.14
computes wrong answers from the other without an error, and says how activations are quantized, since its kernels
would otherwise do it in another way than LiteRT's. `int8-full` has calibrated activations (`tflite_full.py`).
The classifier stays float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebert import tasks
from edgebert.errors import ExportError, require
from edgebert.protocols import ExportedModel, ExportJob, TensorSpec
from edgebert.tasks import Task

from . import tflite_full, trained, trained_tflite
from .groups import group_of, groups_of
from .source import Conversion, Source, converted, load_source, output_specs
from .trained import Product

FILE = "model.tflite"

#: Operations that hold the weights, as the quantizer names them.
WEIGHTED = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")


@dataclass(frozen=True)
class TfliteExporter:
    """One signature per sequence length."""

    precisions: Mapping[str, bool] = field(
        default_factory=lambda: (
            dict.fromkeys(("fp32", "fp16", "int8", "int8-legacy", "int8-weights"), False) | {"int8-full": True}
        )
    )
    tools: tuple[str, ...] = (
        "torch",
        "transformers",
        "litert-torch",
        "litert-converter",
        "ai-edge-quantizer",
        "ai-edge-litert",
    )
    version: int = 4

    def export(self, job: ExportJob) -> ExportedModel:
        """Write `model.tflite`. Raises ExportError."""
        task = tasks.get(job.task, job.settings)
        source = load_source(job.model, task)
        path = job.out / FILE
        conversion = converted(job, FILE, lambda path: _convert(source, job, task, path))
        names = conversion.inputs
        parts: dict[str, str] = {"all": "float32"}
        groups: tuple[str, ...] = ()
        calibrated: dict[str, Any] = {}
        # One scale for all channels has no room for the trained ones.
        found = trained.products(job, source, task) if job.precision != "int8-legacy" else {}
        if job.precision != "fp32":
            groups, calibrated = _quantize(path, job, task, names, found)
            parts = _PARTS[job.precision] | conversion.told()
        if found:
            parts = parts | {"matmul": parts["matmul"].replace("int8", f"int8 ({trained.HOW})", 1)}
        path.write_bytes(_compact(path.read_bytes(), found, asymmetric=job.precision == "int8-legacy"))
        return ExportedModel(
            files=(FILE,),
            inputs=tuple(TensorSpec(name, "int32", (1, -1)) for name in names),
            outputs=output_specs(source, task, 1),
            lengths=job.lengths,
            batch=1,
            precision=parts,
            calibration=calibrated,
            groups=groups,
        )


_KEPT = {"embeddings": "int8 per tensor", "attention": "float32", "classifier": "float32"}
_PARTS = {
    "fp16": {"all": "float16 weights, float32 arithmetic"},
    "int8": {"matmul": "int8 weights per channel, int8 activations per token, dynamic", **_KEPT},
    "int8-full": {
        "matmul": "int8 weights per channel, int8 activations per tensor, static",
        **_KEPT,
        "attention": "int8 products where edgebert wrote the graph, float32 softmax",
    },
    "int8-legacy": {"matmul": "int8 weights per tensor, int8 activations per token, dynamic", **_KEPT},
    "int8-weights": {"matmul": "int8 weights per channel, float32 arithmetic", **_KEPT},
}


def signature(length: int) -> str:
    """The name of the signature for one sequence length."""
    return f"seq{length}"


def _convert(source: Source, job: ExportJob, task: Task, path: Path) -> Conversion:
    """Write the FP32 file."""
    litert_torch = require("litert_torch", "host")
    import torch

    from . import smoothing
    from .graph import Named, exportable, with_position_lookup

    module, names = exportable(source, task, job.lengths[-1])
    module = with_position_lookup(module)
    smoothed = smoothing.level(module) if job.precision.startswith("int8") else ()
    converter: Any = litert_torch
    for length in job.lengths:
        example = {name: torch.ones((1, length), dtype=torch.int32) for name in names}
        converter = converter.signature(signature(length), Named(module, task.outputs).eval(), sample_kwargs=example)
    converter.convert().export(str(path))
    return Conversion(names, smoothed)


def _quantize(
    path: Path, job: ExportJob, task: Task, names: Sequence[str], found: Mapping[str, Product]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Quantize the file in place, the classifier and the job's float groups excepted.

    Returns:
        All INT8 groups, and how activations were calibrated, where they were.
    """
    require("ai_edge_quantizer", "host")
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    precision = job.precision
    granularity = qtyping.QuantGranularity
    matrices = granularity.TENSORWISE if precision == "int8-legacy" else granularity.CHANNELWISE
    content = path.read_bytes()
    heads = _heads(content) if task.has_head else []
    weighted = [name for name in _made_by(content, WEIGHTED) if name not in heads]
    kinds = tflite_full.KINDS if precision == "int8-full" else WEIGHTED
    floats = [name for name in _made_by(content, kinds) if group_of(name) in job.float_groups and name not in heads]
    work = quantizer.Quantizer(str(path))
    if precision == "int8-full":
        tflite_full.configure(work)
    for name in WEIGHTED if precision != "int8-full" else ():
        operation = qtyping.TFLOperationName(name)
        # One scale per word piece would add 12 bytes a row and signature, and gains nothing.
        per = matrices if name == "FULLY_CONNECTED" else granularity.TENSORWISE
        if precision == "fp16":
            half = qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT)
            config = qtyping.OpQuantizationConfig(
                weight_tensor_config=half, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
            )
            work.update_quantization_recipe(".*", operation, config, algorithm_key=AlgorithmName.FLOAT_CASTING)
        elif precision == "int8-weights":
            work.add_weight_only_config(".*", operation, 8, granularity=per)
        else:
            work.add_dynamic_config(".*", operation, 8, granularity=per)
    for name in dict.fromkeys((*heads, *floats)):
        for kind in kinds:
            # A scope is the names of an operation's outputs, each followed by a semicolon.
            work.update_quantization_recipe(
                f"^{re.escape(name)};$", qtyping.TFLOperationName(kind), algorithm_key=AlgorithmName.NO_QUANTIZE
            )
    ranges, how = None, dict[str, Any]()
    if work.need_calibration:
        ranges, how = tflite_full.calibrate(work, job, names, {length: signature(length) for length in job.lengths})
        if found:
            ranges |= trained_tflite.ranges(content, found)
            how |= {"method": "trained, else minmax"}
    work.quantize(ranges).export_model(str(path), overwrite=True)
    return groups_of(weighted) if precision.startswith("int8") else (), how


def _made_by(content: bytes, operations: Sequence[str]) -> list[str]:
    """The names of the tensors that some operations make, of all signatures."""
    schema = _schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    kinds = [getattr(schema.BuiltinOperator, name) for name in operations]
    return [
        graph.tensors[op.outputs[0]].name.decode()
        for graph in model.subgraphs
        for op in graph.operators
        if model.operatorCodes[op.opcodeIndex].builtinCode in kinds
    ]


def _heads(content: bytes) -> list[str]:
    """The names of the tensors that the classifiers make, one per signature.

    Raises:
        ExportError: an output is made by no matrix product.
    """
    schema = _schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    kind = schema.BuiltinOperator.FULLY_CONNECTED
    names = []
    for graph in model.subgraphs:
        makers = {index: op for op in graph.operators for index in op.outputs}
        for output in graph.outputs:
            op = makers.get(output)
            while op is not None and model.operatorCodes[op.opcodeIndex].builtinCode != kind:
                op = next((makers[index] for index in op.inputs if index in makers), None)
            if op is None:
                raise ExportError("an output is made by no matrix product", "export fp32 instead")
            names.append(graph.tensors[op.outputs[0]].name.decode())
    return names


def _compact(content: bytes, found: Mapping[str, Product], asymmetric: bool = False) -> bytes:
    """The same model without metadata and long names, its scales stored once and not once per signature.

    Products in `found` get the integers that they were trained to. With `asymmetric` it says that activations are
    quantized between their least and their largest value. LiteRT's kernels do so in any case; those of tflite-runtime
    2.14 take the converse, symmetric ranges, where nothing is said.
    """
    flatbuffers = require("flatbuffers", "host")
    schema = _schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    trained_tflite.carry(model, found)
    model.description = "edgebert"
    model.metadata, model.metadataBuffer = [], []
    for graph in model.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            tensor.name = f"t{index}"
        for op in graph.operators if asymmetric else ():
            if isinstance(op.builtinOptions, schema.FullyConnectedOptionsT):
                op.builtinOptions.asymmetricQuantizeInputs = True
    shared: dict[bytes, int] = {}
    pack_scales, pack_buffer = schema.QuantizationParametersT.Pack, schema.BufferT.Pack

    def scales(self: Any, builder: Any) -> int:
        """As generated, but equal parameters become one table that all their tensors point to."""
        parts = (self.scale, self.zeroPoint, self.min, self.max, [self.quantizedDimension])
        key = b"|".join(_bytes(part) for part in parts)
        if key not in shared:
            shared[key] = pack_scales(self, builder)
        return shared[key]

    def buffer(self: Any, builder: Any) -> int:
        """As generated, but inside the tables (the quantizer appends large ones) and aligned for SIMD loads."""
        data = content[self.offset : self.offset + self.size] if self.offset > 1 else _bytes(self.data)
        vector = _aligned(builder, data) if data else None
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))

    schema.QuantizationParametersT.Pack, schema.BufferT.Pack = scales, buffer
    try:
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), b"TFL3")
    finally:
        schema.QuantizationParametersT.Pack, schema.BufferT.Pack = pack_scales, pack_buffer
    return bytes(builder.Output())


def _aligned(builder: Any, data: bytes) -> int:
    """A vector of bytes at a multiple of 16."""
    builder.StartVector(1, len(data), 16)
    builder.head = builder.head - len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())


def _bytes(values: Any) -> bytes:
    import numpy as np

    return b"" if values is None else np.asarray(values).tobytes()


def _schema() -> Any:
    return require("ai_edge_litert.schema_py_generated", "host")


EXPORTER = TfliteExporter()
