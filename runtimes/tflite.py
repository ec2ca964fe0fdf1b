"""LiteRT (ai-edge-litert), or tflite-runtime where only that is there."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, MissingExtra, UsageError
from edgebert.protocols import Tensors

#: Module of the interpreter -> the distribution that brings it.
ENGINES = {"ai_edge_litert.interpreter": "ai-edge-litert", "tflite_runtime.interpreter": "tflite-runtime"}


class TfliteRuntime:
    """One interpreter, one signature for each sequence length; its kernels are XNNPACK's."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        from importlib import metadata

        module = _engine()
        name = ENGINES[module.__name__]
        self.engine = f"{name} {metadata.version(name)}"
        self.settings: Mapping[str, Any] = {"threads": threads}
        self._inputs = [(spec.name, np.dtype(spec.dtype)) for spec in artifact.manifest.inputs]
        self._outputs = [spec.name for spec in artifact.manifest.outputs]
        try:
            self._interpreter = module.Interpreter(str(artifact.model_path), num_threads=threads)
            self._runners = {
                length: self._interpreter.get_signature_runner(f"seq{length}") for length in artifact.manifest.lengths
            }
        except (RuntimeError, ValueError, AttributeError) as error:  # AttributeError: tflite-runtime with numpy 2
            raise ArtifactError(
                f"{artifact.model_path} is refused by {self.engine}: {str(error)[:300]}",
                "export it again, or install the engine that its manifest names (tflite-runtime wants numpy < 2)",
            ) from error

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs [1, length] by name -> float32 outputs by name; `length` is one of the manifest's."""
        try:
            feed = {name: inputs[name].astype(dtype, copy=False) for name, dtype in self._inputs}
        except KeyError as error:
            raise UsageError(f"the input {error} is missing", f"given: {', '.join(inputs)}") from None
        batch, length = feed[self._inputs[0][0]].shape
        runner = self._runners.get(length)
        if runner is None or batch != 1:
            raise UsageError(
                f"this model takes one text of {sorted(self._runners)} tokens, not {batch} of {length}",
                "give them one by one, padded to the next of these lengths",
            )
        found = runner(**feed)
        return {name: found[name] for name in self._outputs}

    def close(self) -> None:
        """Free the interpreter."""
        self._runners.clear()
        del self._interpreter


def _engine() -> ModuleType:
    for name in ENGINES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingExtra(
        "neither ai-edge-litert nor tflite-runtime is installed", 'install it with: pip install "edgebert[tflite]"'
    )


def load(artifact: Artifact, threads: int) -> TfliteRuntime:
    """Load a verified artifact. Raises ArtifactError, MissingExtra."""
    return TfliteRuntime(artifact, threads)
