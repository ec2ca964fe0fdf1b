"""What the distill section of a recipe asks for, and student and teacher cannot do: told before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgebert.compress.losses import ANSWERS, LOSSES
from edgebert.compress.objectives import FOCUSED, objective
from edgebert.errors import RecipeError
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.recipe import DistillSpec


def checked(spec: DistillSpec, task: Task) -> dict[str, float]:
    """The weights that are not 0, for losses that exist and that the task has."""
    losses = spec.losses
    unknown = sorted(set(losses) - set(LOSSES))
    if unknown:
        raise RecipeError(f"distill.losses: {unknown[0]!r} is no loss", f"known: {', '.join(LOSSES)}")
    weights = {name: weight for name, weight in losses.items() if weight}
    if "label" in weights and objective(task).label is None:
        raise RecipeError(f"distill.losses: {task.name} has no labels to learn from", "leave the loss label out")
    if not weights:
        raise RecipeError("distill.losses are all 0", "give one of them a weight: losses: {logits: 1, hidden: 1}")
    if spec.intermediate_epochs and not set(weights) - ANSWERS:
        raise RecipeError(
            "distill.intermediate_epochs needs a loss that looks inside",
            "add hidden, attention_kl or relations to losses",
        )
    if spec.focus and getattr(task, "problem", task.name) not in FOCUSED:
        raise RecipeError(f"distill.focus is not for {task.name} of this kind", "leave it out")
    return weights


def check_shapes(weights: Mapping[str, float], spec: DistillSpec, student: Any, teacher: Any, channels: Any) -> None:
    """Refuse what needs heads or channels of student and teacher to correspond, where they do not."""
    ours, theirs = student.num_attention_heads, teacher.num_attention_heads
    compared = sorted(weights.keys() & {"attention_mse", "attention_kl"})
    if compared and ours != theirs:
        raise RecipeError(
            f"distill.losses: {compared[0]} compares head by head, but the student has {ours} heads and the teacher "
            f"{theirs}",
            "use relations, whose number of heads is free, or keep the number of heads: student: {heads: "
            f"{theirs}, hidden_size: …}}",
        )
    if spec.layerwise_epochs and student.hidden_size != teacher.hidden_size and channels is None:
        raise RecipeError(
            "distill.layerwise_epochs feeds layers with the teacher's states, but the student's channels begin at "
            f"random and are {student.hidden_size}, not {teacher.hidden_size}",
            "leave it out, or take the student from the teacher: student: {init: teacher}",
        )
    heads = spec.relation_heads or theirs
    if "relations" in weights and (student.hidden_size % heads or teacher.hidden_size % heads):
        common = math.gcd(student.hidden_size, teacher.hidden_size)
        best = max(number for number in range(1, heads + 1) if common % number == 0)
        raise RecipeError(
            f"distill.losses: relations in {heads} heads do not divide the widths {student.hidden_size} (student) and "
            f"{teacher.hidden_size} (teacher)",
            f"give relation_heads: {best}",
        )
