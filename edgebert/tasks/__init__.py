"""Tasks: how records become model inputs, outputs become answers, and answers become a metric.

`encode` and `decode` need numpy alone and run on devices; `metric` runs on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgebert import registry

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Encoded:
    """One record as token ids, not padded, with special tokens; `truncated` when some were cut off."""

    input_ids: list[int]
    token_type_ids: list[int]
    truncated: bool = False


@dataclass(frozen=True)
class Prediction:
    """An answer: the label and the probability that the model gives it."""

    label: str
    score: float
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping; `truncated` only where it is so."""
        plain: dict[str, Any] = {"label": self.label, "score": round(self.score, 6)}
        return plain | ({"truncated": True} if self.truncated else {})


@dataclass(frozen=True)
class Scored:
    """Answers on a test set: `correct` per record (0 to 1), `answers` for comparing two models."""

    metric: str
    correct: NDArray[np.float64]
    answers: NDArray[np.int64]


class Task(Protocol):
    """What a task must say of itself."""

    @property
    def name(self) -> str:
        """As in a recipe."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a model reads."""

    @property
    def target(self) -> str:
        """The role that it must predict."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the model's outputs."""

    @property
    def metric(self) -> str:
        """The metric's name in the report."""

    def encode(self, tokenizer: Tokenizer, records: Sequence[Record]) -> list[Encoded]:
        """Tokenize; truncation is the tokenizer's own setting."""

    def decode(self, outputs: Mapping[str, NDArray[np.float32]], labels: Sequence[str]) -> list[Prediction]:
        """One answer for each row of the outputs."""

    def score(
        self, outputs: Mapping[str, NDArray[np.float32]], records: Sequence[Record], labels: Sequence[str]
    ) -> Scored:
        """Compare the outputs of a whole test set with its targets (host only)."""


def get(name: str) -> Task:
    """The task of that name. Raises UsageError."""
    task: Task = registry.find("tasks", name)
    return task
