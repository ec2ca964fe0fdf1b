"""The copies of a split's texts, each made when it is first read, and kept in a file for a run that goes on."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert import parallel
from edgebert.compress import replacement
from edgebert.compress.augment import Augmenter
from edgebert.compress.batches import Examples, Ragged
from edgebert.compress.words import lexicon
from edgebert.errors import TrainingError
from edgebert.progress import Progress
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.recipe import DistillSpec

#: Raised by hand when copies of the same training would hold something else.
_VERSION = 1


@dataclass
class Copies:
    """The texts of each copy, or where there is no number of copies, of each epoch.

    Args:
        original: as they are in the data.
        augmenter: None where no copy differs from it.
        count: how many take turns; None: another in each epoch, of which only the last is held.
        folder: for the files.
        identity: all that they depend on besides `original`, as plain JSON.
        progress: told of the making.
    """

    original: Examples
    augmenter: Augmenter | None
    count: int | None
    folder: Path
    identity: Mapping[str, Any]
    progress: Progress
    _held: dict[int, Examples] = field(default_factory=dict)

    def __call__(self, copy: int) -> Examples:
        """The texts of a copy, one for each of the original ones, in their order."""
        if self.augmenter is None:
            return self.original
        if copy not in self._held:
            if self.count is None:
                self._held.clear()
            self._held[copy] = parallel.in_turn(lambda: self._read(copy) or self._made(copy))
        return self._held[copy]

    def lengths(self, count: int) -> NDArray[np.int64]:
        """Tokens of each text of the first copies, int64 [count, texts]."""
        return np.stack([self(copy).ids.lengths for copy in range(count)])

    def _made(self, copy: int) -> Examples:
        if parallel.rank() > 0:  # it was not given all that it takes
            raise TrainingError(
                f"{self._file(copy)}, which process 0 has written, cannot be read by process {parallel.rank()}",
                "give --out a folder that all machines share",
            )
        assert self.augmenter is not None
        made = self.augmenter.copy(self.original, copy, self.progress)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._file(copy)
        half = path.with_name(f".{path.name}.{os.getpid()}")
        with half.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **_arrays(made))
        half.replace(path)
        if self.count is None:
            for other in self.folder.glob("copy-*.npz"):
                if other != path:
                    other.unlink(missing_ok=True)
        return made

    def _read(self, copy: int) -> Examples | None:
        """A copy that was made before; None where there is none, or a damaged one."""
        try:
            with self._file(copy).open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                return _examples({name: found[name] for name in found.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def _file(self, copy: int) -> Path:
        content = json.dumps({"version": _VERSION, "copy": copy, **self.identity}, sort_keys=True)
        return self.folder / f"copy-{hashlib.sha256(content.encode()).hexdigest()[:16]}.npz"


def copies_of(
    examples: Examples, start: Path, teacher: Path, source: Any, spec: DistillSpec, *, task: Task,
    labels: Sequence[str], max_length: int, masked_lm: Path | None, work: Path, identity: Mapping[str, Any],
    progress: Progress,
) -> Copies:  # fmt: skip
    """The copies that a recipe asks for: the same texts, where nothing is to change them.

    Args:
        examples: the texts.
        start: the student's folder, whose tokenizer they are in.
        teacher: the teacher's folder.
        source: the teacher, as a model of transformers.
        spec: of the training.
        task: whose targets the texts have.
        labels: in the teacher's order.
        max_length: of a text, in tokens.
        masked_lm: the folder of the model that is asked for other words; None: the teacher.
        work: a folder for files.
        identity: all that the copies depend on, as plain JSON.
        progress: told of the making.

    Raises:
        RecipeError: a tokenizer or a model that is of no use for it.
    """
    augmenter = None
    if spec.augment is not None:
        words = lexicon(start)
        others = None
        if spec.augment.words and parallel.rank() == 0:  # who makes the copies
            others = replacement.replacer(
                replacement.masked_lm(masked_lm) if masked_lm else source, masked_lm or teacher, words, examples,
                fitted=masked_lm is None, max_length=max_length, bf16=spec.precision == "bf16",
            )  # fmt: skip
        augmenter = Augmenter(spec.augment, spec.seed, words, task, labels, max_length, others)
    return Copies(examples, augmenter, spec.copies, work / "copies", identity, progress)


def _arrays(examples: Examples) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for name in ("ids", "types", "targets"):
        part = getattr(examples, name)
        if isinstance(part, Ragged):
            found |= {name: part.flat, f"{name}_ends": part.ends}
        elif part is not None:
            found[name] = part
    return found


def _examples(arrays: Mapping[str, NDArray[Any]]) -> Examples:
    def ragged(name: str) -> Ragged:
        return Ragged(arrays[name], arrays[f"{name}_ends"])

    types = ragged("types") if "types" in arrays else None
    return Examples(ragged("ids"), types, ragged("targets") if "targets_ends" in arrays else arrays["targets"])
