"""The runtime wrapper: text in, answer out, the same from every format.

Numpy, `tokenizers` and one engine are all it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgebert import artifact as artifacts
from edgebert import registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import DataError, UsageError
from edgebert.protocols import Runtime
from edgebert.tasks import Encoded, Record
from edgebert.tensors import tensors
from edgebert.tokenization import check_text, load_tokenizer


class Model:
    """An artifact loaded into its engine. Made by `edgebert.load`.

    Texts run one at a time, padded to nothing but the model's own sequence lengths: an answer then does not
    depend on what else is in the list (dynamically quantized activations share one scale per batch).
    """

    def __init__(self, artifact: Artifact, runtime: Runtime) -> None:
        self.artifact = artifact
        self.runtime = runtime
        self.labels = artifact.manifest.labels
        self.task = tasks.get(artifact.manifest.task, artifact.manifest.task_settings)
        self.tokenizer = load_tokenizer(artifact.path, None if self.task.windowed else artifact.manifest.max_length)
        self._lengths = artifact.manifest.lengths
        self._inputs = tuple(spec.name for spec in artifact.manifest.inputs)
        self._outputs = [(spec.name, spec.per_token) for spec in artifact.manifest.outputs]

    @classmethod
    def load(cls, path: Path, *, threads: int = 1) -> Model:
        """Verify every file of the artifact, then hand the model to its engine.

        Raises:
            ArtifactError: no artifact, damaged, or refused by the engine.
            MissingExtra: the engine is not installed.
        """
        if threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}", "give the number of engine threads")
        artifact = artifacts.load(path)
        runtime: Runtime = registry.find("runtimes", artifact.manifest.format)(artifact, threads)
        return cls(artifact, runtime)

    @overload
    def predict(self, text: str | Mapping[str, str] | tuple[str, ...]) -> Any: ...
    @overload
    def predict(self, text: Iterable[str | Mapping[str, str] | tuple[str, ...]]) -> list[Any]: ...
    def predict(self, text: Any) -> Any:
        """The answer to one question, or to each of a list (or another iterable) in its order.

        One question is a text; for a task that reads two texts it is a tuple of them in the order of the task's
        roles, or a mapping from role to text. The answer's shape is the task's (`edgebert.tasks.answers`).

        Raises:
            DataError: a text is empty, no string, or no valid Unicode; or a role is missing.
        """
        if isinstance(text, str | Mapping | tuple):
            return self.predict_record(self._record(text, "the text"))
        return [self.predict_record(self._record(item, f"text {number}")) for number, item in enumerate(text)]

    def _record(self, given: Any, where: str) -> Record:
        """One question as a checked record."""
        roles = self.task.roles
        if isinstance(given, str) or not isinstance(given, Mapping | tuple):
            given = (given,)
        if isinstance(given, tuple):
            if len(given) != len(roles):
                wanted = " and ".join(roles)
                raise DataError(f"{where}: {self.task.name} reads {wanted}", f"give a tuple of {len(roles)} texts")
            given = dict(zip(roles, given, strict=True))
        missing = [role for role in roles if role not in given]
        if missing:
            raise DataError(f"{where} has no {missing[0]!r}", f"give a mapping with {', '.join(roles)}")
        return {role: check_text(given[role], where if len(roles) == 1 else f"{role} of {where}") for role in roles}

    def predict_record(self, record: Record) -> Any:
        """The answer to one record of the task's roles, unchecked."""
        windows = self.encode(record)
        return self.task.decode(record, windows, [self.run(window) for window in windows], self.labels)

    def encode(self, record: Record) -> list[Encoded]:
        """One record as windows of at most the model's longest input."""
        return self.task.encode(self.tokenizer, record, self.artifact.manifest.max_length)

    def run(self, window: Encoded) -> dict[str, NDArray[np.float32]]:
        """One window's outputs by name, without batch axis and padding."""
        used = len(window.input_ids)
        found = self.runtime.run(tensors(window, self._inputs, self._lengths))
        return {name: found[name][0, :used] if per_token else found[name][0] for name, per_token in self._outputs}

    def close(self) -> None:
        """Free the engine."""
        self.runtime.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        manifest: Any = self.artifact.manifest
        return f"<edgebert.Model {manifest.name}, {len(self.labels)} labels, {self.runtime.engine}>"
