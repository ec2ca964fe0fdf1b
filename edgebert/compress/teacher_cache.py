"""The teacher's answers and states on disk, so that it reads each copy of a text once, not once an epoch.

One file holds a record for each (copy, example): the task's outputs in FP32, and the states that a loss reads in half
precision, token by token without padding, then a checksum. A record that was half written when the process ended fails
its checksum and is asked for again, so the file needs no list of what is in it, and several processes may share it. It
is read and written by offset rather than mapped: the pages of a mapping would count as the process's memory, and a
disk that fills up would end it without a word.

What a record says is what the teacher said when the batch came that first had it: in the same training always the same,
also after a kill. A batch that is read from here differs from one that the teacher reads anew in its last bits (FP32)
or more (BF16), since the padding of another batch changes the order of sums, and states are rounded to half precision.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.compress.imitation import Seen
from edgebert.compress.losses import Projections
from edgebert.compress.noise import shuffled
from edgebert.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.compress.training import Batch

#: Raised by hand when records of the same training would hold something else.
_VERSION = 1
_CHECKSUM = 4  # bytes

Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Part:
    """One thing that a record holds: an array of shape `tail`, or one for each token."""

    name: str
    per_token: bool
    tail: tuple[int, ...]
    dtype: str

    def shape(self, tokens: int) -> tuple[int, ...]:
        """Of a text of so many tokens."""
        return (tokens, *self.tail) if self.per_token else self.tail

    def bytes(self, tokens: int) -> int:
        """Likewise."""
        return math.prod(self.shape(tokens)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class States:
    """Which of the teacher's states are kept: hidden ones by number (0: the embeddings), and all projections."""

    hidden: tuple[int, ...]
    count: int
    projections: int

    def pack(self, seen: Seen) -> list[Tensor]:
        """Float [B, T, width] each."""
        found = [seen.hidden[number] for number in self.hidden]
        return found + [part for layer in seen.projections for part in (layer.query, layer.key, layer.value)]

    def unpack(self, found: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Projections, ...]]:
        """Hidden states and projections as `Seen` has them; a state that is not kept is empty."""
        import torch

        at = dict(zip(self.hidden, found, strict=False))
        rest = found[len(self.hidden) :]
        hidden = tuple(at.get(number, torch.empty(0)) for number in range(self.count))
        return hidden, tuple(Projections(*rest[3 * i : 3 * i + 3]) for i in range(self.projections))


def seen_again(copies: int, epochs: Sequence[int]) -> int:
    """How many of the copies stages of so many epochs see more than once: those that are worth keeping."""
    visits = [sum(len(range(copy, count, copies)) for count in epochs) for copy in range(copies)]
    return sum(count > 1 for count in visits)


class Recall:
    """What the teacher sees in a batch: recalled where it was kept, asked for and kept where not.

    Args:
        ask: the teacher itself.
        folder: for the file.
        lengths: tokens of each example of each copy, int64 [copies, examples].
        copies: how many copies of each example are kept.
        budget: bytes that may be used where states are kept.
        hidden: the numbers of the hidden states that losses read.
        probe: a batch of one text, which tells the shapes.
        per_token: whether outputs have a row for each token.
        identity: all that the teacher's answers depend on, as plain JSON.

    Raises:
        TrainingError: the disk has too little room.
    """

    def __init__(
        self, ask: Callable[[Batch], Seen], folder: Path, *, lengths: NDArray[np.int64], copies: int, budget: float,
        hidden: Sequence[int], probe: Batch, per_token: bool, identity: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._ask, self._lengths = ask, lengths
        seen = ask(probe)
        self._states = States(tuple(hidden) if seen.hidden else (), len(seen.hidden), len(seen.projections))
        self._parts = [
            Part(name, per_token, tuple(found.shape[1 + per_token :]), "<f4") for name, found in seen.outputs.items()
        ] + [Part(f"state {i}", True, (found.shape[2],), "<f2") for i, found in enumerate(self._states.pack(seen))]
        sizes = self._sizes()
        self._held = np.ones(lengths.shape[1], bool)
        if self._states.hidden or self._states.projections:  # without states a record is small, and always kept
            order = shuffled(lengths.shape[1], 0)
            self._held[order] = np.cumsum(sizes.sum(axis=0)[order]) <= budget
        ends = np.cumsum(np.where(self._held, sizes, 0)).reshape(sizes.shape)
        self._starts, self._copies, self._total = ends - sizes, copies, int(ends[-1, -1])
        content = json.dumps({"version": _VERSION, "parts": [str(p) for p in self._parts], **identity}, sort_keys=True)
        key = hashlib.sha256(content.encode()).hexdigest()
        self._salt = zlib.crc32(key.encode())
        self._file = _opened(folder / f"teacher-{key[:16]}.bin", self._total)

    @property
    def share(self) -> float:
        """Of the examples, those that are kept."""
        return float(self._held.mean())

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._total

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __call__(self, batch: Batch) -> Seen:
        """As the teacher sees the batch, whose `rows` are (copy, example), int64 [B, 2].

        Raises:
            TrainingError: the disk is full, or a state is too large for half precision.
        """
        rows = [(int(copy), int(example)) for copy, example in batch["rows"].tolist()]
        kept = [i for i, (copy, example) in enumerate(rows) if copy < self._copies and self._held[example]]
        other = [i for i in range(len(rows)) if i not in set(kept)]
        found: dict[int, Rows] = {}
        for i in kept:
            record = self._read(*rows[i])
            if record is not None:
                found[i] = record
        if len(found) < len(kept):
            # All that are kept, also those that are known: what the teacher says of a text hangs on its batch.
            for i, record in zip(kept, self._rows(batch, kept), strict=True):
                if i not in found:
                    self._write(*rows[i], record)
                    found[i] = record
        if other:
            found |= dict(zip(other, self._rows(batch, other, half=False), strict=True))
        return self._seen([found[i] for i in range(len(rows))], batch["input_ids"])

    def _sizes(self) -> NDArray[np.int64]:
        """Bytes of each example's record."""
        fixed = _CHECKSUM + sum(part.bytes(1) for part in self._parts if not part.per_token)
        return fixed + self._lengths * sum(part.bytes(1) for part in self._parts if part.per_token)

    def _rows(self, batch: Batch, chosen: Sequence[int], half: bool = True) -> list[Rows]:
        """Some rows of a batch as the teacher answers them, each cut to its tokens."""
        whole = len(chosen) == len(batch["rows"])
        seen = self._ask(batch if whole else {name: tensor[list(chosen)] for name, tensor in batch.items()})
        arrays = {name: found.cpu().numpy() for name, found in seen.outputs.items()}
        arrays |= {f"state {i}": found.cpu().numpy() for i, found in enumerate(self._states.pack(seen))}
        if half:
            with np.errstate(over="ignore"):
                arrays = {part.name: arrays[part.name].astype(part.dtype) for part in self._parts}
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise TrainingError(
                    "the teacher's states are too large for half precision, in which they are kept",
                    "leave distill.copies out",
                )
        tokens = batch["attention_mask"][list(chosen)].sum(dim=1).tolist()
        return [
            {part.name: arrays[part.name][i, :used] if part.per_token else arrays[part.name][i] for part in self._parts}
            for i, used in enumerate(tokens)
        ]

    def _seen(self, rows: Sequence[Rows], like: Tensor) -> Seen:
        """The rows as a batch again, padded with zeros, on the device of `like` (int64 [B, T])."""
        import torch

        found = {}
        for part in self._parts:
            array = np.zeros((len(rows), *part.shape(like.shape[1])), np.float32)
            for i, row in enumerate(rows):
                array[(i, slice(len(row[part.name]))) if part.per_token else i] = row[part.name]
            found[part.name] = torch.from_numpy(array).to(like.device)
        states = [tensor for name, tensor in found.items() if name.startswith("state ")]
        hidden, projections = self._states.unpack(states)
        return Seen({name: found[name] for name in found if not name.startswith("state ")}, hidden, projections)

    def _read(self, copy: int, example: int) -> Rows | None:
        tokens = int(self._lengths[copy, example])
        size = sum(part.bytes(tokens) for part in self._parts)
        content = os.pread(self._file, size + _CHECKSUM, int(self._starts[copy, example]))
        told = int.from_bytes(content[size:], "little")
        if len(content) < size + _CHECKSUM or zlib.crc32(content[:size], self._salt) != told:
            return None
        row: Rows = {}
        at = 0
        for part in self._parts:
            count = math.prod(part.shape(tokens))
            row[part.name] = np.frombuffer(content, part.dtype, count, at).reshape(part.shape(tokens))
            at += part.bytes(tokens)
        return row

    def _write(self, copy: int, example: int, row: Rows) -> None:
        content = b"".join(row[part.name].tobytes() for part in self._parts)
        content += zlib.crc32(content, self._salt).to_bytes(_CHECKSUM, "little")
        at = int(self._starts[copy, example])
        while content:
            try:
                written = os.pwrite(self._file, content, at)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise TrainingError("the disk is full", "make room, or lower distill.cache_gb") from error
            content, at = content[written:], at + written


def _opened(path: Path, size: int) -> int:
    """A descriptor of a file of that size, sparse where it is new; those of other trainings are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob("teacher-*.bin"):
        if other != path:
            other.unlink(missing_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    missing, free = size - os.fstat(file).st_blocks * 512, shutil.disk_usage(path.parent).free
    if missing > free:
        os.close(file)
        raise TrainingError(
            f"the teacher's answers take {size / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free",
            "make room, lower distill.cache_gb, or leave distill.copies out",
        )
    os.ftruncate(file, size)
    return file
