"""ONNX: FP32 by torch's TorchScript exporter, the other precisions by ONNX Runtime's tools.

The TorchScript exporter is ten times quicker than the newer one here, and its graph keeps the patterns
(Gelu, attention) that ONNX Runtime fuses. `int8` is dynamic quantization (`onnx_precisions.py`), which needs no
calibration text. Weights keep the full range of INT8; on x86 without VNNI that needs the exact kernels, which the
manifest's settings name (`saturation.py`) and our runtime asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgebert import tasks
from edgebert.errors import require
from edgebert.protocols import ExportedModel, ExportJob, TensorSpec
from edgebert.tasks import Task

from . import onnx_precisions, ort, saturation, trained
from .source import Conversion, Source, converted, load_source, output_specs

if TYPE_CHECKING:
    from onnx import ModelProto

FILE = "model.onnx"
MOBILE, OPERATORS = "model.ort", "required_operators.config"
OPSET = 18

#: Precisions whose activations have one scale for a whole tensor.
SMOOTHED = ("int8", "int8-dynamic", "int8-ort", "int8-static")


@dataclass(frozen=True)
class OnnxExporter:
    """Batch and sequence axes of any length; the classifier stays float."""

    precisions: Mapping[str, bool] = field(
        default_factory=lambda: {
            "fp32": False, "fp16": False, "int8": False, "int8-dynamic": False, "int8-ort": False, "int8-static": True,
            "int8-weights": False,
        }
    )  # fmt: skip
    tools: tuple[str, ...] = ("torch", "transformers", "onnx", "onnxruntime")
    version: int = 4

    def export(self, job: ExportJob) -> ExportedModel:
        """Write `model.onnx`, or `model.ort` and the list of its operators. Raises ExportError."""
        task = tasks.get(job.task, job.settings)
        source = load_source(job.model, task)
        path = job.out / FILE
        conversion = converted(job, FILE, lambda path: _convert(source, job, task, path))
        names = conversion.inputs
        made = onnx_precisions.lower(path, job, task, names, trained.products(job, source, task))
        model = _clean(_load(path))
        _save(model, path)
        if job.precision == "int8-ort":
            ort.convert(path.read_bytes(), job.out / MOBILE, job.out / OPERATORS)
            path.unlink()
        return ExportedModel(
            files=(MOBILE if job.precision == "int8-ort" else FILE,),
            inputs=tuple(TensorSpec(name, "int64", (-1, -1)) for name in names),
            outputs=output_specs(source, task, -1),
            precision={**made.parts, **conversion.told()},
            calibration=made.calibration,
            settings=saturation.settings(model),
            groups=made.groups,
        )


def _convert(source: Source, job: ExportJob, task: Task, path: Path) -> Conversion:
    """Trace the graph into an FP32 file."""
    import warnings

    torch = require("torch", "host")
    from . import neurons, smoothing
    from .graph import exportable

    module, names = exportable(source, task, job.lengths[-1])
    smoothed = smoothing.level(module) if job.precision.startswith("int8") else ()
    spared: tuple[str, ...] = ()
    if job.precision in SMOOTHED:
        spared = neurons.spare(module, job, names)
        smoothed += smoothing.smooth(module, job, names)
    example = torch.ones((1, min(8, job.lengths[-1])), dtype=torch.int64)
    axes = {name: {0: "batch", 1: "length"} for name in names} | {
        name: {0: "batch", 1: "length"} if task.per_token else {0: "batch"} for name in task.outputs
    }
    with torch.inference_mode(), warnings.catch_warnings():
        # That this is the older exporter is what it is chosen for, and the traced sizes are those of the weights.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        torch.onnx.export(
            module,
            (example,) * len(names),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(names),
            output_names=list(task.outputs),
            dynamic_axes=axes,
        )
    return Conversion(names, smoothed, spared)


def _load(path: Path) -> ModelProto:
    import onnx

    return onnx.load(str(path))


def _clean(model: ModelProto) -> ModelProto:
    """Without what differs between two exports of the same model: producers, documentation, stored metadata."""
    model.producer_name, model.producer_version, model.doc_string = "edgebert", "", ""
    del model.metadata_props[:]
    model.graph.doc_string, model.graph.name = "", "edgebert"
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def _save(model: ModelProto, path: Path) -> None:
    import onnx

    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


EXPORTER = OnnxExporter()
