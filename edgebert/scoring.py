"""A model's raw outputs for labelled records, scored by its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgebert import tasks
from edgebert.artifact import Artifact
from edgebert.tasks import Answered, Record, Scored, Task
from edgebert.tokenization import load_tokenizer


def scored_of(
    artifact: Artifact, records: Sequence[Record], outputs: Sequence[Sequence[Mapping[str, NDArray[np.float32]]]]
) -> Scored | None:
    """The answers to all records, scored with the artifact's own thresholds; None where nothing was asked.

    Windows are made here once more: token ids are equal on every device, or the golden answers would have said so.
    """
    manifest = artifact.manifest
    task = tasks.get(manifest.task, manifest.task_settings)
    if not outputs or not all(role in record for record in records for role in task.columns):
        return None
    tokenizer = load_tokenizer(artifact.path, None if task.windowed else manifest.max_length)
    answered = [
        Answered(record, task.encode(tokenizer, record, manifest.max_length), [_trimmed(task, w) for w in found])
        for record, found in zip(records, outputs, strict=True)
    ]
    return task.score(answered, manifest.labels)


def _trimmed(task: Task, window: Mapping[str, NDArray[np.float32]]) -> Mapping[str, NDArray[np.float32]]:
    """A window's outputs as tasks want them: those that are not per token came as one row."""
    return window if task.per_token else {name: array[0] for name, array in window.items()}
