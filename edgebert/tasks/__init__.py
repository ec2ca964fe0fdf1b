"""Tasks: how records become model inputs, outputs become answers, and answers become a metric.

`encode` and `decode` need numpy alone and run on devices; `score` and `tune` run on the host, and import what
they need when they are called. A task is a frozen dataclass: its fields are its settings, those that a recipe
gives under `options` and those that `tune` finds on validation data. They travel in the artifact's manifest.

A record is encoded into one window of tokens, or, where a task reads long texts, into several that overlap. The
model's outputs of a window are arrays without a batch axis; those that have a row for each token are cut to the
window's own tokens, so that no task ever sees padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edgebert import registry
from edgebert.errors import UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Record = Mapping[str, Any]

#: One window's outputs by name: float32 [outputs], or [tokens] or [tokens, outputs] for a task that answers
#: token by token.
Outputs = Mapping[str, NDArray[np.float32]]


class Encoded(NamedTuple):
    """One window: token ids, not padded, with special tokens.

    A named tuple, for one is made for every text that is predicted, in a sixth of a frozen dataclass's time.

    Args:
        input_ids: of the model's vocabulary.
        token_type_ids: 0, and 1 in the second text of a pair.
        truncated: some of the text was cut off and is in no window.
        offsets: for each token the characters (start, end) of the text that answers point into; (0, 0) for tokens
            that are not of that text. Empty where a task gives no offsets.
        words: for each token the number of its word in that text, -1 for tokens of none. Empty likewise.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    truncated: bool = False
    offsets: Sequence[tuple[int, int]] = ()
    words: Sequence[int] = ()


class Answer(Protocol):
    """What `decode` gives back: a frozen dataclass of the task's own shape (`edgebert.tasks.answers`)."""

    def to_json(self) -> dict[str, Any]:
        """As a plain mapping."""


@dataclass(frozen=True)
class Answered:
    """One record with its windows and what a model put out for each of them."""

    record: Record
    windows: Sequence[Encoded]
    outputs: Sequence[Outputs]


@dataclass(frozen=True)
class Scored:
    """Answers on a test set.

    Args:
        metric: a name of `edgebert.metrics.METRICS`, which says how rows of `units` become a figure.
        units: float64 [records, columns], what each record adds to the metric; None where it takes a reference.
        correct: per record 1 where it is answered wholly right, else 0; None where there is no right and wrong.
        answers: per record something that can be compared with `==` and written as JSON; None where answers of two
            models are never quite equal.
        figures: other figures of the whole set by name (`ece`, `exact_match`), each a plain number.
        vectors: float32 [records, width], kept where models are compared by what they put out (embeddings).
    """

    metric: str
    units: NDArray[np.float64] | None
    correct: NDArray[np.float64] | None
    answers: Sequence[Any] | None
    figures: Mapping[str, float] = field(default_factory=dict)
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Decisions:
    """What a window's outputs decide, and how narrowly: for comparing a model with its own reference.

    Args:
        chosen: int64 [n], such as the largest logit's index.
        margins: float64 [n], how much an output may move before it is another; infinite where nothing is decided.
    """

    chosen: NDArray[np.int64]
    margins: NDArray[np.float64]


class Task(Protocol):
    """What a task must say of itself; its dataclass fields are its settings."""

    #: As in a recipe.
    name: ClassVar[str]
    #: The class of transformers that carries its head.
    head: ClassVar[str]
    #: The names of the model's outputs.
    outputs: ClassVar[tuple[str, ...]]
    #: The outputs have a row for each token.
    per_token: ClassVar[bool]
    #: The outputs are made by a classifier, which quantization would clip; else by the encoder itself.
    has_head: ClassVar[bool]
    #: Long texts become several windows; else they are truncated.
    windowed: ClassVar[bool]
    #: The settings that a recipe may give under `options`, each with a sentence for the documentation.
    options: ClassVar[Mapping[str, str]]

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a model reads, such as `text`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The roles that a data file must have."""

    @property
    def target(self) -> str:
        """The role that it must predict, such as `label`."""

    @property
    def labelled(self) -> bool:
        """Whether answers are out of a set of labels that the model's configuration names."""

    @property
    def segments(self) -> bool:
        """Whether a window holds two texts, which the model tells apart by token types."""

    @property
    def metric(self) -> str:
        """The metric's name in the report."""

    def encode(self, tokenizer: Tokenizer, record: Record, max_length: int) -> list[Encoded]:
        """One record as windows of at most `max_length` tokens. The tokenizer is that of `load_tokenizer`."""

    def decode(
        self, record: Record, windows: Sequence[Encoded], outputs: Sequence[Outputs], labels: Sequence[str]
    ) -> Answer:
        """The answer to one record."""

    def decide(self, outputs: Outputs) -> Decisions:
        """What one window's outputs decide."""

    def score(self, answered: Sequence[Answered], labels: Sequence[str]) -> Scored:
        """Compare the answers to a whole test set with its targets (host only)."""

    def tune(self, answered: Sequence[Answered], labels: Sequence[str]) -> Self:
        """The same task with its thresholds set on validation records (host only); itself where it has none."""


def get(name: str, settings: Mapping[str, Any] | None = None) -> Task:
    """The task of that name with its settings.

    Raises:
        UsageError: no such task, or a setting that it does not have or cannot take.
    """
    kind = registry.find("tasks", name)
    known = {item.name for item in fields(kind)}
    for key in settings or {}:
        if key not in known:
            raise UsageError(f"{name} has no setting {key!r}", f"known: {', '.join(sorted(known)) or 'none'}")
    task: Task = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in (settings or {}).items()})
    return task


def settings_of(task: Task) -> dict[str, Any]:
    """A task's settings as JSON takes them; `get(task.name, settings_of(task))` is the task again."""
    values: dict[str, Any] = asdict(task)  # type: ignore[call-overload]  # every task is a dataclass
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def texts_of(record: Record) -> list[str]:
    """Every text of a record that a model reads; the words of a token list as one text."""
    texts = [record[role] for role in ("text", "text_pair", "question", "context") if role in record]
    return [*texts, " ".join(record["tokens"])] if "tokens" in record else texts


def by_largest(array: NDArray[np.float32]) -> Decisions:
    """Decisions by the largest output along the last axis."""
    rows = np.atleast_2d(array.astype(np.float64))
    chosen = rows.argmax(axis=-1).astype(np.int64)
    if rows.shape[-1] < 2:
        return Decisions(chosen, np.full(len(rows), np.inf))
    top = np.partition(rows, -2, axis=-1)
    return Decisions(chosen, top[..., -1] - top[..., -2])
