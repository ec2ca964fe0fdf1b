"""Examples as token ids, and the order in which a training sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
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
class Examples:
    """Windows of a split: token ids and types, not padded, and what each should answer (`objectives`)."""

    ids: list[list[int]]
    types: list[list[int]]
    targets: list[NDArray[Any]]

    def __len__(self) -> int:
        return len(self.ids)


def encode(records: Sequence[Record], folder: Path, task: Task, labels: Sequence[str], max_length: int) -> Examples:
    """A split's windows by the folder's tokenizer.json, of at most `max_length` tokens.

    Records of a label that is out of the scope of all labels are left out.

    Raises:
        DataError: a label that is not among `labels`, or no records.
    """
    if not records:
        raise DataError("there is nothing to train on", "give at least one example")
    outside = getattr(task, "out_of_scope", None)
    if outside is not None and outside not in labels:
        records = [record for record in records if record.get(task.target) != outside]
    check_labels(task, records, labels)
    tokenizer = load_tokenizer(folder, None if task.windowed else max_length)
    numbers = {label: index for index, label in enumerate(labels)}
    found = Examples([], [], [])
    for record in records:
        windows = task.encode(tokenizer, record, max_length)
        found.ids.extend(window.input_ids for window in windows)
        found.types.extend(window.token_type_ids for window in windows)
        found.targets.extend(objective(task).targets(record, windows, numbers))
    return found


def batch_of(
    examples: Examples, rows: Sequence[Sequence[int]], chosen: Sequence[int], pad_id: int, task: Task
) -> dict[str, Tensor]:
    """Some examples as a batch: `input_ids`, `attention_mask`, `targets`, and `token_type_ids` for two segments.

    Args:
        examples: of the split.
        rows: the chosen ones' token ids, perhaps noised.
        chosen: their numbers.
        pad_id: fills up rows.
        task: whose targets they are.
    """
    import torch

    ids, mask = pad(rows, pad_id)
    batch = {"input_ids": ids, "attention_mask": mask}
    if task.segments:
        batch["token_type_ids"] = pad([examples.types[i] for i in chosen], 0)[0]
    targets = [examples.targets[i] for i in chosen]
    if objective(task).per_token:
        width = ids.shape[1]
        targets = [np.pad(row, (0, width - len(row)), constant_values=IGNORED) for row in targets]
    batch["targets"] = torch.from_numpy(np.stack(targets))
    return batch


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
    """SHA-256 of a split's token ids, types and targets."""
    targets = [row.tolist() for row in examples.targets]
    content = json.dumps([examples.ids, examples.types, targets])
    return hashlib.sha256(content.encode()).hexdigest()
