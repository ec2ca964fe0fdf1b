"""What the sections of a recipe are made of, and its data section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgebert.recipe_checks import FORMATS, Encoding, format_of
from edgebert.tasks import Task

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]


class Spec(BaseModel):
    """A mapping of a recipe: frozen, unknown keys refused, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SplitSpec(Spec):
    """One file of examples, and which of its columns play which role."""

    path: Name = Field(description="the file, relative to the recipe's folder")
    text: Name = Field(default="text", description="the column (CSV, TSV) or key (JSONL) that holds the text")
    text_pair: Name | None = Field(
        default=None, description="the column or key of the second text of a pair; default: there are no pairs"
    )
    label: Name = Field(default="label", description="the column or key that holds the label, labels or number")
    separator: Name = Field(default=";", description="what divides several labels in a cell of CSV or TSV")
    tokens: Name = Field(default="tokens", description="token-classification in JSONL: the key of the words")
    tags: Name = Field(default="tags", description="token-classification in JSONL: the key of the words' tags")
    question: Name = Field(default="question", description="question-answering in JSONL: the key of the question")
    context: Name = Field(default="context", description="question-answering in JSONL: the key of the context")
    answers: Name = Field(default="answers", description="question-answering in JSONL: the key of the answers")
    score: Name | None = Field(
        default=None, description="embeddings: the column or key of a pair's similarity; default: there is none"
    )
    format: Literal["jsonl", "csv", "tsv", "txt", "conll", "squad"] | None = Field(
        default=None, description="how the file is written; default: what its suffix says"
    )
    encoding: Encoding = Field(default="utf-8", description="the character encoding of the file")

    def columns(self, task: Task) -> dict[str, str]:
        """Role -> column, for the roles that a task reads and those that the recipe names."""
        columns = {role: getattr(self, role) or role for role in task.columns}
        extra = {"text_pair": self.text_pair, "score": self.score} if task.name == "embeddings" else {}
        return columns | {role: column for role, column in extra.items() if column is not None}

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        if self.text == self.label:
            raise ValueError(f"text and label cannot both be the column {self.text!r}")
        if self.text == self.text_pair:
            raise ValueError(f"text and text_pair cannot both be the column {self.text!r}")
        if format_of(self) is None:
            suffix = Path(self.path).suffix
            told = f"the suffix {suffix!r} of {self.path!r}" if suffix else f"{self.path!r}, without a suffix,"
            raise ValueError(f"{told} does not say how the file is written", f"add format: {' | '.join(FORMATS)}")
        return self


class DataSpec(Spec):
    """The examples: train to learn from, validation to watch, test to judge."""

    train: SplitSpec = Field(description="examples to train the teacher and the student on")
    validation: SplitSpec | None = Field(
        default=None, description="examples to watch; default: 10 % of train, by the seed"
    )
    test: SplitSpec = Field(description="examples that judge every model; never trained on")
    unlabelled: SplitSpec | None = Field(
        default=None,
        description="more texts like those of the task, without answers: the student learns the teacher's on them too",
    )

    def splits(self) -> dict[str, SplitSpec]:
        """The splits that have a file, by name."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: split for name, split in named.items() if split is not None}

    @model_validator(mode="after")
    def _pairs_everywhere(self) -> DataSpec:
        pairs = {name for name, split in self.splits().items() if split.text_pair is not None}
        alone = [name for name in self.splits() if name not in pairs]
        if pairs and alone:
            raise ValueError(f"text_pair is given for {', '.join(sorted(pairs))}, but not for {', '.join(alone)}")
        return self
