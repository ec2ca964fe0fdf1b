"""The baseline: a model as it is, in FP32, so that torch is measured by the same worker as every engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgebert import tasks
from edgebert.protocols import ExportedModel, ExportJob, TensorSpec

from .source import load_source, output_specs

FILE = "model.safetensors"


@dataclass(frozen=True)
class TorchExporter:
    """Writes the weights as FP32 safetensors; whatever precision they were stored in."""

    precisions: Mapping[str, bool] = field(default_factory=lambda: {"fp32": False})
    tools: tuple[str, ...] = ("torch", "transformers", "safetensors")
    version: int = 2

    def export(self, job: ExportJob) -> ExportedModel:
        """Write `model.safetensors`. Raises ExportError."""
        from safetensors.torch import save_file

        task = tasks.get(job.task, job.settings)
        source = load_source(job.model, task)
        # Tied weights share storage, which the format refuses: each is written out under its own name.
        weights = {name: weight.contiguous().clone() for name, weight in source.model.state_dict().items()}
        save_file(weights, job.out / FILE, metadata={"format": "pt"})
        return ExportedModel(
            files=(FILE,),
            inputs=tuple(TensorSpec(name, "int64", (-1, -1)) for name in source.inputs),
            outputs=output_specs(source, task, -1),
            precision={"all": "float32"},
        )


EXPORTER = TorchExporter()
