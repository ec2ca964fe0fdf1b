"""OpenVINO IR: FP32 and FP16 by its own converter from torch, INT8 by NNCF's post-training quantization.

Linear layers are quantized as 1 x 1 convolutions over the tokens: the same numbers, and on x86 without VNNI
OpenVINO's INT8 convolutions are more than twice as quick as its INT8 matrix products. Products of two
activations (in the attention) are small, slow in INT8 and sensitive, so they stay float; so does the
classifier, whose quantization would clip the logits. Weights use half the range of INT8 (`OverflowFix`), so
that sums of 16 bits cannot saturate and every x86 processor gives the same answers.
"""

from __future__ import annotations

import logging
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebert import tasks
from edgebert.errors import ExportError, require
from edgebert.protocols import ExportedModel, ExportJob, TensorSpec
from edgebert.tasks import Task

from . import calibration, trained, trained_openvino
from .groups import beside, group_of, groups_of
from .source import Conversion, Source, load_source, output_specs
from .trained import Product

FILE, WEIGHTS = "openvino_model.xml", "openvino_model.bin"

#: Nodes that compute nothing.
_IDLE = ("Constant", "Parameter", "Result")

#: Texts (or texts joined to fit) that activations are calibrated on at each sequence length.
TEXTS_PER_LENGTH = 48


@dataclass(frozen=True)
class OpenvinoExporter:
    """One graph of any length, which the runtime compiles anew for each sequence length in use."""

    precisions: Mapping[str, bool] = field(
        default_factory=lambda: {"fp32": False, "fp16": False, "int8": True, "int8-weights": False}
    )
    tools: tuple[str, ...] = ("torch", "transformers", "openvino", "nncf")
    version: int = 4

    def export(self, job: ExportJob) -> ExportedModel:
        """Write `openvino_model.xml` and `.bin`. Raises ExportError."""
        _without_telemetry()
        ov = require("openvino", "host")
        task = tasks.get(job.task, job.settings)
        source = load_source(job.model, task)
        model, conversion = _convert(source, job, task)
        parts: dict[str, str] = {"all": "float32"}
        calibrated: dict[str, Any] = {}
        groups: tuple[str, ...] = ()
        if job.precision.startswith("int8"):
            groups = groups_of(_weighted(model, task))
        if job.precision == "int8":
            found = trained.products(job, source, task)
            model, calibrated = _quantize(model, conversion.inputs, job, task, found)
            weights = trained.HOW if found else "half range"
            parts = {
                "matmul": f"int8 weights per channel ({weights}), int8 activations per tensor, static",
                "embeddings": "int8",
                "attention": "float32",
                "classifier": "float32",
                **conversion.told(),
            }
        elif job.precision == "int8-weights":
            model = _compress(model, _of_groups(model, job.float_groups))
            parts = {"matmul": "int8 weights per channel, float32 arithmetic", "embeddings": "int8 per channel"}
        elif job.precision == "fp16":
            parts = {"all": "float16 weights, float32 arithmetic"}
        ov.save_model(model, str(job.out / FILE), compress_to_fp16=job.precision == "fp16")
        _strip(job.out / FILE)
        return ExportedModel(
            files=(FILE, WEIGHTS),
            inputs=tuple(TensorSpec(name, "int64", (1, -1)) for name in conversion.inputs),
            outputs=output_specs(source, task, 1),
            lengths=job.lengths,
            batch=1,
            precision=parts,
            calibration=calibrated,
            settings={"INFERENCE_PRECISION_HINT": "f32"},
            groups=groups,
        )


def _without_telemetry() -> None:
    """Have OpenVINO and NNCF take the stubs that they keep for machines without their telemetry package."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _convert(source: Source, job: ExportJob, task: Task) -> tuple[Any, Conversion]:
    """The FP32 graph with named inputs and outputs."""
    import openvino as ov
    import torch

    from . import neurons, smoothing
    from .graph import exportable, with_convolutions

    module, names = exportable(source, task, job.lengths[-1])
    smoothed: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    if job.precision == "int8":
        spared = neurons.spare(module, job, names)
        smoothed = smoothing.level(module) + smoothing.smooth(module, job, names, smoothing.WEAK)
        module = with_convolutions(module)
    example = torch.ones((1, min(8, job.lengths[-1])), dtype=torch.int64)
    with torch.inference_mode():
        model = ov.convert_model(module, example_input=(example,) * len(names))
    for port, name in zip([*model.inputs, *model.outputs], [*names, *task.outputs], strict=True):
        port.get_tensor().set_names({name})
    return model, Conversion(names, smoothed, spared)


def _quantize(
    model: Any, names: Sequence[str], job: ExportJob, task: Task, found: Mapping[str, Product]
) -> tuple[Any, dict[str, Any]]:
    """The INT8 graph, and how it was calibrated; `found` is what quantization-aware training settled."""
    nncf = require("nncf", "host")
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    nncf.set_log_level(logging.ERROR)
    encoded = calibration.calibration_encoded(job)
    data = calibration.batches(encoded, names, job.lengths, TEXTS_PER_LENGTH)
    floats = sorted({*_float_products(model, task), *_of_groups(model, job.float_groups)})
    quantized = nncf.quantize(
        model,
        nncf.Dataset(data),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(data),
        ignored_scope=nncf.IgnoredScope(names=floats),
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.ENABLE,
            # What was trained is not to be corrected, nor moved between layers.
            disable_bias_correction=bool(found),
            disable_channel_alignment=bool(found),
        ),
    )
    if found:
        trained_openvino.carry(quantized, found)
    how = {
        "method": "trained, else minmax" if found else "post-training, minmax, bias correction",
        "texts": len(encoded),
        "inputs": len(data),
        "lengths": list(job.lengths),
        "seed": job.seed,
    }
    return quantized, how


def _compress(model: Any, floats: Sequence[str]) -> Any:
    """The graph with INT8 weights that are made float as they are used, those of some operations excepted."""
    nncf = require("nncf", "host")
    nncf.set_log_level(logging.ERROR)
    ignored = nncf.IgnoredScope(names=list(floats)) if floats else None
    return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=ignored)


def _weighted(model: Any, task: Task) -> list[str]:
    """The names of the operations that hold the weights, the classifier excepted."""
    floats, constants = set(_float_products(model, task)), _constants(model)
    kinds = ("MatMul", "Convolution", "Gather")
    found = [
        op
        for op in model.get_ordered_ops()
        if op.get_type_name() in kinds and any(_is_table(port, constants) for port in op.inputs())
    ]
    return [name for op in found if (name := op.get_friendly_name()) not in floats]


def _is_table(port: Any, constants: frozenset[str]) -> bool:
    """Whether an input is a float weight of two axes or more (not an axis, an index or a shape)."""
    return _source(port) in constants and port.get_element_type().is_real() and len(port.get_partial_shape()) > 1


def _of_groups(model: Any, groups: Sequence[str]) -> list[str]:
    """The names of all operations of some operator groups: what NNCF might give a quantizer, additions included."""
    names = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() not in _IDLE]
    return [name for name in names if name.startswith("__module") and group_of(name) in groups]


def _float_products(model: Any, task: Task) -> list[str]:
    """The names of what stays float: products of two activations, those that make the outputs, neurons beside.

    Raises:
        ExportError: an output is not made by a product.
    """
    constants = _constants(model)
    names = [
        op.get_friendly_name()
        for op in model.get_ordered_ops()
        if (beside(op.get_friendly_name()) and op.get_type_name() not in _IDLE)
        or op.get_type_name() == "ScaledDotProductAttention"  # what the converter makes of an attention
        or (op.get_type_name() == "MatMul" and not any(_source(port) in constants for port in op.inputs()))
    ]
    for result in model.get_results() if task.has_head else ():
        node = result
        while node.get_type_name() not in ("MatMul", "Convolution"):
            data = [port for port in node.inputs() if _source(port) not in constants]
            if not data:
                raise ExportError("the output is made by no matrix product", "export fp32 instead")
            node = data[0].get_source_output().get_node()
        names.append(node.get_friendly_name())
    return sorted(set(names))


def _constants(model: Any) -> frozenset[str]:
    """The names of the operations that hang on no input: weights, and what is computed of them alone."""
    found: set[str] = set()
    for op in model.get_ordered_ops():  # sources first; a walk from the outputs would be as deep as the model
        made = op.get_type_name() != "Parameter" and op.get_input_size() > 0
        if op.get_type_name() == "Constant" or (made and all(_source(port) in found for port in op.inputs())):
            found.add(op.get_name())
    return frozenset(found)


def _source(port: Any) -> str:
    """The name of the operation that an input reads."""
    return str(port.get_source_output().get_node().get_name())


def _strip(path: Path) -> None:
    """Drop what describes the conversion (versions, settings) and not the model, and the indentation."""
    tree = ElementTree.parse(path)
    root = tree.getroot()
    root.set("name", "edgebert")
    for info in root.findall("rt_info"):
        root.remove(info)
    for element in root.iter():
        element.tail = None
        if not (element.text or "").strip():
            element.text = None
    tree.write(path, encoding="utf-8", xml_declaration=True)


EXPORTER = OpenvinoExporter()
