"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import cpu
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, require
from edgebert.protocols import Tensors

from .common import closed, in_order

#: Its fused form of LayerNormalization and Add is ten times slower than the two together (1.32, x86).
DISABLED = ["SkipLayerNormFusion"]


class OnnxRuntime:
    """One session with a thread pool of its own; any number of threads may run it at once."""

    def __init__(self, artifact: Artifact, threads: int, low_power: bool) -> None:
        ort = require("onnxruntime", "onnx")
        self.engine = f"onnxruntime {ort.__version__}"
        self.settings: Mapping[str, Any] = {"threads": threads, "disabled": DISABLED, "low_power": low_power}
        options = ort.SessionOptions()
        # Given a number, it leaves affinities alone; left to itself it sets some that a cpuset makes it fail on.
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A pattern is kept for every length that is met: memory that grows, for no speed at batch 1.
        options.enable_mem_pattern = False
        # Threads that spin are quick to wake between two products of a run; between runs they only heat the device.
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1 and not low_power)))
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if cpu.saturates():
            # Takes the exact kernels, 4 % slower there. With VNNI nothing saturates, and it would cost nearly half
            # of the speed: on a processor with AMX 1.21 against 0.65 ms for the CLINC150 student at 32 tokens.
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
        self._names = [name for name, _ in self._inputs]
        self._as_given = all(dtype == np.int64 for _, dtype in self._inputs)
        self._outputs = [spec.name for spec in artifact.manifest.outputs]

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs [batch, length] by name -> float32 outputs by name."""
        session = self._session
        if session is None:
            raise closed(self.engine)
        feed = dict(zip(self._names, in_order(inputs, self._names), strict=True))
        if not self._as_given:
            feed = {name: feed[name].astype(dtype, copy=False) for name, dtype in self._inputs}
        return dict(zip(self._outputs, session.run(self._outputs, feed), strict=True))

    def close(self) -> None:
        """Free the session, when the last run of it has ended."""
        self._session = None


def load(artifact: Artifact, threads: int, *, low_power: bool = False) -> OnnxRuntime:
    """Load a verified artifact. Raises ArtifactError, MissingExtra."""
    return OnnxRuntime(artifact, threads, low_power)
