"""A text as a vector, pooled and normalised inside the artifact."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import UsageError
from edgebert.tasks import Answered, Decisions, Encoded, Outputs, Record, Scored
from edgebert.tasks.answers import Embedding

if TYPE_CHECKING:
    from tokenizers import Tokenizer

POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class Embeddings:
    """Sentence embeddings (Reimers & Gurevych 2019, "Sentence-BERT", arXiv:1908.10084).

    Args:
        pooling: `mean` over all tokens, or `cls`, the first one's state.
        normalize: to length 1.
    """

    pooling: str = "mean"
    normalize: bool = True

    name: ClassVar[str] = "embeddings"
    head: ClassVar[str] = "AutoModel"
    outputs: ClassVar[tuple[str, ...]] = ("embedding",)
    per_token: ClassVar[bool] = False
    has_head: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    labelled: ClassVar[bool] = False
    segments: ClassVar[bool] = False
    roles: ClassVar[tuple[str, ...]] = ("text",)
    columns: ClassVar[tuple[str, ...]] = ("text",)
    target: ClassVar[str] = "score"
    metric: ClassVar[str] = "cosine"
    options: ClassVar[Mapping[str, str]] = {
        "pooling": "mean (default) over all tokens, or cls; default: what a sentence-transformers folder says",
        "normalize": "true (default): vectors of length 1",
    }

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise UsageError(f"pooling: {self.pooling!r} is not known", f"one of: {', '.join(POOLINGS)}")
        if not isinstance(self.normalize, bool):
            raise UsageError(f"normalize: {self.normalize!r} is neither true nor false", "such as normalize: true")

    def encode(self, tokenizer: Tokenizer, record: Record, max_length: int) -> list[Encoded]:
        """One window; two for a record with a `text_pair` that it is compared with."""
        texts = [record["text"], *([record["text_pair"]] if "text_pair" in record else [])]
        found = [tokenizer.encode(text) for text in texts]
        return [Encoded(item.ids, item.type_ids, bool(item.overflowing)) for item in found]

    def decode(
        self, record: Record, windows: Sequence[Encoded], outputs: Sequence[Outputs], labels: Sequence[str]
    ) -> Embedding:
        """The (first) text's vector."""
        return Embedding(outputs[0]["embedding"], windows[0].truncated)

    def decide(self, outputs: Outputs) -> Decisions:
        """Nothing: a vector is no decision."""
        return Decisions(np.zeros(0, np.int64), np.zeros(0))

    def score(self, answered: Sequence[Answered], labels: Sequence[str]) -> Scored:
        """The vectors, to be compared with the teacher's; for pairs with a `score` Spearman's correlation with it."""
        vectors = np.stack([window["embedding"] for item in answered for window in item.outputs]).astype(np.float32)
        figures = {}
        pairs = [item for item in answered if len(item.outputs) == 2 and item.record.get("score") is not None]
        if len(pairs) > 2:
            from scipy.stats import ConstantInputWarning, spearmanr

            found = [_cosine(*(window["embedding"] for window in item.outputs)) for item in pairs]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConstantInputWarning)
                value = float(spearmanr(found, [float(item.record["score"]) for item in pairs]).statistic)
            figures["spearman"] = 0.0 if np.isnan(value) else value
        return Scored(self.metric, None, None, None, figures, vectors)

    def tune(self, answered: Sequence[Answered], labels: Sequence[str]) -> Self:
        """Itself: there is nothing to tune."""
        return self


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
