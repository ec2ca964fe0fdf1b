"""The shapes of answers, one for each kind of question. Offsets count characters (Unicode code points)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """One label and the probability that the model gives it.

    `rejected` says that the text is out of the scope of all labels: `label` is then the recipe's `out_of_scope`
    label, and `score` the probability of the best one, which did not reach the threshold.
    """

    label: str
    score: float
    truncated: bool = False
    rejected: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping; `truncated` and `rejected` only where it is so."""
        return {"label": self.label, "score": round(self.score, 6)} | _flags(self.truncated, rejected=self.rejected)


@dataclass(frozen=True)
class LabelSet:
    """All labels that hold, the likeliest first, each with its probability (`scores` in the same order)."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""
        return {"labels": list(self.labels), "scores": [round(s, 6) for s in self.scores]} | _flags(self.truncated)


@dataclass(frozen=True)
class Value:
    """A number, in the unit of the training data."""

    value: float
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""
        return {"value": round(self.value, 6)} | _flags(self.truncated)


@dataclass(frozen=True)
class Span:
    """A stretch of the text: `text` is exactly its characters from `start` up to `end`."""

    label: str
    start: int
    end: int
    text: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""
        return {
            "label": self.label, "start": self.start, "end": self.end, "text": self.text,
            "score": round(self.score, 6),
        }  # fmt: skip


@dataclass(frozen=True)
class Spans:
    """All spans of a text in their order, not overlapping."""

    spans: tuple[Span, ...]
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""
        return {"spans": [span.to_json() for span in self.spans]} | _flags(self.truncated)


@dataclass(frozen=True)
class TextAnswer:
    """An answer out of a context: `text` is exactly its characters from `start` up to `end`.

    Where the context does not answer the question, `text` is empty and both offsets are None.
    """

    text: str
    start: int | None
    end: int | None
    score: float
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""
        return {
            "text": self.text, "start": self.start, "end": self.end, "score": round(self.score, 6),
        } | _flags(self.truncated)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Embedding:
    """A text as a vector: float32 [width], of length 1 where the model normalises."""

    vector: NDArray[np.float32]
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""
        return {"vector": [round(float(v), 6) for v in self.vector]} | _flags(self.truncated)


def _flags(truncated: bool, *, rejected: bool = False) -> dict[str, Any]:
    return ({"rejected": True} if rejected else {}) | ({"truncated": True} if truncated else {})
