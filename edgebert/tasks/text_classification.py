"""One text, or a pair of texts: a label, several labels, or a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import UsageError
from edgebert.tasks import Answer, Answered, Decisions, Encoded, Outputs, Record, Scored, by_largest
from edgebert.tasks.answers import LabelSet, Prediction, Value

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROBLEMS = ("single-label", "multi-label", "regression")


@dataclass(frozen=True)
class TextClassification:
    """Classification and regression of texts and pairs of texts.

    Args:
        problem: one of `PROBLEMS`.
        pair: each record has a `text_pair` too (similarity, paraphrase, entailment).
        out_of_scope: the label of data that is none of the model's: what is less likely than `threshold` gets it.
        temperature: what logits are divided by, so that probabilities can be believed.
        threshold: least probability of an answer, of 0 to 1; None where nothing is rejected.
        thresholds: for several labels, the least probability of each; empty: 0.5 for all.
    """

    problem: str = "single-label"
    pair: bool = False
    out_of_scope: str | None = None
    temperature: float = 1.0
    threshold: float | None = None
    thresholds: tuple[float, ...] = ()

    name: ClassVar[str] = "text-classification"
    head: ClassVar[str] = "AutoModelForSequenceClassification"
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    per_token: ClassVar[bool] = False
    has_head: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    target: ClassVar[str] = "label"
    options: ClassVar[Mapping[str, str]] = {
        "problem": "single-label (default), multi-label, or regression; default: what the teacher's config.json says",
        "out_of_scope": "the label of test and validation rows that none of the model's labels fits: the artifact "
        "learns to reject them by a threshold; not for multi-label or regression",
    }

    def __post_init__(self) -> None:
        if self.problem not in PROBLEMS:
            raise UsageError(f"problem: {self.problem!r} is not known", f"one of: {', '.join(PROBLEMS)}")
        if self.out_of_scope is not None and self.problem != "single-label":
            raise UsageError(f"out_of_scope cannot be with problem: {self.problem}", "leave one of the two out")
        if self.out_of_scope is not None and not (isinstance(self.out_of_scope, str) and self.out_of_scope.strip()):
            raise UsageError(f"out_of_scope: {self.out_of_scope!r} is no label", "give the label as the data has it")

    @property
    def roles(self) -> tuple[str, ...]:
        """What a model reads."""
        return ("text", "text_pair") if self.pair else ("text",)

    @property
    def columns(self) -> tuple[str, ...]:
        """What a data file has."""
        return (*self.roles, "label")

    @property
    def segments(self) -> bool:
        """Pairs have two segments."""
        return self.pair

    @property
    def labelled(self) -> bool:
        """Whether answers are labels."""
        return self.problem != "regression"

    @property
    def metric(self) -> str:
        """Accuracy, micro-averaged F1, or Pearson's correlation."""
        return {"single-label": "accuracy", "multi-label": "f1", "regression": "pearson"}[self.problem]

    def encode(self, tokenizer: Tokenizer, record: Record, max_length: int) -> list[Encoded]:
        """One window: the tokens that the tokenizer's own truncation leaves (of a pair the longer text first)."""
        texts = (record["text"], record["text_pair"]) if self.pair else (record["text"],)
        found = tokenizer.encode(*texts)
        return [Encoded(found.ids, found.type_ids, bool(found.overflowing))]

    def decode(
        self, record: Record, windows: Sequence[Encoded], outputs: Sequence[Outputs], labels: Sequence[str]
    ) -> Answer:
        """The likeliest label, all labels over their threshold, or the number."""
        logits, truncated = outputs[0]["logits"], windows[0].truncated
        if self.problem == "regression":
            return Value(float(logits[0]), truncated)
        if self.problem == "multi-label":
            probabilities = _sigmoid(logits)
            chosen = np.flatnonzero(probabilities >= self._limits(len(logits)))
            order = chosen[np.argsort(-probabilities[chosen], kind="stable")]
            return LabelSet(tuple(labels[i] for i in order), tuple(float(probabilities[i]) for i in order), truncated)
        best = int(logits.argmax())
        exponentials = logits - logits[best]
        if self.temperature != 1.0:
            exponentials /= self.temperature
        np.exp(exponentials, out=exponentials)
        score = 1.0 / float(np.add.reduce(exponentials))
        if self.threshold is not None and score < self.threshold:
            return Prediction(self.out_of_scope or "", score, truncated, rejected=True)
        return Prediction(labels[best], score, truncated)

    def decide(self, outputs: Outputs) -> Decisions:
        """The largest logit; with several labels each logit's side of its threshold; nothing for a number."""
        logits = outputs["logits"]
        if self.problem == "multi-label":
            limits = self._limits(len(logits))
            distance = logits.astype(np.float64) - np.log(limits / (1.0 - limits))
            return Decisions((distance >= 0).astype(np.int64), np.abs(distance))
        return by_largest(logits)

    def score(self, answered: Sequence[Answered], labels: Sequence[str]) -> Scored:
        """Metric and figures of a test set; see `edgebert.tasks.classification_scores`."""
        from edgebert.tasks import classification_scores as scores

        logits = _logits(answered)
        if self.problem == "regression":
            return scores.regression(logits[:, 0], _numbers(answered))
        truth = [item.record["label"] for item in answered]
        if self.problem == "multi-label":
            return scores.multi_label(_sigmoid(logits) >= self._limits(logits.shape[1]), truth, labels)
        return scores.single_label(
            logits / self.temperature, truth, labels, out_of_scope=self.out_of_scope, threshold=self.threshold
        )

    def tune(self, answered: Sequence[Answered], labels: Sequence[str]) -> Self:
        """Temperature, rejection threshold or thresholds of several labels, from validation records."""
        from edgebert.tasks import thresholds

        if self.problem == "regression" or not answered:
            return self
        logits, truth = _logits(answered), [item.record["label"] for item in answered]
        if self.problem == "multi-label":
            chosen = thresholds.per_label(_sigmoid(logits), truth, labels)
            return replace(self, thresholds=tuple(round(value, 6) for value in chosen))
        index = {label: number for number, label in enumerate(labels)}
        known = np.array([label in index for label in truth])
        if not known.any():
            return self
        targets = np.array([index[label] for label, inside in zip(truth, known, strict=True) if inside])
        temperature = round(thresholds.temperature(logits[known], targets), 6)
        tuned = replace(self, temperature=temperature)
        if self.out_of_scope is None or known.all():
            return tuned
        best = thresholds.softmax(logits / temperature).max(axis=1)
        return replace(tuned, threshold=round(thresholds.rejection(best, known), 6))

    def _limits(self, count: int) -> NDArray[np.float64]:
        return np.array(self.thresholds) if self.thresholds else np.full(count, 0.5)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))
    return values


def _logits(answered: Sequence[Answered]) -> NDArray[np.float64]:
    return np.stack([item.outputs[0]["logits"] for item in answered]).astype(np.float64)


def _numbers(answered: Sequence[Answered]) -> NDArray[np.float64]:
    return np.array([item.record["label"] for item in answered], dtype=np.float64)
