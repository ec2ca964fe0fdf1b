"""Augmented texts: what changes, what must not, and that the same comes about again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_tasks import LABELS, SINGLE, TAGS, TASKS, records_for

from edgebert.compress.augment import Augmenter
from edgebert.compress.batches import Examples, Ragged, digest, encode
from edgebert.compress.copies import Copies
from edgebert.compress.distill import distill
from edgebert.compress.objectives import IGNORED
from edgebert.compress.student import Student, build_student
from edgebert.compress.words import Lexicon, lexicon
from edgebert.errors import RecipeError
from edgebert.progress import SILENT
from edgebert.recipe import AugmentSpec, DistillSpec, StudentSpec
from edgebert.tasks import Task
from edgebert.tasks.question_answering import QuestionAnswering
from edgebert.tasks.token_classification import TokenClassification
from edgebert.teacher import Teacher

Records = list[dict[str, str]]
ALL = {"typos": 0.4, "pieces": 0.3}


def texts(lexicon: Lexicon, examples: Examples) -> list[str]:
    """The words of each text, with spaces between them."""
    return [" ".join(word.letters for word in lexicon.words(0, row.tolist())) for row in examples.ids]


def examples_of(teacher: Teacher, records: Records, task: Task, length: int = 32) -> Examples:
    labels = () if not task.labelled else TAGS if task.per_token else LABELS
    return encode(records_for(task, records), teacher.path, task, labels, length)


def augmenter(teacher: Teacher, task: Task = SINGLE, length: int = 32, seed: int = 0, **spec: Any) -> Augmenter:
    labels = TAGS if task.per_token else LABELS
    return Augmenter(AugmentSpec(**spec), seed, lexicon(teacher.path), task, labels, length)


def test_a_text_follows_from_seed_copy_and_number(teacher: Teacher, records: Records) -> None:
    examples = examples_of(teacher, records, SINGLE)
    first = augmenter(teacher, **ALL).copy(examples, 2, SILENT)
    assert digest(first) == digest(augmenter(teacher, **ALL).copy(examples, 2, SILENT))
    for seed, copy in ((0, 3), (1, 2)):
        other = augmenter(teacher, seed=seed, **ALL).copy(examples, copy, SILENT)
        assert digest(first) != digest(other) != digest(examples)
    half = Examples(Ragged(examples.ids.flat, examples.ids.ends[:40]), None, examples.targets[:40])
    part = augmenter(teacher, **ALL).copy(half, 2, SILENT)  # whatever other texts there are
    assert [row.tolist() for row in part.ids] == [row.tolist() for row in first.ids][:40]


def test_smaller_pieces_spell_the_same_words(teacher: Teacher, records: Records) -> None:
    known, examples = lexicon(teacher.path), examples_of(teacher, records, SINGLE)
    found = augmenter(teacher, pieces=0.5).copy(examples, 0, SILENT)
    assert texts(known, found) == texts(known, examples)
    assert len(found.ids.flat) > 1.2 * len(examples.ids.flat)
    whole = augmenter(teacher, pieces=1.0).copy(examples, 0, SILENT)
    letters = [known.names[token].removeprefix(known.prefix) for token in whole.ids.flat if token not in known.special]
    assert set(map(len, letters)) == {1}


def test_the_shares_are_kept_to(teacher: Teacher, records: Records) -> None:
    known, examples = lexicon(teacher.path), examples_of(teacher, records, SINGLE)
    mistyped = augmenter(teacher, typos=0.25).copy(examples, 0, SILENT)
    before, after = (" ".join(texts(known, part)).split() for part in (examples, mistyped))
    assert len(before) == len(after)
    long = [(one, other) for one, other in zip(before, after, strict=True) if len(one) > 2 and one.isalpha()]
    assert 0.18 < np.mean([one != other for one, other in long]) < 0.32
    short = [(one, other) for one, other in zip(before, after, strict=True) if len(one) <= 2 or not one.isalpha()]
    assert all(one == other for one, other in short)


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_every_task_keeps_its_frame_its_types_and_its_targets(
    kind: str, make_teacher: Callable[..., Teacher], records: Records
) -> None:
    task = TASKS[kind]
    taught = make_teacher(task=task)
    known, examples = lexicon(taught.path), examples_of(taught, records, task)
    found = augmenter(taught, task, **ALL).copy(examples, 1, SILENT)
    assert len(found) == len(examples)
    for i, (before, after) in enumerate(zip(examples.ids, found.ids, strict=True)):
        assert [t for t in before.tolist() if t in known.frame] == [t for t in after.tolist() if t in known.frame]
        assert len(after) <= 32
        if examples.types is not None:
            assert found.types is not None
            ends = [np.flatnonzero(row == known.ids["[SEP]"]) for row in (before, after)]
            assert len(found.types[i]) == len(after)
            assert found.types[i].tolist() == [0] * (ends[1][0] + 1) + [1] * (len(after) - ends[1][0] - 1)
    if not task.per_token:
        assert np.array_equal(found.targets, examples.targets, equal_nan=kind != "single-label")


def test_words_keep_their_labels(make_teacher: Callable[..., Teacher], records: Records) -> None:
    """Of each word the first piece has its label, and the others that of being inside."""
    task = TokenClassification()
    taught = make_teacher(task=task)
    rows = [
        {
            "tokens": (words := r["text"].split()),
            "tags": [TAGS[1 + 2 * (n % 2)] if n % 3 else "O" for n in range(len(words))],
        }
        for r in records
    ]
    known, examples = lexicon(taught.path), encode(rows, taught.path, task, TAGS, 64)
    found = augmenter(taught, task, length=64, typos=0.5, pieces=0.5).copy(examples, 0, SILENT)
    changed = 0
    for i in range(len(examples)):
        words = [known.words(0, part.ids[i].tolist()) for part in (examples, found)]
        assert len(words[0]) == len(words[1])
        for one, other in zip(*words, strict=True):
            labels = found.targets[i][other.first : other.end].tolist()
            first = examples.targets[i][one.first]
            inside = {1: 2, 3: 4}.get(first, first)
            assert labels == [first] + [inside] * (other.end - other.first - 1)
            changed += other.end - other.first > one.end - one.first
        assert found.targets[i][0] == found.targets[i][-1] == IGNORED
    assert changed > 100


def test_answers_stay_where_they_are(make_teacher: Callable[..., Teacher], records: Records) -> None:
    task = QuestionAnswering()
    taught = make_teacher(task=task)
    known, examples = lexicon(taught.path), examples_of(taught, records, task, 64)
    found = augmenter(taught, task, length=64, pieces=0.5).copy(examples, 0, SILENT)

    def answer(part: Examples, i: int) -> str:
        first, last = part.targets[i]
        return "".join(known.names[token].removeprefix(known.prefix) for token in part.ids[i][first : last + 1])

    moved = 0
    for i in range(len(examples)):
        assert answer(found, i) == answer(examples, i)
        moved += bool((found.targets[i] != examples.targets[i]).any())
    assert moved > 50


def test_what_grows_too_long_loses_its_end(make_teacher: Callable[..., Teacher], records: Records) -> None:
    task = QuestionAnswering()
    taught = make_teacher(task=task)
    examples = examples_of(taught, records, task, 24)
    known = lexicon(taught.path)
    found = augmenter(taught, task, length=24, pieces=1.0).copy(examples, 0, SILENT)
    assert max(found.ids.lengths) == 24
    lost = 0
    for i in range(len(found)):
        row, (first, last) = found.ids[i].tolist(), found.targets[i].tolist()
        assert row[0] == known.ids["[CLS]"] and row[-1] == known.ids["[SEP]"]
        assert 0 <= first <= last < len(row)
        lost += (first, last) == (0, 0) != tuple(examples.targets[i].tolist())
    assert lost > 0


def test_unknown_and_masked_words_stay(teacher: Teacher) -> None:
    known = lexicon(teacher.path)
    records = [{"text": "please \u4e2d\u6587 [MASK] the lamp", "label": "lights"}]
    examples = encode(records, teacher.path, SINGLE, LABELS, 32)
    found = augmenter(teacher, typos=1.0, pieces=1.0).copy(examples, 0, SILENT)
    for name in ("[UNK]", "[MASK]"):
        assert (found.ids.flat == known.ids[name]).sum() == (examples.ids.flat == known.ids[name]).sum() > 0


class Counting(Augmenter):
    """Counts the copies that are made."""

    made: list[int] = []  # noqa: RUF012 (one for all)

    def copy(self, examples: Examples, number: int, progress: Any) -> Examples:
        self.made.append(number)
        return super().copy(examples, number, progress)


def copies_in(folder: Path, teacher: Teacher, examples: Examples, count: int | None) -> Copies:
    maker = Counting(AugmentSpec(**ALL), 0, lexicon(teacher.path), SINGLE, LABELS, 32)
    return Copies(examples, maker, count, folder, {"name": "x"}, SILENT)


def test_copies_are_made_once_and_read_by_a_run_that_goes_on(
    teacher: Teacher, records: Records, tmp_path: Path
) -> None:
    examples = examples_of(teacher, records, SINGLE)
    Counting.made.clear()
    first = copies_in(tmp_path, teacher, examples, 3)
    hashes = [digest(first(copy)) for copy in (0, 1, 2, 0)]
    assert Counting.made == [0, 1, 2] and hashes[0] == hashes[3] != hashes[1]
    again = copies_in(tmp_path, teacher, examples, 3)
    assert [digest(again(copy)) for copy in (0, 1, 2, 0)] == hashes
    assert Counting.made == [0, 1, 2]
    assert again.lengths(2).tolist() == [again(0).ids.lengths.tolist(), again(1).ids.lengths.tolist()]
    for file in tmp_path.iterdir():  # half a file is none
        file.write_bytes(file.read_bytes()[:-200])
    assert [digest(copies_in(tmp_path, teacher, examples, 3)(copy)) for copy in (0, 1)] == hashes[:2]
    assert Counting.made == [0, 1, 2, 0, 1]


def test_of_epochs_only_the_last_is_held(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    copies = copies_in(tmp_path, teacher, examples_of(teacher, records, SINGLE), None)
    found = [digest(copies(epoch)) for epoch in range(3)]
    assert len(set(found)) == 3
    assert len(copies._held) == len(list(tmp_path.iterdir())) == 1


class Stopped:
    """Ends the training at its n-th step."""

    def __init__(self, after: int) -> None:
        self.left = after

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        self.left -= name != "augment"
        if self.left == 0:
            raise KeyboardInterrupt


def run(teacher: Teacher, folder: Path, records: Sequence[Any], stop: int = -1, **spec: Any) -> Student:
    settings = {"epochs": 4, "batch_size": 8, "layerwise_epochs": 1, **spec}
    return distill(
        teacher, folder / "start", DistillSpec(**settings), train=records, validation=[], labels=teacher.labels,
        lengths=(16, 32), out=folder / "out", work=folder / "work", progress=Stopped(stop), threads=1,
        checkpoint_every=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("copies", [None, 2])
def test_a_training_that_is_ended_goes_on_to_the_same_bytes(
    copies: int | None, teacher: Teacher, records: Records, tmp_path: Path
) -> None:
    hashes = []
    for name, stops in (("undisturbed", []), ("ended", [5, 20, 25])):
        folder = tmp_path / name
        build_student(
            teacher, StudentSpec(layers=2), texts=[r["text"] for r in records], max_length=32, out=folder / "start"
        )
        augment = {"words": 0.3, **ALL}
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                run(teacher, folder, records, stop, augment=augment, copies=copies)
        hashes.append(run(teacher, folder, records, augment=augment, copies=copies).content_hash)
    assert hashes[0] == hashes[1]
    plain = tmp_path / "plain"
    build_student(
        teacher, StudentSpec(layers=2), texts=[r["text"] for r in records], max_length=32, out=plain / "start"
    )
    assert run(teacher, plain, records, copies=copies).content_hash != hashes[0]


def test_another_tokenizer_is_refused(teacher: Teacher, tmp_path: Path) -> None:
    tokenizer = json.loads((teacher.path / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [["[UNK]", 0.0]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    with pytest.raises(RecipeError, match="needs a WordPiece tokenizer, and this one is Unigram"):
        lexicon(tmp_path)
