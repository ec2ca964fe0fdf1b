"""A label for each word: named entities, slots; answers are spans of the original text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import UsageError
from edgebert.tasks import Answered, Decisions, Encoded, Outputs, Record, Scored, by_largest
from edgebert.tasks.answers import Span, Spans
from edgebert.tasks.windows import owned, pieces_of, whole, windows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What `outside_bias` may become: a small model, and a quantized one, more often misses an entity than invents one.
BIASES = tuple(step / 4 for step in range(-4, 13))

#: An entity: type, first word, last word.
Entity = tuple[str, int, int]


@dataclass(frozen=True)
class TokenClassification:
    """Word-aligned labels in BIO (IOB2) or BIOES; a word's label is that of its first piece.

    Args:
        stride: tokens that neighbouring windows of a long text share; None: a quarter of a window.
        outside_bias: what is taken from the logit of `O` before the largest decides; tuned.
    """

    stride: int | None = None
    outside_bias: float = 0.0

    name: ClassVar[str] = "token-classification"
    head: ClassVar[str] = "AutoModelForTokenClassification"
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    per_token: ClassVar[bool] = True
    has_head: ClassVar[bool] = True
    windowed: ClassVar[bool] = True
    labelled: ClassVar[bool] = True
    segments: ClassVar[bool] = False
    roles: ClassVar[tuple[str, ...]] = ("text",)
    columns: ClassVar[tuple[str, ...]] = ("tokens", "tags")
    target: ClassVar[str] = "tags"
    metric: ClassVar[str] = "f1"
    options: ClassVar[Mapping[str, str]] = {
        "stride": "tokens that neighbouring windows of a long text share; default: a quarter of a window"
    }

    def __post_init__(self) -> None:
        if self.stride is not None and (not isinstance(self.stride, int) or self.stride < 0):
            raise UsageError(f"stride: {self.stride!r} is no number of tokens", "such as stride: 32")

    def encode(self, tokenizer: Tokenizer, record: Record, max_length: int) -> list[Encoded]:
        """Windows over `tokens` (the words, joined by spaces) or over `text` (words as the tokenizer finds them)."""
        text, words = words_of(record)
        return windows(tokenizer, pieces_of(tokenizer, text, words), max_length, self.stride)

    def decode(
        self, record: Record, windows: Sequence[Encoded], outputs: Sequence[Outputs], labels: Sequence[str]
    ) -> Spans:
        """The entities in their order; a span's score is the mean probability of its words' labels."""
        text, given = words_of(record)
        found = _word_answers(windows, outputs, self._bias(labels))
        tags = [labels[answer] for _, _, _, answer, _ in found]
        spans = []
        for kind, first, last in entities(tags):
            words = found[first : last + 1]
            start, end = words[0][1], words[-1][2]
            if given is not None:  # the whole of the given words, whatever of them the tokenizer kept
                start, end = given[words[0][0]][0], given[words[-1][0]][1]
            end = whole(text, end)
            score = float(np.mean([score for *_, score in words]))
            spans.append(Span(kind, start, end, text[start:end], score))
        return Spans(tuple(_disjoint(spans)), any(window.truncated for window in windows))

    def decide(self, outputs: Outputs) -> Decisions:
        """Each token's largest logit."""
        return by_largest(outputs["logits"])

    def score(self, answered: Sequence[Answered], labels: Sequence[str]) -> Scored:
        """Entity F1, as seqeval counts it: an entity is right when type, first and last word are."""
        units, correct, answers = [], [], []
        for item in answered:
            tags = ["O"] * len(item.record["tokens"])
            for word, _, _, answer, _ in _word_answers(item.windows, item.outputs, self._bias(labels)):
                tags[word] = labels[answer]
            found, true = set(entities(tags)), set(entities(item.record["tags"]))
            units.append([len(found & true), len(found), len(true)])
            correct.append(float(found == true))
            answers.append([list(entity) for entity in sorted(found, key=lambda entity: entity[1])])
        rows = np.array(units, dtype=np.float64)
        right, predicted, true_count = rows.sum(axis=0)
        figures = {
            "precision": float(right / predicted) if predicted else 0.0,
            "recall": float(right / true_count) if true_count else 0.0,
        }
        return Scored(self.metric, rows, np.array(correct), answers, figures)

    def tune(self, answered: Sequence[Answered], labels: Sequence[str]) -> Self:
        """The bias against `O` for entity F1 on validation records.

        F1 hardly changes over a wide range of biases, and which of them is the best is decided by a handful of
        entities. So it is their mean, each weighed by how plausible it is that the best is no better: by its distance
        from it in standard errors of the paired difference (the delta method over records).
        """
        if not answered or "O" not in labels:
            return self
        tried = {bias: replace(self, outside_bias=bias).score(answered, labels).units for bias in BIASES}
        units = {bias: counts for bias, counts in tried.items() if counts is not None and counts[:, 2].any()}
        if not units:
            return self
        scores, parts = {}, {}
        for bias, counts in units.items():
            right, found, true = counts.sum(axis=0)
            scores[bias] = 2.0 * right / (found + true)
            # What each record adds to F1, to first order.
            parts[bias] = (2.0 * counts[:, 0] - scores[bias] * (counts[:, 1] + counts[:, 2])) / (found + true)
        best = max(sorted(scores, key=abs), key=lambda bias: scores[bias])
        weights = {}
        for bias, score in scores.items():
            error = np.sqrt(len(answered) * np.var(parts[best] - parts[bias]))
            weights[bias] = np.exp(-0.5 * ((scores[best] - score) / max(error, 1e-9)) ** 2)
        mean = sum(bias * weight for bias, weight in weights.items()) / sum(weights.values())
        return replace(self, outside_bias=round(float(mean), 2))

    def _bias(self, labels: Sequence[str]) -> NDArray[np.float32] | None:
        """What is added to each label's logit; None where nothing is."""
        if not self.outside_bias:
            return None
        return np.array([-self.outside_bias if label == "O" else 0.0 for label in labels], dtype=np.float32)


def words_of(record: Record) -> tuple[str, list[tuple[int, int]] | None]:
    """The text, and its words' characters where the record gives words."""
    if "tokens" not in record:
        return record["text"], None
    spans, at = [], 0
    for word in record["tokens"]:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(record["tokens"]), spans


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of BIO or BIOES tags, leniently: what conlleval and seqeval's default mode find.

    An entity begins at B- or S-, where the type changes, and after O or the end (E-, S-) of another; it ends before
    the next O, B- or S-, where the type changes, and at E- or S-.
    """
    return list(_entities(tags))


def _entities(tags: Sequence[str]) -> Iterator[Entity]:
    kind, start, before = "", 0, "O"
    for index, tag in enumerate([*tags, "O"]):
        mark, _, label = tag.partition("-")
        inside = mark not in ("O", "")
        open_before = before not in ("O", "")
        if open_before and (not inside or mark in ("B", "S") or label != kind or before in ("E", "S")):
            yield kind, start, index - 1
        if inside and (not open_before or mark in ("B", "S") or label != kind or before in ("E", "S")):
            start = index
        kind, before = (label, mark) if inside else ("", "O")


def _word_answers(
    made: Sequence[Encoded], outputs: Sequence[Outputs], bias: NDArray[np.float32] | None
) -> list[tuple[int, int, int, int, float]]:
    """(word, start, end, label, probability) of each word that has a piece, from the window that owns its first."""
    found: list[tuple[int, int, int, int, float]] = []
    for window, output, (first, last) in zip(made, outputs, owned(made), strict=True):
        logits = output["logits"] if bias is None else output["logits"] + bias
        best = logits.argmax(axis=1)
        scores = _probabilities(logits, best)
        for token in range(first, last):
            word = window.words[token]
            start, end = window.offsets[token]
            if found and found[-1][0] == word:  # a further piece: the word ends later
                found[-1] = (word, found[-1][1], end, *found[-1][3:])
            else:
                found.append((word, start, end, int(best[token]), float(scores[token])))
    return found


def _probabilities(logits: NDArray[np.float32], best: NDArray[np.intp]) -> NDArray[np.float32]:
    rows = np.arange(len(best))
    shares: NDArray[np.float32] = 1.0 / np.exp(logits - logits[rows, best][:, None]).sum(axis=1)
    return shares


def _disjoint(spans: Sequence[Span]) -> Iterator[Span]:
    """Without spans that begin before the one before them ends (which `whole` may have moved)."""
    end = -1
    for span in spans:
        if span.start >= end:
            yield span
            end = span.end
