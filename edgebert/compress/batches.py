"""Examples as token ids, and the order in which a training sees them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.compress.noise import shuffled
from edgebert.compress.objectives import IGNORED, check_labels, objective
from edgebert.errors import DataError
from edgebert.tasks import Record, Task
from edgebert.tokenization import load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

#: Batches are cut from windows of so many batches sorted by length: little padding, and still a random order.
WINDOW = 50


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths one after the other: `flat` holds their numbers, row `i` ends at `ends[i]`.

    A million short texts are 40 MB so; as Python lists they are 700 MB.
    """

    flat: NDArray[Any]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self.flat[self.ends[index - 1] if index else 0 : self.ends[index]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Of each row, int64."""
        return np.diff(self.ends, prepend=0)


@dataclass(frozen=True)
class Examples:
    """Windows of a split: token ids, not padded, and what each should answer (`objectives`).

    `types` are the token types where the task has two segments, else None. `targets[i]` is the target of window `i`:
    rows of a `Ragged` where each token has one, else of one array.
    """

    ids: Ragged
    types: Ragged | None
    targets: Ragged | NDArray[Any]

    def __len__(self) -> int:
        return len(self.ids)


def encode(records: Iterable[Record], folder: Path, task: Task, labels: Sequence[str], max_length: int) -> Examples:
    """A split's windows by the folder's tokenizer.json, of at most `max_length` tokens; the records are streamed.

    Records of a label that is out of the scope of all labels are left out.

    Raises:
        DataError: a label that is not among `labels`, or no records.
    """
    tokenizer = load_tokenizer(folder, None if task.windowed else max_length)
    numbers = {label: index for index, label in enumerate(labels)}
    ids, types, targets = Rows("H" if tokenizer.get_vocab_size() <= 1 << 16 else "i"), Rows("B"), Rows("")
    for record in check_labels(task, _in_scope(records, task, labels), labels):
        windows = task.encode(tokenizer, record, max_length)
        for window in windows:
            ids.add(window.input_ids)
            if task.segments:
                types.add(window.token_type_ids)
        for target in objective(task).targets(record, windows, numbers):
            targets.add(target)
    if not len(ids):
        raise DataError("there is nothing to train on", "give at least one example")
    per_token = objective(task).per_token
    return Examples(
        ids.ragged(), types.ragged() if task.segments else None, targets.ragged() if per_token else targets.stacked()
    )


def _in_scope(records: Iterable[Record], task: Task, labels: Sequence[str]) -> Iterator[Record]:
    outside = getattr(task, "out_of_scope", None)
    for record in records:
        if outside is None or outside in labels or record.get(task.target) != outside:
            yield record


class Rows:
    """Rows as they come, in one array that grows; of the dtype of the first row where no code is given."""

    def __init__(self, code: str) -> None:
        self._flat: array[Any] | None = array(code) if code else None
        self._ends = array("q")
        self._shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, row: Sequence[int] | NDArray[Any]) -> None:
        """One more."""
        if self._flat is None:
            assert isinstance(row, np.ndarray)
            self._flat, self._shape = array(row.dtype.char), row.shape
        if isinstance(row, np.ndarray):
            self._flat.frombytes(row.tobytes())
        else:
            self._flat.extend(row)
        self._ends.append(len(self._flat))

    def ragged(self) -> Ragged:
        """As one array and where each row ends."""
        return Ragged(np.array(self._flat), np.array(self._ends))

    def stacked(self) -> NDArray[Any]:
        """As an array, where all are of one shape."""
        return np.array(self._flat).reshape(len(self), *self._shape)


def batch_of(
    texts: Sequence[tuple[Examples, int]], rows: Sequence[Sequence[int] | NDArray[Any]], pad_id: int, task: Task
) -> dict[str, Tensor]:
    """Some examples as a batch: `input_ids`, `attention_mask`, `targets`, and `token_type_ids` for two segments.

    Args:
        texts: the chosen ones: of which split or copy of it, and their numbers there.
        rows: their token ids, perhaps noised.
        pad_id: fills up rows.
        task: whose targets they are.
    """
    import torch

    ids, mask = pad(rows, pad_id)
    batch = {"input_ids": ids, "attention_mask": mask}
    types = [examples.types[i] for examples, i in texts if examples.types is not None]
    if types:
        batch["token_type_ids"] = pad(types, 0)[0]
    targets = [examples.targets[i] for examples, i in texts]
    if objective(task).per_token:
        width = ids.shape[1]
        targets = [np.pad(row, (0, width - len(row)), constant_values=IGNORED) for row in targets]
    batch["targets"] = torch.from_numpy(np.stack(targets))
    return batch


def pad(rows: Sequence[Sequence[int] | NDArray[Any]], value: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [B, T], padded to the longest row."""
    import torch

    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), value, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


class Plan(Sequence[list[tuple[int, int]]]):
    """All batches of a training in order, each a list of (epoch, example); texts of like length stand together.

    An epoch's order is worked out when it is read: a list of all pairs would outgrow the data.
    """

    def __init__(
        self, lengths: Sequence[int] | NDArray[np.int64], *, epochs: int, size: int, seed: int,
        max_steps: int | None = None,
    ) -> None:  # fmt: skip
        self._lengths, self._size, self._seed = np.asarray(lengths), size, seed
        self._an_epoch = -(-len(self._lengths) // size)
        steps = epochs * self._an_epoch
        self._steps = steps if max_steps is None else min(steps, max_steps)
        self._read: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: Any) -> Any:
        if isinstance(step, slice):
            return [self[i] for i in range(*step.indices(self._steps))]
        if not -self._steps <= step < self._steps:
            raise IndexError(step)
        epoch, place = divmod(step % self._steps, self._an_epoch)
        if self._read is None or self._read[0] != epoch:
            self._read = (epoch, *self._order(epoch))
        _, examples, batches = self._read
        first = int(batches[place]) * self._size
        return [(epoch, i) for i in examples[first : first + self._size].tolist()]

    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The epoch's examples, batch after batch, and the batches' order."""
        examples = shuffled(len(self._lengths), self._seed, epoch, 0)
        for start in range(0, len(examples), self._size * WINDOW):
            window = examples[start : start + self._size * WINDOW]
            window[:] = window[np.argsort(self._lengths[window], kind="stable")]
        return examples, shuffled(self._an_epoch, self._seed, epoch, 1)


def digest(examples: Examples) -> str:
    """SHA-256 of a split's token ids, types and targets."""
    found = hashlib.sha256()
    for part in (examples.ids, examples.types, examples.targets):
        for numbers in (part.flat, part.ends) if isinstance(part, Ragged) else () if part is None else (part,):
            found.update(f"{numbers.dtype.str} {numbers.shape} ".encode())
            found.update(np.ascontiguousarray(numbers).data)
    return found.hexdigest()
