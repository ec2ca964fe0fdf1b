"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, UsageError, require
from edgebert.protocols import Tensors

#: Its fused form of LayerNormalization and Add is ten times slower than the two together (1.32, x86).
DISABLED = ["SkipLayerNormFusion"]


class OnnxRuntime:
    """One session with a thread pool of its own."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        ort = require("onnxruntime", "onnx")
        self.engine = f"onnxruntime {ort.__version__}"
        self.settings: Mapping[str, Any] = {"threads": threads, "disabled": DISABLED}
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin are quick to wake, and heat a device that waits for its user.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # x86 without VNNI adds INT8 products in 16 bits, which saturate; this takes the exact kernels there
        # (4 % slower), and changes nothing elsewhere.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = ort.InferenceSession(
                str(artifact.model_path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=DISABLED,
            )
        except Exception as error:  # onnxruntime raises kinds of its own, which no module exports
            raise ArtifactError(
                f"{artifact.model_path} is refused by {self.engine}: {str(error)[:300]}",
                "export it again, or install the onnxruntime that its manifest names",
            ) from error
        self._inputs = [(spec.name, np.dtype(spec.dtype)) for spec in artifact.manifest.inputs]
        self._outputs = [spec.name for spec in artifact.manifest.outputs]
        self._run = self._session.run

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs [batch, length] by name -> float32 outputs by name."""
        try:
            feed = {name: inputs[name].astype(dtype, copy=False) for name, dtype in self._inputs}
        except KeyError as error:
            raise UsageError(f"the input {error} is missing", f"given: {', '.join(inputs)}") from None
        return dict(zip(self._outputs, self._run(self._outputs, feed), strict=True))

    def close(self) -> None:
        """Free the session."""
        del self._run, self._session


def load(artifact: Artifact, threads: int) -> OnnxRuntime:
    """Load a verified artifact. Raises ArtifactError, MissingExtra."""
    return OnnxRuntime(artifact, threads)
