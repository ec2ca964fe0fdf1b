"""Which texts an export is calibrated on and compared with: real ones, of every length in use."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebert import tasks
from edgebert.errors import DataError
from edgebert.protocols import ExportJob
from edgebert.tasks import Encoded, Record, Task
from edgebert.tensors import tensors
from edgebert.tokenization import load_tokenizer

#: Texts that activations are calibrated on, and that the exported model is compared on.
CALIBRATION_TEXTS = 300
PARITY_TEXTS = 200

#: Windows of a record that becomes a golden answer: each adds its outputs to the file.
MOST_WINDOWS = 3

#: What an export without any text of its own is compared on; enough to find a broken graph.
SENTENCES = (
    "Hi.",
    "What's the time?",
    "Turn the kitchen lights off, please.",
    "I'd like a table for two at seven.",
    "The parcel that you sent on Monday has not arrived yet.",
    "It was the best coffee I have had in years, and the staff were lovely!",
    "My card was declined twice today although there is money in the account; what should I do?",
    "Set an alarm for 6:45 tomorrow morning and remind me to take the umbrella, since rain is forecast.",
    "She sells sea shells on the sea shore, he said, but nobody in Zürich had ever seen her there.",
    "The film starts slowly, loses itself in the second act, and never comes back: two stars out of five.",
    "Could you tell me whether the train from platform 9 stops in between, how long the journey takes, what a "
    "ticket costs for two adults and a child, and whether bicycles are allowed on board on weekends?",
    "We regret to inform you that the service will be unavailable from 22:00 to 04:00 on account of maintenance "
    "work; orders placed before that time will be shipped as usual, while those placed later will be handled on "
    "the next working day, and we thank you for your patience and understanding in this matter.",
)


def read_records(path: Path) -> list[Record]:
    """The records of a JSON-lines file.

    Raises:
        DataError: it has none, or is no JSON lines.
    """
    try:
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", "give records as JSON lines") from error
    if not records:
        raise DataError(f"{path.name} has no text to calibrate with", "give a file of real texts")
    return records


def calibration_encoded(job: ExportJob) -> list[Encoded]:
    """The token ids of the texts to calibrate on: the same for the same job."""
    if job.calibration is None:
        raise ValueError("this precision needs calibration text")
    records = _sample(read_records(job.calibration), CALIBRATION_TEXTS, job.seed)
    task = tasks.get(job.task, job.settings)
    return [window for record in windows_of(job.model, task, records, job.lengths[-1]) for window in record]


def windows_of(folder: Path, task: Task, records: Sequence[Record], max_length: int) -> list[list[Encoded]]:
    """The windows of each record, by the tokenizer of a model's folder."""
    tokenizer = load_tokenizer(folder, None if task.windowed else max_length)
    return [task.encode(tokenizer, record, max_length) for record in records]


def parity_records(job: ExportJob) -> list[Record]:
    """The records that the exported model is compared with its source on."""
    if job.calibration is None:
        return [dict.fromkeys(tasks.get(job.task, job.settings).roles, text) for text in SENTENCES]
    return _sample(read_records(job.calibration), PARITY_TEXTS, job.seed + 1)


def spread_by_length(windows: Sequence[Sequence[Encoded]], count: int) -> list[int]:
    """Indices of `count` records of evenly spread length, the shortest and the longest among them.

    Records of more than three windows are left out while there are others.
    """
    sizes = [sum(len(window.input_ids) for window in record) for record in windows]
    few = [index for index, record in enumerate(windows) if len(record) <= MOST_WINDOWS] or range(len(windows))
    order = sorted(few, key=lambda index: (sizes[index], index))
    picks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[pick] for pick in picks]


def batches(
    encoded: Sequence[Encoded], names: Sequence[str], lengths: Sequence[int], per_length: int
) -> list[dict[str, NDArray[np.int64]]]:
    """Texts padded to every length in use: int64 inputs [1, length] by name.

    Each text is seen at the length that it will run at. A length for which there are fewer than `per_length`
    texts is filled up with texts joined to fit it, so that its activations are seen too.
    """
    buckets: dict[int, list[Encoded]] = {length: [] for length in lengths}
    for window in encoded:
        buckets[lengths[min(bisect_left(lengths, len(window.input_ids)), len(lengths) - 1)]].append(window)
    for length, windows in buckets.items():
        for start in range(per_length - len(windows)):
            row = _joined(encoded, start, length)
            windows.append(Encoded(row, [0] * len(row)))
    return [tensors(window, names, [length]) for length, windows in buckets.items() for window in windows[:per_length]]


def _joined(encoded: Sequence[Encoded], start: int, length: int) -> list[int]:
    """One text after another, first and last special token kept once, until nearly `length` tokens are there."""
    first, last = encoded[0].input_ids[0], encoded[0].input_ids[-1]
    row = [first]
    for offset in range(len(encoded)):
        row += encoded[(start * 7 + offset) % len(encoded)].input_ids[1:-1]
        if len(row) >= length - 1:
            break
    return [*row[: length - 1], last]


def _sample(records: list[Record], count: int, seed: int) -> list[Record]:
    """`count` records drawn without replacement, in file order."""
    if len(records) <= count:
        return records
    chosen = sorted(random.Random(seed).sample(range(len(records)), count))
    return [records[index] for index in chosen]
