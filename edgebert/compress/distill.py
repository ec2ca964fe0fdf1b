"""Distillation: the student learns to answer, and to see, as the teacher does."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert import parallel, tasks
from edgebert.artifact import sha256
from edgebert.compress.batches import batch_of, digest, encode
from edgebert.compress.checkpoints import CHECKPOINT_EVERY
from edgebert.compress.copies import Copies, copies_of
from edgebert.compress.distill_checks import check_shapes, checked
from edgebert.compress.families import FAMILIES, set_dropout
from edgebert.compress.folder import (
    SINGLE_LABEL,
    copy_licence,
    hugging_face,
    load_model,
    new_folder,
    save_model,
    special_tokens,
    tokenizer_json,
    weight_files,
)
from edgebert.compress.imitation import Imitation
from edgebert.compress.losses import ANSWERS
from edgebert.compress.noise import Noise
from edgebert.compress.objectives import objective
from edgebert.compress.projection import channels_of, projected
from edgebert.compress.student import Student, load_student
from edgebert.compress.teacher_cache import Recall, seen_again
from edgebert.compress.vocabulary import all_pieces, id_map
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.compress.training import Batch
    from edgebert.progress import Progress
    from edgebert.recipe import DistillSpec, QatSpec
    from edgebert.tasks import Record
    from edgebert.teacher import Teacher

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def distill(
    teacher: Teacher,
    start: Path,
    spec: DistillSpec,
    *,
    task: Task = SINGLE_LABEL,
    layer_map: Sequence[int] | None = None,
    train: Iterable[Record],
    validation: Sequence[Record],
    labels: Sequence[str],
    lengths: Sequence[int],
    out: Path,
    work: Path,
    progress: Progress,
    threads: int | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    masked_lm: Path | None = None,
    qat: QatSpec | None = None,
) -> Student:
    """Train the student in `start` on the teacher's answers; `out` appears complete or not at all.

    The same inputs give the same files bit for bit, also when the process was ended in between and started anew: it
    goes on from the last checkpoint in `work`.

    Args:
        teacher: as `inspect` found it.
        start: the folder that `build_student` made.
        spec: the distill section of the recipe.
        task: what both models do.
        layer_map: the teacher's layer for each of the student's; default: those it was built from.
        train: the examples to learn from, read once.
        validation: examples to report the accuracy on, at the end.
        labels: the labels in the teacher's order.
        lengths: sequence lengths; the largest cuts.
        out: the folder of the distilled student.
        work: a folder for checkpoints, empty again at the end.
        progress: told of each step.
        threads: of torch; results may differ between numbers of threads. Default: as torch is set.
        checkpoint_every: seconds between checkpoints.
        masked_lm: the folder of the model that `augment.words` asks; default: the teacher.
        qat: the steps that follow in which the student computes as its INT8 artifacts will; default: none.

    Raises:
        RecipeError: a loss that is not known, or a model or tokenizer that augmentation cannot use.
        DataError: unknown labels, or a student that is not of this teacher.
        TrainingError: the loss is no longer a number.
    """
    hugging_face()
    from edgebert.compress import qat as quantization
    from edgebert.compress import training
    from edgebert.compress.heads import callable_model, rebuilt

    weights = checked(spec, task)
    student = load_student(start)
    layers = tuple(layer_map) if layer_map is not None else student.layer_map
    examples = encode(train, start, task, labels, lengths[-1])
    with training.repeatable(threads):
        model = load_model(start, task)
        dropout = set_dropout(model.config, 0.0)  # for a new model of this configuration, made here:
        model = rebuilt(model)
        source = load_model(teacher.path, task, labels=labels or None)
        channels = channels_of(start)
        check_shapes(weights, spec, model.config, source.config, channels)
        identity = {
            "teacher": teacher.content_hash,
            "start": student.content_hash,
            "task": tasks.settings_of(task) | {"name": task.name},
            "examples": digest(examples),
            "losses": dict(weights),
            "layers": list(layers),
            "temperature": spec.temperature,
            "noise": spec.noise,
            "relation_heads": spec.relation_heads,
            "focus": spec.focus,
            "entity_weight": spec.entity_weight,
            "copies": spec.copies,
            "cache_gb": spec.cache_gb if spec.copies else None,
        }
        if spec.augment is not None:
            found = [sha256(file) for file in weight_files(masked_lm, masked_lm.name)] if masked_lm else None
            identity["augment"] = spec.augment.model_dump() | {
                "model": found,
                "seed": spec.seed,
                "labels": list(labels),
            }
        copies = copies_of(
            examples, start, teacher.path, source, spec, task=task, labels=labels, max_length=lengths[-1],
            masked_lm=masked_lm, work=work, identity=identity, progress=progress,
        )  # fmt: skip
        collate = _Collate(copies, start, teacher, spec, task)
        family = FAMILIES[student.model_type] if task.has_head else replace(FAMILIES[student.model_type], body="")
        whole = Imitation(
            source, task, weights, family, layers, spec.temperature, spec.relation_heads, spec.focus,
            spec.entity_weight, labels.index("O") if "O" in labels else None, channels=channels,
        )  # fmt: skip

        recall = _recall(whole, spec, copies, collate, work, identity, progress)
        whole = replace(whole, recall=recall)

        def job(name: str, settings: Any, loss: Imitation) -> training.Job:
            return training.Job(
                name=name, model=model, loss=loss, collate=collate, lengths=examples.ids.lengths,
                settings=settings, identity=identity | {"stage": name}, work=work / name, progress=progress,
                checkpoint_every=checkpoint_every,
            )  # fmt: skip

        work.mkdir(parents=True, exist_ok=True)
        with projected(model, source.config.hidden_size, start, spec.seed):
            if spec.layerwise_epochs:
                alone = spec.model_copy(update={"epochs": spec.layerwise_epochs})
                _once(job("layerwise", alone, replace(whole, weights={"hidden": 1.0}, forced=True)))
            if spec.intermediate_epochs:
                inside = {name: weight for name, weight in weights.items() if name not in ANSWERS}
                early = spec.model_copy(update={"epochs": spec.intermediate_epochs})
                _once(job("intermediate", early, replace(whole, weights=inside)))
            (_once if qat else training.train)(job("distil", spec, whole))
            quantizers = None
            if qat is not None:
                batches = quantization.calibration_batches(collate, len(examples), spec.batch_size)
                quantizers = quantization.Quantizers(model, family, task, batches)
                settings = quantization.settings_of(spec, qat, len(examples))
                training.train(job("qat", settings, replace(whole, recall=None)))
        if recall is not None:
            recall.close()
        if validation and parallel.rank() == 0:
            answering = callable_model(model, task)
            value = training.evaluate(answering, task, validation, start, labels, lengths[-1])
            if value is not None:
                how = " as rounded to INT8" if quantizers is not None else ""
                progress.say(f"distil: {task.metric} {value:.2%} on the validation split{how}")
        ranges = quantizers.settle() if quantizers is not None else None
    for key, value in dropout.items():
        setattr(model.config, key, value)
    parallel.alone(lambda: _save(model, start, out, work, ranges))
    return load_student(out)


def _save(model: Any, start: Path, out: Path, work: Path, ranges: Mapping[str, tuple[float, float]] | None) -> None:
    from edgebert.compress import qat as quantization

    with new_folder(out) as folder:
        save_model(model, folder)
        for name in _TOKENIZER_FILES:
            if (start / name).is_file():
                shutil.copyfile(start / name, folder / name)
        copy_licence(start, folder)
        if ranges is not None:
            quantization.save(ranges, folder)
    shutil.rmtree(work, ignore_errors=True)


def _once(job: Any) -> None:
    """Run a training whose result is kept beside it: a later stage that is resumed starts from there."""
    from safetensors.torch import load_file, save_file

    from edgebert.compress import training

    kept = job.work.parent / f"{job.name}-{training.fingerprint(job)[:16]}.safetensors"

    def save() -> None:
        half = kept.with_suffix(".half")
        save_file({name: weight.contiguous().clone() for name, weight in job.model.state_dict().items()}, half)
        half.replace(kept)

    if not parallel.first(kept.is_file):
        training.train(job)
        parallel.alone(save)
    job.model.load_state_dict(load_file(kept), strict=True)


def _recall(
    whole: Imitation, spec: DistillSpec, copies: Copies, collate: _Collate, work: Path,
    identity: Mapping[str, Any], progress: Progress,
) -> Recall | None:  # fmt: skip
    """What keeps the teacher's answers between epochs; None where each is seen once."""
    if spec.copies is None:
        return None
    kept = seen_again(spec.copies, (spec.layerwise_epochs, spec.intermediate_epochs, spec.epochs))
    if not kept:
        return None
    also = {"hidden": 1.0} if spec.layerwise_epochs else {}
    asked = replace(whole, weights={**also, **whole.weights})
    first = (0,) if whole.weights.get("embedding") else ()
    lengths, probe = copies.lengths(kept), collate([(0, 0)])

    def recalling() -> Recall:
        return Recall(
            asked.ask, work / "teacher", lengths=lengths, copies=kept, budget=spec.cache_gb * 1e9,
            hidden=(*first, *sorted({layer + 1 for layer in whole.layers})), probe=probe,
            per_token=objective(whole.task).answers_per_token, identity={**identity, "settings": spec.model_dump()},
        )  # fmt: skip

    recall = parallel.in_turn(recalling)
    size = recall.size / 1e9
    progress.say(f"distil: the teacher's answers to {recall.share:.0%} of the texts are kept, {size:.2f} GB at most")
    return recall


class _Collate:
    """Batches for both models: the same noised pieces, each in its own numbering.

    With `distill.copies` the noise of an epoch is that of the copy whose turn it is. `rows` are (copy, example).
    """

    def __init__(self, copies: Copies, start: Path, teacher: Teacher, spec: DistillSpec, task: Task) -> None:
        own = tokenizer_json(start)
        pieces = all_pieces(own)
        specials = special_tokens(start, own)
        special = {pieces[token] for token in specials.values()}
        self._texts, self._task, self._copies = copies, task, spec.copies
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

        pairs = [(epoch % (self._copies or epoch + 1), i) for epoch, i in pairs]
        texts = [(self._texts(copy), i) for copy, i in pairs]
        rows = [
            self._noise.apply(examples.ids[i].tolist(), copy, i)
            for (examples, i), (copy, _) in zip(texts, pairs, strict=True)
        ]
        batch = batch_of(texts, rows, self.pad_id, self._task)
        known = {"teacher_ids": torch.from_numpy(self._to_teacher[batch["input_ids"].numpy()])}
        return batch | known | {"rows": torch.tensor(pairs)}
