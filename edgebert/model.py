"""The runtime wrapper: text in, answer out, the same from every format.

Numpy, `tokenizers` and one engine are all it needs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgebert import artifact as artifacts
from edgebert import registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import UsageError
from edgebert.protocols import Runtime
from edgebert.tasks import Encoded, Prediction, Record
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
        self.task = tasks.get(artifact.manifest.task)
        self.tokenizer = load_tokenizer(artifact.path, artifact.manifest.max_length)
        self._lengths = artifact.manifest.lengths
        self._inputs = tuple(spec.name for spec in artifact.manifest.inputs)

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
    def predict(self, text: str) -> Prediction: ...  # type: ignore[overload-overlap]  # str is a Sequence[str]
    @overload
    def predict(self, text: Sequence[str]) -> list[Prediction]: ...
    def predict(self, text: str | Sequence[str]) -> Prediction | list[Prediction]:
        """The answer to one text, or to each of a list in its order.

        Texts longer than the model's `max_length` tokens are cut, and their predictions say `truncated`.

        Raises:
            DataError: a text is empty, no string, or no valid Unicode.
        """
        if isinstance(text, str):
            return self.predict_record({"text": check_text(text)})
        return [self.predict_record({"text": check_text(item, f"text {number}")}) for number, item in enumerate(text)]

    def predict_record(self, record: Record) -> Prediction:
        """The answer to one record of the task's roles, unchecked."""
        encoded = self.encode(record)
        prediction = self.task.decode(self.run(encoded), self.labels)[0]
        if encoded.truncated:
            return Prediction(prediction.label, prediction.score, truncated=True)
        return prediction

    def encode(self, record: Record) -> Encoded:
        """Token ids of one record, truncated to the model's longest input."""
        return self.task.encode(self.tokenizer, [record])[0]

    def run(self, encoded: Encoded) -> dict[str, NDArray[np.float32]]:
        """Outputs by name, each with a leading axis of 1."""
        return self.runtime.run(self.tensors(encoded))

    def tensors(self, encoded: Encoded) -> dict[str, NDArray[np.int64]]:
        """Int64 inputs of shape (1, length), padded to the model's next sequence length."""
        used = len(encoded.input_ids)
        length = self.bucket(used)
        ids = np.zeros((1, length), dtype=np.int64)
        ids[0, :used] = encoded.input_ids
        tensors = {"input_ids": ids}
        if "attention_mask" in self._inputs:
            mask = np.zeros((1, length), dtype=np.int64)
            mask[0, :used] = 1
            tensors["attention_mask"] = mask
        if "token_type_ids" in self._inputs:
            types = np.zeros((1, length), dtype=np.int64)
            types[0, :used] = encoded.token_type_ids
            tensors["token_type_ids"] = types
        return tensors

    def bucket(self, tokens: int) -> int:
        """The sequence length that so many tokens are run at."""
        if not self._lengths:
            return tokens
        return self._lengths[min(bisect_left(self._lengths, tokens), len(self._lengths) - 1)]

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
