"""OpenVINO on the CPU: the graph is compiled for each sequence length when it is first met.

Fixed shapes are twice as quick as dynamic ones on small models.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, UsageError, require
from edgebert.protocols import Tensors

from .common import closed, in_order


class OpenvinoRuntime:
    """One compiled model and one infer request for each sequence length.

    A request is not safe from several threads, so they take turns. Its threads do not spin between runs.
    """

    def __init__(self, artifact: Artifact, threads: int, low_power: bool) -> None:
        self._ov = ov = require("openvino", "openvino")
        self.engine = f"openvino {ov.__version__.split('-')[0]}"
        precision = artifact.manifest.settings.get("INFERENCE_PRECISION_HINT", "f32")
        # The default precision silently is BF16 on newer x86 and FP16 on newer ARM.
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": threads,
            # Pinned threads of two processes may sit on one core while another idles.
            "ENABLE_CPU_PINNING": False,
        }
        self.settings: Mapping[str, Any] = {"threads": threads, "low_power": low_power, **self._options}
        self._lock = threading.Lock()
        self._path = artifact.model_path
        self._inputs = [spec.name for spec in artifact.manifest.inputs]
        self._outputs = [spec.name for spec in artifact.manifest.outputs]
        self._lengths = frozenset(artifact.manifest.lengths)
        self._bound: dict[int, tuple[Any, list[NDArray[np.int64]]]] = {}
        self._core: Any = ov.Core()
        try:
            self._model: Any = self._core.read_model(str(self._path))
            self._check_names()
            self._compile(min(self._lengths))
        except (RuntimeError, ValueError) as error:
            raise self._refused(error) from error

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs [1, length] by name -> float32 outputs by name; `length` is one of the manifest's."""
        given = in_order(inputs, self._inputs)
        batch, length = given[0].shape
        if batch != 1:
            raise UsageError(f"this model takes one text at a time, not {batch}", "give them one by one")
        with self._lock:
            if self._core is None:
                raise closed(self.engine)
            request, arrays = self._bound.get(length) or self._compile(length)
            # Into arrays that the request is bound to: handing tensors over at each call costs a sixth of its time.
            for array, values in zip(arrays, given, strict=True):
                array[:] = values
            return dict(zip(self._outputs, request.infer().values(), strict=True))  # copies

    def close(self) -> None:
        """Free the compiled models, when their run has ended."""
        with self._lock:
            self._bound.clear()
            self._model = self._core = None

    def _compile(self, length: int) -> tuple[Any, list[NDArray[np.int64]]]:
        """A request for one sequence length, and the arrays that it reads."""
        if length not in self._lengths:
            raise UsageError(
                f"this model takes {sorted(self._lengths)} tokens, not {length}", "pad to the next of them"
            )
        model = self._model.clone()
        model.reshape({name: [1, length] for name in self._inputs})
        try:
            compiled = self._core.compile_model(model, "CPU", self._options)
        except RuntimeError as error:
            raise self._refused(error) from error
        request = compiled.create_infer_request()
        arrays = [np.zeros((1, length), dtype=np.int64) for _ in self._inputs]
        for index, array in enumerate(arrays):
            request.set_input_tensor(index, self._ov.Tensor(array, shared_memory=True))
        self._bound[length] = (request, arrays)
        return self._bound[length]

    def _check_names(self) -> None:
        for ports, names in ((self._model.inputs, self._inputs), (self._model.outputs, self._outputs)):
            found = [port.get_any_name() for port in ports]
            if found != names:
                raise ValueError(f"its tensors are {found} where the manifest names {names}")

    def _refused(self, error: Exception) -> ArtifactError:
        return ArtifactError(
            f"{self._path} is refused by {self.engine}: {str(error)[:300]}",
            "export it again, or install the openvino that its manifest names",
        )


def load(artifact: Artifact, threads: int, *, low_power: bool = False) -> OpenvinoRuntime:
    """Load a verified artifact. Raises ArtifactError, MissingExtra."""
    return OpenvinoRuntime(artifact, threads, low_power)
