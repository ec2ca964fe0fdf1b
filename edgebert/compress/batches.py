"""Examples as token ids, and the order in which a training sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgebert import tasks
from edgebert.compress.noise import shuffled
from edgebert.errors import DataError
from edgebert.tasks import Record
from edgebert.tokenization import load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

#: Batches are cut from windows of so many batches sorted by length: little padding, and still a random order.
WINDOW = 50


@dataclass(frozen=True)
class Examples:
    """A split as token ids, not padded, and label numbers (int64)."""

    ids: list[list[int]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def encode(records: Sequence[Record], folder: Path, task: str, labels: Sequence[str], max_length: int) -> Examples:
    """Tokenize a split with the folder's tokenizer.json, cut at `max_length` tokens.

    Raises:
        DataError: a label that is not among `labels`, or no records.
    """
    if not records:
        raise DataError("there is nothing to train on", "give at least one example")
    kind = tasks.get(task)
    number = {label: index for index, label in enumerate(labels)}
    unknown = sorted({str(record[kind.target]) for record in records} - set(number))
    if unknown:
        raise DataError(f"the label {unknown[0]!r} is not one of the {len(labels)} labels", "correct the data")
    encoded = kind.encode(load_tokenizer(folder, max_length), records)
    targets = np.array([number[record[kind.target]] for record in records], dtype=np.int64)
    return Examples([item.input_ids for item in encoded], targets)


def pad(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [B, T], padded to the longest row."""
    import torch

    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), value, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def plan(
    lengths: Sequence[int], *, epochs: int, size: int, seed: int, max_steps: int | None = None
) -> list[list[tuple[int, int]]]:
    """All batches of a training in order, each a list of (epoch, example); texts of like length stand together."""
    batches: list[list[tuple[int, int]]] = []
    for epoch in range(epochs):
        order = shuffled(len(lengths), seed, epoch, 0)
        cut = []
        for start in range(0, len(order), size * WINDOW):
            window = sorted(order[start : start + size * WINDOW].tolist(), key=lambda i: lengths[i])
            cut += [[(epoch, i) for i in window[at : at + size]] for at in range(0, len(window), size)]
        batches += [cut[i] for i in shuffled(len(cut), seed, epoch, 1)]
    return batches[:max_steps]


def digest(examples: Examples) -> str:
    """SHA-256 of a split's token ids and labels."""
    content = json.dumps([examples.ids, examples.labels.tolist()])
    return hashlib.sha256(content.encode()).hexdigest()
