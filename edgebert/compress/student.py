"""The student: a Hugging Face folder with some of the teacher's layers and word pieces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebert.artifact import content_hash
from edgebert.compress.cut import LINEAGE, Plan, cut_out
from edgebert.compress.families import FAMILIES, spread
from edgebert.compress.folder import (
    SINGLE_LABEL,
    copy_licence,
    new_folder,
    save_model,
    special_tokens,
    tokenizer_json,
)
from edgebert.compress.importance import important_layers
from edgebert.compress.projection import save_origin
from edgebert.compress.vocabulary import clean, prune, share_changed, write_tokenizer
from edgebert.errors import DataError, RecipeError
from edgebert.progress import SILENT, Progress
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.recipe import StudentSpec
    from edgebert.teacher import Teacher


@dataclass(frozen=True)
class Student:
    """A student's folder and what it says of itself.

    `layer_map[i]` is the teacher's layer (from 0) that the student's layer `i` was taken from, `vocabulary` the number
    of its word pieces, `positions` the number of tokens that it can read.
    """

    path: Path
    name: str
    labels: tuple[str, ...]
    parameters: int
    layers: int
    hidden_size: int
    vocabulary: int
    positions: int
    layer_map: tuple[int, ...]
    content_hash: str
    model_type: str


def build_student(
    teacher: Teacher,
    spec: StudentSpec,
    *,
    task: Task = SINGLE_LABEL,
    texts: Iterable[str],
    unseen: Sequence[str] = (),
    max_length: int,
    out: Path,
    intermediate_size: int | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Student:
    """Take layers, word pieces and positions from the teacher; `out` appears complete or not at all.

    Without any layer dropped, the student's logits on `texts` are the teacher's (up to rounding in their sum).

    Args:
        teacher: as `inspect` found it.
        spec: the layers, heads and hidden size to keep, and whether to prune the vocabulary.
        task: whose head the teacher has.
        texts: the task's text, which pruning must not change the tokens of; begun anew for each use, never held.
        unseen: texts that decide nothing: how many of them pruning splits otherwise is told, as of new ones.
        max_length: the longest input in tokens, special ones included.
        out: the student's folder.
        intermediate_size: neurons to keep in each feed-forward layer; default: all.
        seed: of the weights that begin at random, where the spec has it so.
        progress: told what pruning did.

    Raises:
        RecipeError: layers, a width, heads or a length that the teacher does not have.
        DataError: a vocabulary that cannot be pruned.
    """
    layer_map = choose_layers(teacher, spec)
    if max_length > teacher.positions:
        raise RecipeError(
            f"lengths goes up to {max_length}, but {teacher.name} reads at most {teacher.positions} tokens",
            f"make the largest length {teacher.positions} or less",
        )
    if spec.layer_choice == "importance" and isinstance(spec.layers, int | str) and len(layer_map) < teacher.layers:
        layer_map = tuple(important_layers(teacher, task, len(layer_map), texts, max_length))
        progress.say(f"student: layers {', '.join(map(str, layer_map))} of {teacher.layers} matter most (from 0)")
    tokenizer = clean(tokenizer_json(teacher.path))
    kept = None
    if spec.vocabulary == "prune":
        pruned = prune(tokenizer, texts, name=teacher.name, most=spec.pieces)
        told = f"student: {len(pruned.kept):,} word pieces; {pruned.changed:.1%} of the texts are split otherwise"
        if unseen:
            told += f", and {share_changed(tokenizer, pruned, unseen):.1%} of those that it never saw"
        progress.say(told)
        tokenizer, kept = pruned.tokenizer, pruned.kept
    model, origin = cut_out(teacher, task, spec, Plan(layer_map, kept, max_length, intermediate_size, texts, seed))
    with new_folder(out) as folder:
        save_model(model, folder)
        if origin is not None:
            save_origin(origin, folder)
        write_tokenizer(folder, tokenizer, special_tokens(teacher.path, tokenizer), max_length)
        copy_licence(teacher.path, folder)
    return load_student(out)


def load_student(path: Path) -> Student:
    """Describe a student's folder that `build_student` or `distill` made.

    Raises:
        DataError: the folder is no student of ours.
    """
    from safetensors import safe_open

    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
        lineage = config[LINEAGE]
        with safe_open(path / "model.safetensors", "np") as weights:
            shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 (no mapping)
        family = FAMILIES[config["model_type"]]
        names = config.get("id2label", {})
        labels = tuple(names[str(i)] for i in range(len(names)))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is no student of edgebert ({error})", "build it again") from error
    return Student(
        path=path,
        name=path.name,
        labels=labels,
        parameters=sum(math.prod(shape) for shape in shapes),
        layers=config[family.layers_key],
        hidden_size=config.get("hidden_size") or config["dim"],
        vocabulary=config["vocab_size"],
        positions=config[family.positions_key],
        layer_map=tuple(lineage["layer_map"]),
        content_hash=content_hash(path),
        model_type=config["model_type"],
    )


def choose_layers(teacher: Teacher, spec: StudentSpec) -> tuple[int, ...]:
    """The teacher's layers that the student takes: those given, or so many spread evenly (default: half).

    By importance it takes as many; which ones, the text says (`important_layers`).

    Layers that begin at random may be more than the teacher's: each imitates the one at its share of the depth.

    Raises:
        RecipeError: the teacher does not have them.
    """
    wanted = spec.layers
    if wanted is None:
        return tuple(range(teacher.layers))
    if wanted == "half":
        return spread(teacher.layers, (teacher.layers + 1) // 2, spec.layer_choice)
    if isinstance(wanted, int):
        if 1 <= wanted <= teacher.layers:
            return spread(teacher.layers, wanted, spec.layer_choice)
        if wanted > teacher.layers and spec.init != "teacher":
            return tuple(-(-(index + 1) * teacher.layers // wanted) - 1 for index in range(wanted))
    elif wanted and set(wanted) <= set(range(teacher.layers)):
        return tuple(wanted)
    raise RecipeError(
        f"student.layers is {wanted}, but {teacher.name} has {teacher.layers} layers",
        f"give a number from 1 to {teacher.layers}, or a list of layers counted from 0",
    )
