"""Making a teacher: from a pretrained body, or from random weights and a tokenizer of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert import parallel, tasks
from edgebert.compress.batches import Examples, batch_of, digest, encode
from edgebert.compress.checkpoints import CHECKPOINT_EVERY
from edgebert.compress.folder import (
    SINGLE_LABEL,
    copy_licence,
    hugging_face,
    load_model,
    new_folder,
    save_model,
    special_tokens,
    tokenizer_json,
)
from edgebert.compress.losses import Pair, total
from edgebert.compress.noise import Noise
from edgebert.compress.objectives import objective
from edgebert.compress.vocabulary import SPECIAL_ROLES, all_pieces, clean, specials_of, write_tokenizer
from edgebert.errors import DataError, RecipeError
from edgebert.tasks import Task, texts_of
from edgebert.teacher import Teacher, check_body, inspect

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.compress.sharing import Share
    from edgebert.compress.training import Batch
    from edgebert.progress import Progress
    from edgebert.recipe import FineTuneSpec, ScratchSpec
    from edgebert.tasks import Record

#: Share of word pieces masked in training: what a teacher has seen damaged, it can explain to a student.
NOISE = 0.1


def fine_tune(
    spec: FineTuneSpec,
    *,
    task: Task = SINGLE_LABEL,
    labels: Sequence[str],
    train: Sequence[Record],
    validation: Sequence[Record],
    lengths: Sequence[int],
    out: Path,
    work: Path,
    progress: Progress,
    body: Path | None = None,
    threads: int | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
) -> Teacher:
    """Train a model on the labels of the data; `out` appears complete or not at all.

    Bit for bit repeatable, and resumable from `work`, as distillation is.

    Args:
        spec: the teacher section of the recipe.
        task: what the model is to do.
        labels: the labels in their order.
        train: the examples to learn from; with `spec.scratch` the tokenizer too.
        validation: examples to report the accuracy on, at the end.
        lengths: sequence lengths; the largest cuts.
        out: the teacher's folder.
        work: a folder for checkpoints, gone at the end.
        progress: told of each step.
        body: the folder that `spec.base` stands for; without `spec.scratch`.
        threads: of torch; results may differ between numbers of threads. Default: as torch is set.
        checkpoint_every: seconds between checkpoints.

    Raises:
        DataError: a body that cannot be used, or labels in the data that are not in `labels`.
        TrainingError: the loss is no longer a number.
    """
    hugging_face()
    from edgebert.compress import training

    if objective(task).label is None:
        raise RecipeError(f"a teacher for {task.name} cannot be fine-tuned here", "give a trained one: teacher: FOLDER")
    work.mkdir(parents=True, exist_ok=True)
    with training.repeatable(threads):
        if spec.scratch is not None:
            start = _from_scratch(spec.scratch, task, train, labels, lengths[-1], spec.seed)
        else:
            assert body is not None, "the caller resolves spec.base"
            start = _from_body(body, task, labels, lengths[-1], spec.seed)
        if getattr(task, "problem", "") == "regression":  # else the first epochs go into finding the mean
            start.model.classifier.bias.data.fill_(float(np.mean([record["label"] for record in train])))
        parallel.alone(lambda: _save_start(start, work / "start", lengths[-1]))
        examples = encode(train, work / "start", task, labels, lengths[-1])
        collate = _Collate(examples, start, spec.seed, task)
        training.train(
            training.Job(
                name="fine-tune",
                model=start.model,
                loss=_Loss(task),
                collate=collate,
                lengths=examples.ids.lengths,
                settings=spec,
                identity=start.identity
                | {"examples": digest(examples), "labels": list(labels), "task": tasks.settings_of(task)},
                work=work,
                progress=progress,
                checkpoint_every=checkpoint_every,
            )
        )
        if validation and parallel.rank() == 0:
            value = training.evaluate(start.model, task, validation, work / "start", labels, lengths[-1])
            progress.say(f"fine-tune: {task.metric} {value:.2%} on the validation split")

    def save() -> None:
        with new_folder(out) as folder:
            save_model(start.model, folder)
            write_tokenizer(folder, start.tokenizer, start.specials, start.positions)
            if start.licence_from is not None:
                copy_licence(start.licence_from, folder)
        shutil.rmtree(work, ignore_errors=True)

    parallel.alone(save)
    return inspect(out, name=out.name, task=task, labels=labels)


def train_wordpiece(texts: Iterable[str], size: int) -> dict[str, Any]:
    """The content of a tokenizer.json: lower-case WordPiece with at most `size` pieces, trained on `texts`.

    Raises:
        DataError: `size` does not even hold the characters of the texts.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    texts = list(texts)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    characters = sorted({c for text in texts for c in tokenizer.normalizer.normalize_str(text) if not c.isspace()})
    specials = [f"[{role[:-6].upper()}]" for role in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")]
    if size < len(specials) + 2 * len(characters):
        raise DataError(
            f"a vocabulary of {size} is too small for the {len(characters)} different characters of the texts",
            f"make teacher.scratch.vocabulary at least {len(specials) + 2 * len(characters)}",
        )
    # The trainer numbers the inner characters in the order of a hash table, and breaks ties by number: another
    # vocabulary in each process. Handed in as special, they are numbered here.
    inner = [f"##{c}" for c in characters]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=specials + inner, initial_alphabet=characters, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    vocabulary = {piece: index for index, (piece, _) in enumerate(pieces)}
    fresh = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    fresh.normalizer = tokenizer.normalizer
    fresh.pre_tokenizer = tokenizer.pre_tokenizer
    fresh.decoder = decoders.WordPiece()
    fresh.add_special_tokens(specials)
    fresh.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    trained: dict[str, Any] = json.loads(fresh.to_str())
    return trained


@dataclass(frozen=True)
class _Start:
    """Where a fine-tuning begins; `positions` is the number of tokens that the model can read."""

    model: Any
    tokenizer: dict[str, Any]
    specials: dict[str, str]
    positions: int
    identity: dict[str, Any]
    licence_from: Path | None = None


def _from_scratch(
    shape: ScratchSpec, task: Task, train: Sequence[Record], labels: Sequence[str], max_length: int, seed: int
) -> _Start:
    import torch

    from edgebert.compress.heads import head_settings

    transformers = hugging_face()
    tokenizer = train_wordpiece((text for record in train for text in texts_of(record)), shape.vocabulary)
    pieces = all_pieces(tokenizer)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=max_length,
        pad_token_id=pieces["[PAD]"],
        **head_settings(task, labels),
    )
    torch.manual_seed(seed)
    model = getattr(transformers, task.head.replace("AutoModel", "Bert"))(config)
    identity = {"scratch": config.to_dict() | {"dtype": "float32"}, "pieces": pieces}
    return _Start(model, tokenizer, specials_of(tokenizer), max_length, json.loads(json.dumps(identity, default=str)))


def _from_body(path: Path, task: Task, labels: Sequence[str], max_length: int, seed: int) -> _Start:
    import torch

    body = check_body(path, path.name)
    if max_length > body.positions:
        raise DataError(
            f"lengths goes up to {max_length}, but {path.name} reads at most {body.positions} tokens",
            f"make the largest length {body.positions} or less",
        )
    torch.manual_seed(seed)  # the new head's weights
    model = load_model(path, task, labels=labels, body_only=True)
    tokenizer = clean(tokenizer_json(path))
    return _Start(model, tokenizer, special_tokens(path, tokenizer), body.positions, {"base": body.content_hash}, path)


def _save_start(start: _Start, path: Path, positions: int) -> None:
    with new_folder(path) as folder:
        write_tokenizer(folder, start.tokenizer, start.specials, positions)


class _Collate:
    """Batches of noised word pieces with their labels."""

    def __init__(self, examples: Examples, start: _Start, seed: int, task: Task) -> None:
        pieces = all_pieces(start.tokenizer)
        special = {pieces[start.specials[role]] for role in SPECIAL_ROLES if role in start.specials}
        self.pad_id = pieces[start.specials["pad_token"]]
        self._examples, self._task = examples, task
        self._noise = Noise(
            rate=NOISE,
            seed=seed,
            mask_id=pieces.get(start.specials.get("mask_token", "")),
            candidates=np.array(sorted(set(pieces.values()) - special), dtype=np.int64),
            special=frozenset(special),
        )

    def __call__(self, pairs: Sequence[tuple[int, int]]) -> Batch:
        rows = [self._noise.apply(self._examples.ids[i].tolist(), epoch, i) for epoch, i in pairs]
        return batch_of([(self._examples, i) for _, i in pairs], rows, self.pad_id, self._task)


class _Loss:
    """The label loss of the task, a scalar."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, model: Any, batch: Batch, share: Share | None = None) -> Tensor:
        from edgebert.compress.training import accepts_types

        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
        if "token_type_ids" in batch and accepts_types(model):
            given["token_type_ids"] = batch["token_type_ids"]
        found = model(**given)
        outputs = {name: found[name].float() for name in self._task.outputs}
        mask, targets = batch["attention_mask"], batch["targets"]
        return total(Pair(objective(self._task), outputs, {}, mask, targets, (), 1.0, share=share), {"label": 1.0})
