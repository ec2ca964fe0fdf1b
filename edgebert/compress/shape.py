"""The width of a student: hidden size and heads as the recipe has them, made to agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgebert.compress.families import Family
from edgebert.errors import RecipeError
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.recipe import StudentSpec


@dataclass(frozen=True)
class Shape:
    """Hidden size and attention heads of student and teacher."""

    hidden_size: int
    heads: int
    teacher_size: int
    teacher_heads: int

    @property
    def is_narrower(self) -> bool:
        """Whether channels have to go."""
        return self.hidden_size < self.teacher_size

    @property
    def head_size(self) -> int:
        """Dimensions of each of the student's heads."""
        return self.hidden_size // self.heads

    @property
    def teacher_head_size(self) -> int:
        """Dimensions of each of the teacher's heads."""
        return self.teacher_size // self.teacher_heads


def shape_of(config: Any, spec: StudentSpec, family: Family, task: Task) -> Shape:
    """The student's shape, cut out of a teacher of transformers configuration `config`.

    What begins at random may be of any size; embeddings that are taken, no wider than the teacher's.

    In a plain BERT all heads together are as wide as the model. So heads alone shrink the hidden size with them, each
    as wide as it was; a hidden size alone keeps the heads' width where it can, else their number.

    Raises:
        RecipeError: a shape that no plain model has, or that the teacher is too small for.
    """
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    head_size = width // heads
    if spec.hidden_size is None and spec.heads is None:
        return Shape(width, heads, width, heads)
    key = "student.hidden_size" if spec.hidden_size is not None else "student.heads"
    if family.norms is None:
        raise RecipeError(f"{key}: models of type {family.model_type} cannot be narrowed", "leave it out")
    if not task.has_head:
        raise RecipeError(f"{key}: {task.name} needs vectors as long as the teacher's", "leave it out")
    wanted = spec.hidden_size or head_size * (spec.heads or heads)
    ours = spec.heads or (wanted // head_size if wanted % head_size == 0 else heads)
    told = f"{key} is {spec.hidden_size or spec.heads}"
    taken = {"teacher": 2, "embeddings": 1, "random": 0}[spec.init]
    if (taken and wanted > width) or (taken == 2 and ours > heads):
        raise RecipeError(
            f"{told}, but the teacher has {heads} heads and a hidden size of {width}",
            "give a smaller number, or begin with random weights: student: {init: random}",
        )
    if wanted % ours:
        raise RecipeError(
            f"{told}, and {wanted} is no multiple of {ours} heads",
            f"give a multiple of {head_size}, or another number of heads with it",
        )
    if taken == 2 and wanted // ours > head_size:
        raise RecipeError(
            f"{told}, which makes heads of {wanted // ours} dimensions; the teacher's have {head_size}",
            f"give hidden_size {head_size * ours} or less, or more heads",
        )
    return Shape(wanted, ours, width, heads)
