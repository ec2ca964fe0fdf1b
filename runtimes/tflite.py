"""LiteRT (ai-edge-litert), or tflite-runtime where only that is there."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, MissingExtra, UsageError
from edgebert.protocols import Tensors

from .common import closed, in_order

#: Module of the interpreter -> the distribution that brings it.
ENGINES = {"ai_edge_litert.interpreter": "ai-edge-litert", "tflite_runtime.interpreter": "tflite-runtime"}


class _Steps(NamedTuple):
    """What a signature's runner calls of the interpreter, with which numbers of graph and tensors."""

    wrapper: Any
    graph: int
    inputs: list[int]
    outputs: list[tuple[str, int]]


class TfliteRuntime:
    """One interpreter, one signature for each sequence length; its kernels are XNNPACK's, whose threads never spin.

    The interpreter maps the model file into memory. It is not safe from several threads, so they take turns.

    A signature's runner resizes inputs and allocates tensors at every call, for shapes that never change here: a
    twentieth of the CLINC150 student's time. So it makes the first run of each length, and later ones do its other
    steps alone: set the inputs, invoke, get copies of the outputs.
    """

    def __init__(self, artifact: Artifact, threads: int, low_power: bool) -> None:
        module = _engine()
        self.engine = f"{ENGINES[module.__name__]} {_version(module)}"
        self.settings: Mapping[str, Any] = {"threads": threads, "low_power": low_power}
        self._lock = threading.Lock()
        self._inputs = [(spec.name, np.dtype(spec.dtype)) for spec in artifact.manifest.inputs]
        self._names = [name for name, _ in self._inputs]
        self._dtypes = [dtype for _, dtype in self._inputs]
        self._outputs = [spec.name for spec in artifact.manifest.outputs]
        self._lengths = artifact.manifest.lengths
        try:
            self._interpreter = module.Interpreter(str(artifact.model_path), num_threads=threads)
            self._runners = {length: self._interpreter.get_signature_runner(f"seq{length}") for length in self._lengths}
            self._ready: dict[int, _Steps] = {}
        except (RuntimeError, ValueError, AttributeError) as error:  # AttributeError: tflite-runtime with numpy 2
            raise ArtifactError(
                f"{artifact.model_path} is refused by {self.engine}: {str(error)[:300]}",
                "export it again, or install the engine that its manifest names (tflite-runtime wants numpy < 2)",
            ) from error

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Int64 inputs [1, length] by name -> float32 outputs by name; `length` is one of the manifest's."""
        given = in_order(inputs, self._names)
        batch, length = given[0].shape
        if batch != 1 or length not in self._lengths:
            raise UsageError(
                f"this model takes one text of {list(self._lengths)} tokens, not {batch} of {length}",
                "give them one by one, padded to the next of these lengths",
            )
        with self._lock:
            steps = self._ready.get(length)
            if steps is None:
                return self._first(length, given)
            for index, dtype, array in zip(steps.inputs, self._dtypes, given, strict=True):
                steps.wrapper.SetTensor(index, array.astype(dtype, copy=False), steps.graph)
            steps.wrapper.Invoke(steps.graph)
            return {name: steps.wrapper.GetTensor(index, steps.graph) for name, index in steps.outputs}

    def _first(self, length: int, given: list[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """By the signature's runner, which prepares what later runs of this length need."""
        runner = self._runners.get(length)
        if runner is None:
            raise closed(self.engine)
        found = runner(
            **{name: a.astype(dtype, copy=False) for (name, dtype), a in zip(self._inputs, given, strict=True)}
        )
        steps = _steps(runner, self._names, self._outputs)
        if steps is not None:
            self._ready[length] = steps
        return {name: found[name] for name in self._outputs}

    def close(self) -> None:
        """Free the interpreter, when its run has ended."""
        with self._lock:
            self._ready.clear()
            self._runners.clear()
            self._interpreter = None


def _steps(runner: Any, names: Sequence[str], outputs: Sequence[str]) -> _Steps | None:
    """Of a runner; None where an engine's are hidden otherwise, and the runner has to make every run."""
    try:
        found = dict(runner._outputs)
        return _Steps(
            runner._interpreter_wrapper, runner._subgraph_index, [runner._inputs[name] for name in names],
            [(name, found[name]) for name in outputs],
        )  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _engine() -> ModuleType:
    for name in ENGINES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingExtra(
        "neither ai-edge-litert nor tflite-runtime is installed", 'install it with: pip install "edgebert[tflite]"'
    )


def _version(module: ModuleType) -> str:
    """From the package itself where it says so: reading the metadata of distributions takes tens of milliseconds."""
    package = importlib.import_module(module.__name__.partition(".")[0])
    found = getattr(package, "__version__", None)
    if found is None:
        from importlib import metadata

        found = metadata.version(ENGINES[module.__name__])
    return str(found)


def load(artifact: Artifact, threads: int, *, low_power: bool = False) -> TfliteRuntime:
    """Load a verified artifact. Raises ArtifactError, MissingExtra."""
    return TfliteRuntime(artifact, threads, low_power)
