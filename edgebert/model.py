"""The runtime wrapper: text in, answer out, the same from every format.

Numpy, `tokenizers` and one engine are all it needs. What it promises of threads, memory and time: `docs/runtime.md`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from edgebert import artifact as artifacts
from edgebert import first_load, registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import DataError, UsageError
from edgebert.protocols import Loader, Runtime
from edgebert.tasks import Encoded, Record
from edgebert.tensors import tensors
from edgebert.tokenization import check_text, load_tokenizer
from edgebert.words import cached

#: What `predict` takes as one question.
Question = str | Mapping[str, str] | tuple[str, ...]
_ONE = (str, Mapping, tuple)


class Model:
    """An artifact loaded into its engine. Made by `edgebert.load`; safe to use from several threads at once.

    Texts run one at a time, padded to nothing but the model's own sequence lengths: an answer then does not
    depend on what else is in the list (dynamically quantized activations share one scale per batch).
    """

    def __init__(self, artifact: Artifact, runtime: Runtime) -> None:
        self.artifact = artifact
        self.runtime = runtime
        self.labels = artifact.manifest.labels
        self.task = tasks.get(artifact.manifest.task, artifact.manifest.task_settings)
        max_length = artifact.manifest.max_length
        tokenizer = load_tokenizer(artifact.path, None if self.task.windowed else max_length)
        self.tokenizer = tokenizer if self.task.windowed else cached(tokenizer, max_length)
        self._roles = self.task.roles
        self._longest = max_length
        self._lengths = artifact.manifest.lengths
        self._inputs = tuple(spec.name for spec in artifact.manifest.inputs)
        dtypes = {spec.dtype for spec in artifact.manifest.inputs}
        self._dtype = np.dtype(dtypes.pop() if len(dtypes) == 1 else "int64")  # spares the engine a conversion
        self._outputs = [(spec.name, spec.per_token) for spec in artifact.manifest.outputs]
        self._closed = False

    @classmethod
    def load(
        cls, path: Path, *, threads: int | Literal["auto"] = 1, low_power: bool = False, golden: bool = True
    ) -> Model:
        """Verify every file of the artifact, hand the model to its engine, and see that it answers as it should.

        Args:
            path: an artifact folder.
            threads: of the engine, for one prediction; `auto`: measured once on this machine (`edgebert.threads`).
            low_power: idle threads of the engine must not spin.
            golden: ask the golden answers where this machine and engine have not given them before.

        Raises:
            ArtifactError: no artifact, damaged, refused by the engine, or answering otherwise here.
            MissingExtra: the engine is not installed.
            UsageError: threads is neither a positive number nor `auto`.
        """
        if threads != "auto" and (not isinstance(threads, int) or threads < 1):
            raise UsageError(f"threads must be at least 1, or 'auto', not {threads!r}", "give the engine's threads")
        artifact = artifacts.load(path)
        loader: Loader = registry.find("runtimes", artifact.manifest.format)
        if threads == "auto":
            from edgebert import threads as counting

            runtime = counting.load(artifact, loader, low_power=low_power)
        else:
            runtime = loader(artifact, threads, low_power=low_power)
        try:
            model = cls(artifact, runtime)
            if golden:
                first_load.ensure(artifact, runtime, model.tokenizer)
        except BaseException:
            runtime.close()
            raise
        return model

    @overload
    def predict(self, text: Question) -> Any: ...
    @overload
    def predict(self, text: Collection[Question]) -> list[Any]: ...
    @overload
    def predict(self, text: Iterator[Question]) -> Iterator[Any]: ...
    def predict(self, text: Any) -> Any:
        """The answer to one question, or to each of several in their order.

        One question is a text; for a task that reads two texts it is a tuple of them in the order of the task's
        roles, or a mapping from role to text. The answer's shape is the task's (`edgebert.tasks.answers`). A list (or
        another collection) gives a list. An iterator (a generator, an open file) gives an iterator: it reads a question
        when its answer is asked for, so that a stream of any length takes no more memory than one text.

        A text longer than the model is truncated at `artifact.manifest.max_length` tokens, of a pair the longer one
        first, and its answer's `truncated` is true; tasks that read long texts by windows lose nothing.

        Raises:
            DataError: a text is empty, no string, or no valid Unicode; or a role is missing.
            UsageError: the model was closed.
        """
        if isinstance(text, _ONE):
            return self.predict_record(self._record(text, "the text"))
        found = self._each(text)
        return found if isinstance(text, Iterator) else list(found)

    def _each(self, questions: Iterable[Question]) -> Iterator[Any]:
        for number, question in enumerate(questions):
            yield self.predict_record(self._record(question, f"text {number}"))

    def _record(self, given: Any, where: str) -> Record:
        """One question as a checked record."""
        roles = self._roles
        if isinstance(given, str) or not isinstance(given, Mapping | tuple):
            if len(roles) == 1:
                return {roles[0]: check_text(given, where)}
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
        return self.task.encode(self.tokenizer, record, self._longest)

    def run(self, window: Encoded) -> dict[str, NDArray[np.float32]]:
        """One window's outputs by name, without batch axis and padding."""
        if self._closed:
            raise UsageError("this model is closed", "load it again, or close it later")
        found = self.runtime.run(tensors(window, self._inputs, self._lengths, self._dtype))
        used = len(window.input_ids)
        return {name: found[name][0, :used] if per_token else found[name][0] for name, per_token in self._outputs}

    def warm_up(self) -> None:
        """Run each sequence length once: engines that prepare a length when it is first met have done so after."""
        for length in self._lengths or (self._longest,):
            self.run(Encoded([1] * length, [0] * length))

    def close(self) -> None:
        """Free the engine; a second time does nothing. Predictions under way in other threads end well."""
        if not self._closed:
            self._closed = True
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
