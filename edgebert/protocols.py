"""The contracts between the hub and its spokes: exporters, runtimes and devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgebert.artifact import Artifact

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output: `shape` has -1 for an axis of any length."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def per_token(self) -> bool:
        """Of an output: whether it has a row for each token."""
        return len(self.shape) > 1 and self.shape[1] == -1


@dataclass(frozen=True)
class ExportJob:
    """One conversion: a Hugging Face folder into the model files of one format and precision.

    Args:
        model: the student (or any fine-tuned model), FP32 or FP16 safetensors, with its `tokenizer.json`.
        task: a name of the task registry.
        format: `onnx`, `openvino`, `tflite` or `torch`.
        precision: `fp32`, `int8`, `int8-legacy`.
        lengths: token buckets, ascending; the largest is where texts are truncated.
        calibration: real records (JSON lines, role -> value), or None: then only precisions that need none.
        out: an existing empty folder for the model files.
        seed: for the choice of the calibration sample.
        settings: of the task, as `tasks.settings_of` gives them.
        float_groups: operator groups that stay float, of those that `ExportedModel.groups` names.
        scratch: a folder in which the FP32 conversion may be kept for the next export of the same job, or None.
    """

    model: Path
    task: str
    format: str
    precision: str
    lengths: tuple[int, ...]
    calibration: Path | None
    out: Path
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    float_groups: tuple[str, ...] = ()
    scratch: Path | None = None


@dataclass(frozen=True)
class ExportedModel:
    """What an exporter made.

    Args:
        files: the model files below `ExportJob.out`, the one to load first.
        inputs: in the order in which the engine wants them.
        outputs: named as the task names them (`logits`, ...).
        lengths: the only sequence lengths that the model takes, ascending; empty when any length goes.
        batch: the only batch size that the model takes, or None when any goes.
        precision: part of the model -> precision, in words (`{"matmul": "int8 per-channel dynamic", ...}`).
        calibration: how it was calibrated (`{"texts": 300, "method": "minmax"}`), empty when it was not.
        settings: what a runtime must know to load it (`{"INFERENCE_PRECISION_HINT": "f32"}`).
        groups: operator groups that this precision quantizes, from input to output, those that the job keeps in
            float included; empty when it quantizes none, or cannot keep any in float.
    """

    files: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    lengths: tuple[int, ...] = ()
    batch: int | None = None
    precision: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


class Exporter(Protocol):
    """Converts one Hugging Face folder into one format."""

    @property
    def precisions(self) -> Mapping[str, bool]:
        """Precision -> whether it needs calibration text."""

    @property
    def tools(self) -> Sequence[str]:
        """The distributions whose versions decide what comes out: for the manifest and the stage key."""

    @property
    def version(self) -> int:
        """Raised by hand when the result would change."""

    def export(self, job: ExportJob) -> ExportedModel:
        """Write the model files into `job.out`. Raises ExportError."""


class Runtime(Protocol):
    """A model loaded into an engine, ready to run."""

    @property
    def engine(self) -> str:
        """Name and version, `onnxruntime 1.32.0`."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides its speed and numbers: threads, precision hint, ..."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs (or of the manifest's dtype) of shape (batch, length) by name -> float32 outputs by name.

        Safe from several threads at once. The outputs are the caller's: a later run does not change them. Raises
        UsageError for an input that is missing, a shape that the model does not take, or after `close`.
        """

    def close(self) -> None:
        """Free the engine; a second time does nothing. A run that is under way in another thread still ends well."""


class Loader(Protocol):
    """What is registered under a runtime's name."""

    def __call__(self, artifact: Artifact, threads: int, *, low_power: bool = False) -> Runtime:
        """Load a verified artifact.

        Args:
            artifact: every file of which was hashed.
            threads: of the engine, for one run.
            low_power: idle threads must not spin.

        Raises:
            ArtifactError: the engine refuses it.
            MissingExtra: the engine is not installed.
        """


class Device(Protocol):
    """A machine that jobs run on.

    Every method raises DeviceError when the device cannot be reached or used. Nothing outlives the session there but
    what is kept on purpose, by its content (an environment, a bundle): when this end is gone, jobs and files go too.
    """

    @property
    def name(self) -> str:
        """As in a recipe: `local`, `ssh:pi4`, `android:SERIAL`."""

    def facts(self) -> dict[str, Any]:
        """CPU, features, governor, frequency, temperature, load, whether emulated."""

    def put(self, source: Path, name: str) -> str:
        """Copy a file or folder onto the device; returns its path there.

        What was put before is not copied again, whatever its `name`, which only serves messages.
        """

    def get(self, path: str, target: Path) -> None:
        """Copy the file `path` of the device to `target` here."""

    def run(self, job: str, output: Path, *, timeout: float) -> int:
        """Run the worker on a job and return its exit code.

        Args:
            job: path of a job file on the device, as `put` gave it.
            output: a file here; the worker's JSON lines stand in it as soon as they arrive, so that a line that is
                cut, a worker that is killed and a time that is over lose nothing that was measured.
            timeout: seconds.
        """

    def cleanup(self) -> None:
        """End the session: remove whatever was put there. May be called twice."""
