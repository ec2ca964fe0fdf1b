"""Distillation: the student learns to answer, and to see, as the teacher does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert.compress.batches import Examples, digest, encode, pad
from edgebert.compress.checkpoints import CHECKPOINT_EVERY
from edgebert.compress.families import set_dropout
from edgebert.compress.folder import (
    copy_licence,
    hugging_face,
    load_model,
    new_folder,
    save_model,
    special_tokens,
    tokenizer_json,
)
from edgebert.compress.losses import LOSSES, READ_HIDDEN, Outputs, Pair, total
from edgebert.compress.noise import Noise
from edgebert.compress.student import Student, load_student
from edgebert.compress.vocabulary import all_pieces, id_map
from edgebert.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.compress.training import Batch
    from edgebert.progress import Progress
    from edgebert.recipe import DistillSpec
    from edgebert.tasks import Record
    from edgebert.teacher import Teacher

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def distill(
    teacher: Teacher,
    start: Path,
    spec: DistillSpec,
    *,
    task: str = "text-classification",
    layer_map: Sequence[int] | None = None,
    train: Sequence[Record],
    validation: Sequence[Record],
    labels: Sequence[str],
    lengths: Sequence[int],
    out: Path,
    work: Path,
    progress: Progress,
    threads: int | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
) -> Student:
    """Train the student in `start` on the teacher's answers; `out` appears complete or not at all.

    The same inputs give the same files bit for bit, also when the process was ended in between and started anew: it
    goes on from the last checkpoint in `work`.

    Args:
        teacher: as `inspect` found it.
        start: the folder that `build_student` made.
        spec: the distill section of the recipe.
        task: the task's name.
        layer_map: the teacher's layer for each of the student's; default: those it was built from.
        train: the examples to learn from.
        validation: examples to report the accuracy on, at the end.
        labels: the labels in the teacher's order.
        lengths: sequence lengths; the largest cuts.
        out: the folder of the distilled student.
        work: a folder for checkpoints, empty again at the end.
        progress: told of each step.
        threads: of torch; results may differ between numbers of threads. Default: as torch is set.
        checkpoint_every: seconds between checkpoints.

    Raises:
        RecipeError: a loss that is not known.
        DataError: unknown labels, or a student that is not of this teacher.
        TrainingError: the loss is no longer a number.
    """
    hugging_face()
    from edgebert.compress import training

    weights = _checked(spec.losses)
    student = load_student(start)
    layers = tuple(layer_map) if layer_map is not None else student.layer_map
    examples = encode(train, start, task, labels, lengths[-1])
    watched = encode(validation, start, task, labels, lengths[-1]) if validation else None
    with training.repeatable(threads):
        model = load_model(start)
        dropout = set_dropout(model.config, 0.0)  # for a new model of this configuration, made here:
        model = _rebuilt(model)
        loss = _Loss(load_model(teacher.path, labels=labels), weights, layers, spec.temperature)
        collate = _Collate(examples, start, teacher, spec)
        training.train(
            training.Job(
                name="distil",
                model=model,
                loss=loss,
                collate=collate,
                lengths=[len(ids) for ids in examples.ids],
                settings=spec,
                identity={
                    "teacher": teacher.content_hash,
                    "start": student.content_hash,
                    "examples": digest(examples),
                    "losses": dict(weights),
                    "layers": list(layers),
                    "temperature": spec.temperature,
                    "noise": spec.noise,
                },
                work=work,
                progress=progress,
                checkpoint_every=checkpoint_every,
            )
        )
        if watched is not None:
            share = training.accuracy(model, watched, collate.pad_id)
            progress.say(f"distil: {share:.2%} of the validation split right")
    for key, value in dropout.items():
        setattr(model.config, key, value)
    with new_folder(out) as folder:
        save_model(model, folder)
        for name in _TOKENIZER_FILES:
            if (start / name).is_file():
                shutil.copyfile(start / name, folder / name)
        copy_licence(start, folder)
    shutil.rmtree(work, ignore_errors=True)
    return load_student(out)


class _Loss:
    """The weighted losses of one batch; the teacher answers without gradients."""

    def __init__(self, teacher: Any, weights: dict[str, float], layers: tuple[int, ...], temperature: float) -> None:
        self._teacher = teacher
        self._weights = weights
        self._layers = layers
        self._temperature = temperature
        self._hidden = any(weights.get(name) for name in READ_HIDDEN)

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        import torch

        mask = batch["attention_mask"]
        with torch.no_grad():
            teacher = self._outputs(self._teacher.to(mask.device), batch["teacher_ids"], mask)
        student = self._outputs(model, batch["input_ids"], mask)
        pair = Pair(student, teacher, mask, batch["labels"], self._layers, self._temperature)
        return total(pair, self._weights)

    def _outputs(self, model: Any, ids: Tensor, mask: Tensor) -> Outputs:
        found = model(input_ids=ids, attention_mask=mask, output_hidden_states=self._hidden)
        return Outputs(found.logits, tuple(found.hidden_states) if self._hidden else ())


class _Collate:
    """Batches for both models: the same noised pieces, each in its own numbering."""

    def __init__(self, examples: Examples, start: Path, teacher: Teacher, spec: DistillSpec) -> None:
        own = tokenizer_json(start)
        pieces = all_pieces(own)
        specials = special_tokens(start, own)
        special = {pieces[token] for token in specials.values()}
        self._examples = examples
        self._to_teacher = id_map(pieces, all_pieces(tokenizer_json(teacher.path)))
        self.pad_id = pieces[specials["pad_token"]]
        self._noise = Noise(
            rate=spec.noise,
            seed=spec.seed,
            mask_id=pieces.get(specials.get("mask_token", "")),
            candidates=np.array(sorted(set(pieces.values()) - special), dtype=np.int64),
            special=frozenset(special),
        )

    def __call__(self, pairs: Sequence[tuple[int, int]]) -> Batch:
        import torch

        rows = [self._noise.apply(self._examples.ids[i], epoch, i) for epoch, i in pairs]
        ids, mask = pad(rows, self.pad_id)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "teacher_ids": torch.from_numpy(self._to_teacher[ids.numpy()]),
            "labels": torch.from_numpy(self._examples.labels[[i for _, i in pairs]]),
        }


def _checked(losses: dict[str, float]) -> dict[str, float]:
    """The weights that are not 0, for losses that exist."""
    unknown = sorted(set(losses) - set(LOSSES))
    if unknown:
        raise RecipeError(f"distill.losses: {unknown[0]!r} is no loss", f"known: {', '.join(LOSSES)}")
    weights = {name: weight for name, weight in losses.items() if weight}
    if not weights:
        raise RecipeError("distill.losses are all 0", "give one of them a weight: losses: {logits: 1, hidden: 1}")
    return weights


def _rebuilt(model: Any) -> Any:
    """The same weights in a model made from its configuration as it is now."""
    fresh = type(model)(model.config)
    fresh.load_state_dict(model.state_dict(), strict=True)
    return fresh
