"""torch, eager, through transformers: the reference that every other engine is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import tasks
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, require
from edgebert.protocols import Tensors

from .common import closed, in_order


class TorchRuntime:
    """A model of transformers as anybody would run it: its default attention, no compilation."""

    def __init__(self, artifact: Artifact, threads: int, low_power: bool) -> None:
        self._torch = torch = require("torch", "host")
        transformers = require("transformers", "host")
        from edgebert.compress import heads

        task = tasks.get(artifact.manifest.task, artifact.manifest.task_settings)
        self.engine = f"torch {torch.__version__}"
        torch.set_num_threads(threads)  # of the whole process: torch has no pool per model
        transformers.utils.logging.set_verbosity_error()
        try:
            model = heads.load_pretrained(artifact.path, task)
        except Exception as error:  # transformers raises a dozen kinds, all of which mean the same here
            raise ArtifactError(
                f"{artifact.path} is refused by transformers: {str(error)[:300]}", "export it again"
            ) from error
        self._model: Any = heads.callable_model(model.eval().requires_grad_(False), task)
        self.settings: Mapping[str, Any] = {
            "threads": threads,
            "low_power": low_power,
            "transformers": transformers.__version__,
            "attention": model.config._attn_implementation,
        }
        self._inputs = [spec.name for spec in artifact.manifest.inputs]
        self._outputs = [spec.name for spec in artifact.manifest.outputs]

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs [batch, length] by name -> float32 outputs by name."""
        torch, model = self._torch, self._model
        if model is None:
            raise closed(self.engine)
        arrays = zip(self._inputs, in_order(inputs, self._inputs), strict=True)
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays}
        with torch.inference_mode():
            result = model(**given)
        return {name: result[name].numpy().astype(np.float32, copy=True) for name in self._outputs}

    def close(self) -> None:
        """Free the model, when the last run of it has ended."""
        self._model = None


def load(artifact: Artifact, threads: int, *, low_power: bool = False) -> TorchRuntime:
    """Load a verified artifact. Raises ArtifactError, MissingExtra."""
    return TorchRuntime(artifact, threads, low_power)
