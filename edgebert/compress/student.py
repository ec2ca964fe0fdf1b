"""The student: a Hugging Face folder with some of the teacher's layers and word pieces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgebert.artifact import content_hash
from edgebert.compress.batches import token_rows
from edgebert.compress.families import FAMILIES, Family, spread
from edgebert.compress.folder import (
    SINGLE_LABEL,
    copy_licence,
    load_model,
    new_folder,
    save_model,
    special_tokens,
    tokenizer_json,
)
from edgebert.compress.vocabulary import clean, prune, write_tokenizer
from edgebert.compress.width import measure, narrow
from edgebert.errors import DataError, RecipeError
from edgebert.progress import SILENT, Progress
from edgebert.tasks import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebert.recipe import StudentSpec
    from edgebert.teacher import Teacher

#: The key of config.json under which a student says where it comes from.
LINEAGE = "edgebert"


@dataclass(frozen=True)
class Student:
    """A student's folder and what it says of itself.

    `layer_map[i]` is the teacher's layer (from 0) that the student's layer `i` was taken from, `vocabulary` the number
    of its word pieces, `positions` the number of tokens that it can read.
    """

    #: Raised by hand when `build_student` or `distill` would give another result than before.
    VERSION: ClassVar[int] = 1

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
    max_length: int,
    out: Path,
    intermediate_size: int | None = None,
    progress: Progress = SILENT,
) -> Student:
    """Take layers, word pieces and positions from the teacher; `out` appears complete or not at all.

    Without any layer dropped, the student's logits on `texts` are the teacher's (up to rounding in their sum).

    Args:
        teacher: as `inspect` found it.
        spec: the layers to take and whether to prune the vocabulary.
        task: whose head the teacher has.
        texts: the task's text, which pruning must not change the tokens of; begun anew for each use, never held.
        max_length: the longest input in tokens, special ones included.
        out: the student's folder.
        intermediate_size: neurons to keep in each feed-forward layer; default: all.
        progress: told what pruning did.

    Raises:
        RecipeError: layers, a width or a length that the teacher does not have.
        DataError: a vocabulary that cannot be pruned.
    """
    layer_map = choose_layers(teacher, spec)
    if max_length > teacher.positions:
        raise RecipeError(
            f"lengths goes up to {max_length}, but {teacher.name} reads at most {teacher.positions} tokens",
            f"make the largest length {teacher.positions} or less",
        )
    tokenizer = clean(tokenizer_json(teacher.path))
    kept = None
    if spec.vocabulary == "prune":
        pruned = prune(tokenizer, texts, name=teacher.name, most=spec.pieces)
        tokenizer, kept = pruned.tokenizer, pruned.kept
        progress.say(f"student: {len(kept):,} word pieces; {pruned.changed:.1%} of the texts are split otherwise")
    model = _take(teacher, task, layer_map, kept, max_length, texts, intermediate_size)
    with new_folder(out) as folder:
        save_model(model, folder)
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
    elif wanted and set(wanted) <= set(range(teacher.layers)):
        return tuple(wanted)
    raise RecipeError(
        f"student.layers is {wanted}, but {teacher.name} has {teacher.layers} layers",
        f"give a number from 1 to {teacher.layers}, or a list of layers counted from 0",
    )


def _take(
    teacher: Teacher,
    task: Task,
    layer_map: Sequence[int],
    kept: NDArray[Any] | None,
    max_length: int,
    texts: Iterable[str],
    intermediate_size: int | None,
) -> Any:
    """The student's model, FP32: the teacher's class with some of its weights."""
    from edgebert.compress.heads import same_class

    source = load_model(teacher.path, task, labels=teacher.labels or None)
    import torch

    family = FAMILIES[teacher.model_type]
    if not task.has_head:
        family = replace(family, body="")
    weights = select_weights(source.state_dict(), family, layer_map)
    if intermediate_size is not None:
        rows: Any = token_rows(texts, teacher.path, max_length)
        activities = measure(source, family, layer_map, rows, source.config.pad_token_id or 0)
        for new, old in enumerate(layer_map):
            narrow(weights, f"{family.layer_prefix}{new}.", family, activities[old], intermediate_size)
    if kept is not None:
        weights[family.word_embeddings] = weights[family.word_embeddings][torch.from_numpy(kept)].clone()
    weights[family.position_embeddings] = weights[family.position_embeddings][:max_length].clone()
    config = source.config.__class__.from_dict(source.config.to_dict())
    setattr(config, family.layers_key, len(layer_map))
    setattr(config, family.positions_key, max_length)
    if intermediate_size is not None:
        setattr(config, family.width_key, intermediate_size)
    config.vocab_size = weights[family.word_embeddings].shape[0]
    config.pad_token_id = 0 if kept is None else int((kept == (source.config.pad_token_id or 0)).argmax())
    config.architectures = [type(source).__name__]
    config.dtype = torch.float32
    setattr(config, LINEAGE, {"layer_map": list(layer_map), "teacher": teacher.content_hash})
    student = same_class(source, config)
    student.load_state_dict(weights, strict=True)
    return student


def select_weights(weights: Mapping[str, Any], family: Family, layer_map: Sequence[int]) -> dict[str, Any]:
    """The weights with the chosen layers alone, numbered anew."""
    chosen: dict[str, Any] = {}
    for name, tensor in weights.items():
        if not name.startswith(family.layer_prefix):
            chosen[name] = tensor
            continue
        number, _, rest = name[len(family.layer_prefix) :].partition(".")
        for new, old in enumerate(layer_map):
            if old == int(number):
                chosen[f"{family.layer_prefix}{new}.{rest}"] = tensor
    return chosen
