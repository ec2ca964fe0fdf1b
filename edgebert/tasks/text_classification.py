"""One text, one label out of a closed set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgebert.tasks import Encoded, Prediction, Record, Scored

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class TextClassification:
    """Single-label classification of single texts; the metric is accuracy."""

    name: str = "text-classification"
    roles: tuple[str, ...] = ("text",)
    target: str = "label"
    outputs: tuple[str, ...] = ("logits",)
    metric: str = "accuracy"

    def encode(self, tokenizer: Tokenizer, records: Sequence[Record]) -> list[Encoded]:
        """Token ids with special tokens, truncated as the tokenizer is set."""
        if len(records) == 1:  # the product's case: a batch call costs more than the encoding itself
            encodings = [tokenizer.encode(records[0]["text"])]
        else:
            encodings = tokenizer.encode_batch([record["text"] for record in records])
        return [Encoded(item.ids, item.type_ids, bool(item.overflowing)) for item in encodings]

    def decode(self, outputs: Mapping[str, NDArray[np.float32]], labels: Sequence[str]) -> list[Prediction]:
        """The label with the largest logit and its softmax probability."""
        logits = outputs["logits"]
        best = logits.argmax(axis=1)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponentials[np.arange(len(best)), best] / exponentials.sum(axis=1)
        return [Prediction(labels[index], float(score)) for index, score in zip(best, scores, strict=True)]

    def score(
        self, outputs: Mapping[str, NDArray[np.float32]], records: Sequence[Record], labels: Sequence[str]
    ) -> Scored:
        """Accuracy: 1 where the largest logit is the record's label, else 0."""
        index = {label: i for i, label in enumerate(labels)}
        targets = np.array([index[record["label"]] for record in records], dtype=np.int64)
        answers = outputs["logits"].argmax(axis=1).astype(np.int64)
        return Scored(self.metric, (answers == targets).astype(np.float64), answers)


TASK = TextClassification()
