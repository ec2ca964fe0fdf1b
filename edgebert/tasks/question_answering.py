"""Extractive question answering: the answer is a span of the context, or that there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import UsageError
from edgebert.tasks import Answered, Decisions, Encoded, Outputs, Record, Scored
from edgebert.tasks.answers import TextAnswer
from edgebert.tasks.windows import pieces_of, whole, windows

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class _Best:
    """The best span of all windows; `margin` is the score of no answer minus the span's, `none` its probability."""

    start: int
    end: int
    score: float
    none: float
    margin: float


@dataclass(frozen=True)
class QuestionAnswering:
    """Best-span search over the windows of a context (Devlin et al. 2019, section 4.2 and 4.3).

    Args:
        stride: tokens that neighbouring windows share; None: a quarter of a window.
        max_answer_tokens: the longest answer.
        no_answer: the context may not hold the answer (SQuAD 2.0); the model was trained to point at its first token.
        no_answer_threshold: how much more than the best span "no answer" must score; tuned on validation data.
    """

    stride: int | None = None
    max_answer_tokens: int = 30
    no_answer: bool = False
    no_answer_threshold: float = 0.0

    name: ClassVar[str] = "question-answering"
    head: ClassVar[str] = "AutoModelForQuestionAnswering"
    outputs: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    per_token: ClassVar[bool] = True
    has_head: ClassVar[bool] = True
    windowed: ClassVar[bool] = True
    labelled: ClassVar[bool] = False
    segments: ClassVar[bool] = True
    roles: ClassVar[tuple[str, ...]] = ("question", "context")
    columns: ClassVar[tuple[str, ...]] = ("question", "context", "answers")
    target: ClassVar[str] = "answers"
    metric: ClassVar[str] = "answer_f1"
    options: ClassVar[Mapping[str, str]] = {
        "stride": "tokens that neighbouring windows of a long context share; default: a quarter of a window",
        "max_answer_tokens": "the longest answer in tokens; default: 30",
        "no_answer": "true where a context may not hold the answer (SQuAD 2.0); default: false",
    }

    def __post_init__(self) -> None:
        if self.stride is not None and (not isinstance(self.stride, int) or self.stride < 0):
            raise UsageError(f"stride: {self.stride!r} is no number of tokens", "such as stride: 64")
        if not isinstance(self.max_answer_tokens, int) or self.max_answer_tokens < 1:
            raise UsageError(f"max_answer_tokens: {self.max_answer_tokens!r} is not 1 or more", "such as 30")
        if not isinstance(self.no_answer, bool):
            raise UsageError(f"no_answer: {self.no_answer!r} is neither true nor false", "such as no_answer: true")

    def encode(self, tokenizer: Tokenizer, record: Record, max_length: int) -> list[Encoded]:
        """Windows over the context, each with the question before it."""
        question = tokenizer.encode(record["question"], add_special_tokens=False).ids
        return windows(tokenizer, pieces_of(tokenizer, record["context"]), max_length, self.stride, question)

    def decode(
        self, record: Record, windows: Sequence[Encoded], outputs: Sequence[Outputs], labels: Sequence[str]
    ) -> TextAnswer:
        """The best span's text, with its probability among all spans of all windows."""
        best, truncated = self._best(windows, outputs), any(window.truncated for window in windows)
        if best is None or (self.no_answer and best.margin > self.no_answer_threshold):
            return TextAnswer("", None, None, 1.0 if best is None else best.none, truncated)
        text = record["context"]
        end = whole(text, best.end)
        return TextAnswer(text[best.start : end], best.start, end, best.score, truncated)

    def decide(self, outputs: Outputs) -> Decisions:
        """The likeliest first and last token."""
        chosen, margins = [], []
        for name in self.outputs:
            row = outputs[name].astype(np.float64)
            chosen.append(int(row.argmax()))
            top = np.sort(row)[-2:]
            margins.append(float(top[1] - top[0]) if len(top) == 2 else np.inf)
        return Decisions(np.array(chosen, dtype=np.int64), np.array(margins))

    def score(self, answered: Sequence[Answered], labels: Sequence[str]) -> Scored:
        """F1 and exact match as the official SQuAD script computes them."""
        from edgebert.tasks.squad_scores import exact_match, f1

        found = [self.decode(item.record, item.windows, item.outputs, labels).text for item in answered]
        truth = [[answer["text"] for answer in item.record["answers"]] for item in answered]
        exact = np.array([exact_match(text, texts) for text, texts in zip(found, truth, strict=True)])
        soft = np.array([f1(text, texts) for text, texts in zip(found, truth, strict=True)])
        figures = {"exact_match": float(exact.mean())}
        absent = np.array([not texts for texts in truth])
        if absent.any():
            figures["no_answer_accuracy"] = float(exact[absent].mean())
        return Scored(self.metric, soft[:, None], exact, found, figures)

    def tune(self, answered: Sequence[Answered], labels: Sequence[str]) -> Self:
        """The no-answer threshold of the best F1 on validation records."""
        if not self.no_answer or not answered:
            return self
        from edgebert.tasks.squad_scores import f1

        spans = replace(self, no_answer=False)
        margins, gains = [], []
        for item in answered:
            best = self._best(item.windows, item.outputs)
            text = spans.decode(item.record, item.windows, item.outputs, labels).text
            truth = [answer["text"] for answer in item.record["answers"]]
            margins.append(0.0 if best is None else best.margin)
            gains.append(f1(text, truth) - f1("", truth))
        return replace(self, no_answer_threshold=round(_best_threshold(np.array(margins), np.array(gains)), 6))

    def _best(self, made: Sequence[Encoded], outputs: Sequence[Outputs]) -> _Best | None:
        """The best allowed span of all windows; None where the context has no token."""
        scores, places = [], []
        null = np.inf
        for window, output in zip(made, outputs, strict=True):
            start, end = (output[name].astype(np.float64) for name in self.outputs)
            null = min(null, float(start[0] + end[0]))
            inside = np.flatnonzero(np.array(window.words) >= 0)
            if not len(inside):
                continue
            first, last = int(inside[0]), int(inside[-1]) + 1
            width = min(self.max_answer_tokens, last - first)
            # One row for each answer length, so that memory grows with the window and not with its square.
            band = np.full((width, last - first), -np.inf)
            for extra in range(width):
                band[extra, : last - first - extra] = start[first : last - extra] + end[first + extra : last]
            row, column = np.unravel_index(int(band.argmax()), band.shape)
            scores.append(band[np.isfinite(band)])
            token = first + int(column)
            places.append((float(band.max()), window.offsets[token][0], window.offsets[token + int(row)][1]))
        if not places:
            return None
        top, begin, stop = max(places, key=lambda place: place[0])
        every = np.concatenate(scores + ([np.array([null])] if self.no_answer else []))
        peak = every.max()
        total = np.exp(every - peak).sum()
        share, none = (float(np.exp(score - peak) / total) for score in (top, null))
        return _Best(begin, stop, share, none if self.no_answer else 0.0, null - top)


def _best_threshold(margins: NDArray[np.float64], gains: NDArray[np.float64]) -> float:
    """The threshold at which the answered records (margin at or below it) gain the most over answering none."""
    order = np.argsort(margins, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(gains[order])])
    ranked = margins[order]
    ends = np.concatenate([[True], np.append(ranked[1:] > ranked[:-1], True)])
    count = int(np.where(ends, total, -np.inf).argmax())
    if count == 0:
        return float(ranked[0] - 1.0)
    return float(ranked[-1] + 1.0) if count == len(ranked) else float((ranked[count - 1] + ranked[count]) / 2.0)
