"""The student's model: the teacher's class with some of its weights, and what it lacks drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgebert.compress.families import FAMILIES, Family
from edgebert.compress.folder import load_model
from edgebert.compress.hidden import Origin, narrow_hidden
from edgebert.compress.observe import sample
from edgebert.compress.shape import Shape, shape_of
from edgebert.compress.width import measure, narrow
from edgebert.errors import RecipeError
from edgebert.tasks import Task
from edgebert.tokenization import load_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebert.recipe import StudentSpec
    from edgebert.teacher import Teacher

#: The key of config.json under which a student says where it comes from.
LINEAGE = "edgebert"


@dataclass(frozen=True)
class Plan:
    """What a student is made of: layers of the teacher, its word pieces (None: all), positions, neurons (None: all).

    `texts` are what is measured on where something has to go, `seed` what is drawn at random with.
    """

    layer_map: tuple[int, ...]
    kept: NDArray[Any] | None
    positions: int
    intermediate_size: int | None
    texts: Iterable[str]
    seed: int


def cut_out(teacher: Teacher, task: Task, spec: StudentSpec, plan: Plan) -> tuple[Any, Origin | None]:
    """The student's model, FP32, and where a narrower one's states come from.

    Raises:
        RecipeError: a shape or settings that cannot be.
    """
    import torch

    from edgebert.compress.heads import same_class

    source = load_model(teacher.path, task, labels=teacher.labels or None)
    family = FAMILIES[teacher.model_type]
    if not task.has_head:
        family = replace(family, body="")
    shape = shape_of(source.config, spec, family, task)
    weights, origin = _taken(teacher, source, task, spec, family, shape, plan)
    config = _configured(teacher, source, spec, family, shape, plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        student = same_class(source, config)
    try:
        student.load_state_dict(weights, strict=spec.init == "teacher")
    except RuntimeError as error:
        raise RecipeError(
            f"student.config changes the shape of the teacher's weights ({', '.join(spec.config)})",
            "leave that setting out, or begin with random weights: student: {init: random}",
        ) from error
    return student.eval(), origin


def _taken(
    teacher: Teacher, source: Any, task: Task, spec: StudentSpec, family: Family, shape: Shape, plan: Plan
) -> tuple[dict[str, Any], Origin | None]:
    """The weights that the student takes, in its shape, by its names."""
    import torch

    if spec.init == "random":
        return {}, None
    layer_map = plan.layer_map if spec.init == "teacher" else ()
    size = plan.intermediate_size if layer_map else None
    weights = select_weights(source.state_dict(), family, layer_map)
    if not layer_map:
        weights = {name: tensor for name, tensor in weights.items() if name.startswith(f"{family.prefix}embeddings.")}
    rows: list[list[int]] = []
    if size is not None or shape.is_narrower:
        rows = [item.ids for item in load_tokenizer(teacher.path, plan.positions).encode_batch(sample(plan.texts))]
    if size is not None:
        activities = measure(source, family, layer_map, rows, source.config.pad_token_id or 0)
        for new, old in enumerate(layer_map):
            narrow(weights, f"{family.layer_prefix}{new}.", family, activities[old], size)
    origin = narrow_hidden(weights, source, task, family, layer_map, shape, rows) if shape.is_narrower else None
    if plan.kept is not None:
        weights[family.word_embeddings] = weights[family.word_embeddings][torch.from_numpy(plan.kept)].clone()
    if family.position_embeddings in weights:
        weights[family.position_embeddings] = weights[family.position_embeddings][: plan.positions].clone()
    return weights, origin


def _configured(teacher: Teacher, source: Any, spec: StudentSpec, family: Family, shape: Shape, plan: Plan) -> Any:
    """The student's transformers configuration."""
    import torch

    config = source.config.__class__.from_dict(source.config.to_dict())
    setattr(config, family.layers_key, len(plan.layer_map))
    setattr(config, family.positions_key, plan.positions)
    if plan.intermediate_size is not None:
        setattr(config, family.width_key, plan.intermediate_size)
    config.hidden_size, config.num_attention_heads = shape.hidden_size, shape.heads
    pad = source.config.pad_token_id or 0
    config.vocab_size = teacher.vocabulary if plan.kept is None else len(plan.kept)
    config.pad_token_id = 0 if plan.kept is None else int((plan.kept == pad).argmax())
    config.architectures = [type(source).__name__]
    config.dtype = torch.float32
    own = {family.layers_key, family.positions_key, family.width_key, "hidden_size", "dim", "num_attention_heads"}
    own |= {"n_heads", "vocab_size", "pad_token_id", "architectures", "dtype", "model_type", "id2label", "label2id"}
    for key, value in spec.config.items():
        if key in own:
            raise RecipeError(f"student.config: {key} follows from the other keys", "leave it out there")
        before = getattr(config, key, None)
        value = float(value) if isinstance(before, float) and type(value) is int else value
        if before is None or type(before) is not type(value):
            known = "no setting" if before is None else f"a setting of type {type(before).__name__}"
            raise RecipeError(
                f"student.config: {key} is {known} of {teacher.model_type} configurations, and {value!r} is none",
                "correct its name or its value",
            )
        setattr(config, key, value)
    setattr(config, LINEAGE, {"layer_map": list(plan.layer_map), "teacher": teacher.content_hash})
    return config


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
