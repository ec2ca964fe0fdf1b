"""What the teacher said, kept on disk: the same as asking it, once for each copy, whatever happens to the file."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tasks import LABELS, SINGLE, TAGS, TASKS, records_for

from edgebert.compress import distill as module
from edgebert.compress.batches import encode
from edgebert.compress.copies import Copies
from edgebert.compress.families import FAMILIES
from edgebert.compress.folder import load_model
from edgebert.compress.imitation import Imitation, Seen
from edgebert.compress.student import Student, build_student
from edgebert.compress.teacher_cache import Recall, seen_again
from edgebert.errors import TrainingError
from edgebert.progress import SILENT
from edgebert.recipe import DistillSpec, StudentSpec
from edgebert.tasks import Task, texts_of
from edgebert.teacher import Teacher

ALL = {"logits": 1.0, "logits_mse": 1.0, "hidden": 1.0, "embedding": 1.0, "attention_kl": 1.0, "relations": 1.0}
Records = list[dict[str, str]]


@pytest.mark.parametrize(
    ("copies", "epochs", "expected"),
    [(1, (0, 0, 1), 0), (1, (0, 0, 2), 1), (1, (1, 0, 1), 1), (2, (0, 0, 3), 1), (2, (0, 0, 4), 2), (3, (2, 0, 2), 2)],
)
def test_only_copies_that_are_seen_again_are_kept(copies: int, epochs: Sequence[int], expected: int) -> None:
    assert seen_again(copies, epochs) == expected


class Asked:
    """A teacher of random weights, what remembers it, and the number of texts that it was asked."""

    def __init__(self, teacher: Teacher, records: list[dict[str, Any]], folder: Path, task: Task, **spec: Any) -> None:
        settings = DistillSpec(**{"copies": 2, "epochs": 4, "losses": ALL, **spec})
        texts = [text for record in records for text in texts_of(record)]
        start = build_student(
            teacher, StudentSpec(layers=2), task=task, texts=texts, max_length=32, out=folder / "start"
        )
        labels = () if not task.labelled else TAGS if task.per_token else LABELS
        self.examples = encode(records, start.path, task, labels, 32)
        self.copies = Copies(self.examples, None, settings.copies, folder / "copies", {}, SILENT)
        self.collate = module._Collate(self.copies, start.path, teacher, settings, task)
        self.count, self.folder = 0, folder
        family = FAMILIES["bert"] if task.has_head else replace(FAMILIES["bert"], body="")
        self.student = load_model(start.path, task)
        self.whole = Imitation(load_model(teacher.path, task), task, settings.losses, family, start.layer_map)
        self.settings = settings

    def recall(self, **identity: Any) -> Recall:
        """Opened anew on the same file."""
        found = module._recall(
            self.whole, self.settings, self.copies, self.collate, self.folder, {"name": "x", **identity}, SILENT
        )
        assert found is not None
        ask = found._ask

        def counting(batch: Any) -> Seen:
            self.count += len(batch["input_ids"])
            return ask(batch)

        found._ask = counting
        return found


@pytest.fixture
def asked(teacher: Teacher, records: Records, tmp_path: Path) -> Asked:
    return Asked(teacher, records, tmp_path, SINGLE)


def tensors(seen: Seen, mask: torch.Tensor) -> Iterator[torch.Tensor]:
    """Everything that a loss reads, real tokens alone."""
    for found in seen.outputs.values():
        yield found[mask] if found.shape[:2] == mask.shape else found
    for state in seen.hidden:
        if state.numel():
            yield state[mask]
    for layer in seen.projections:
        yield from (part[mask] for part in (layer.query, layer.key, layer.value))


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_every_loss_of_every_task_is_as_if_the_teacher_were_asked(
    kind: str, make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path
) -> None:
    task = TASKS[kind]
    rows = records_for(task, records)
    asked = Asked(make_teacher(task=task), rows, tmp_path, task)
    recall = asked.recall()
    for pairs in ([(0, 4), (0, 50), (0, 7)], [(0, 7), (1, 4), (0, 50), (0, 4)], [(0, 50), (0, 4)]):
        batch = asked.collate(pairs)
        mask = batch["attention_mask"].bool()
        kept = asked.whole.ask(batch)
        wanted = list(tensors(Seen(kept.outputs, tuple(kept.hidden[i] for i in (0, 2, 4)), kept.projections), mask))
        found = list(tensors(recall(batch), mask))
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-3)
        loss = replace(asked.whole, recall=recall)(asked.student, batch)
        torch.testing.assert_close(loss, asked.whole(asked.student, batch), rtol=5e-3, atol=1e-3)
    assert asked.count == 3 + 4  # of the second batch all, though only one was new; of the third none


def test_a_file_opened_anew_knows_what_was_kept(asked: Asked) -> None:
    batch = asked.collate([(0, 1), (1, 2)])
    first = asked.recall()(batch)
    second = asked.recall()(asked.collate([(1, 2), (0, 30), (0, 1)]))
    assert asked.count == 2 + 3
    for one, other in ((0, 2), (1, 0)):
        assert first.outputs["logits"][one].tolist() == second.outputs["logits"][other].tolist()
    again = asked.recall()(batch)
    assert asked.count == 5
    for one_, other_ in zip(tensors(first, batch["attention_mask"].bool()),
                            tensors(again, batch["attention_mask"].bool()), strict=True):  # fmt: skip
        assert torch.equal(one_, other_)


def test_half_a_record_is_asked_for_again(asked: Asked) -> None:
    recall, batch = asked.recall(), asked.collate([(0, 1), (0, 2)])
    wanted = recall(batch)
    [file] = asked.folder.glob("teacher/*.bin")
    content = bytearray(file.read_bytes())
    at = int(recall._starts[0, 2]) + 9
    content[at : at + 4] = bytes(4)
    file.write_bytes(content)
    found = recall(batch)
    assert asked.count == 4
    assert torch.equal(found.outputs["logits"], wanted.outputs["logits"])
    recall(batch)
    assert asked.count == 4


def test_answers_to_another_training_are_not_taken(asked: Asked) -> None:
    batch = asked.collate([(0, 1), (0, 2)])
    asked.recall()(batch)
    [before] = asked.folder.glob("teacher/*.bin")
    asked.recall(name="y")(batch)
    [after] = asked.folder.glob("teacher/*.bin")
    assert after != before and asked.count == 4


def test_the_budget_holds_and_the_rest_is_asked_every_time(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    everything = Asked(teacher, records, tmp_path / "all", SINGLE).recall()
    half = everything.size / 2
    asked = Asked(teacher, records, tmp_path / "half", SINGLE, cache_gb=half / 1e9)
    recall = asked.recall()
    assert everything.share == 1.0 and 0.3 < recall.share < 0.7 and recall.size <= half
    batches = [asked.collate([(0, i) for i in range(start, start + 10)]) for start in range(0, 90, 10)]
    first = [recall(batch) for batch in batches]
    assert asked.count == 90
    second = [recall(batch) for batch in batches]
    assert asked.count == 90 + 90 - round(recall.share * 90)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.outputs["logits"], other.outputs["logits"])
    nothing = Asked(teacher, records, tmp_path / "none", SINGLE, cache_gb=0.0, losses={"logits": 1.0}).recall()
    assert nothing.share == 1.0  # answers alone are always kept
    assert Asked(teacher, records, tmp_path / "no", SINGLE, cache_gb=0.0).recall().share == 0.0


def test_a_disk_that_is_full(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recall = asked.recall()
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        recall(asked.collate([(0, 1)]))
    asked.settings = asked.settings.model_copy(update={"seed": 5})
    free = shutil.disk_usage(asked.folder)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(TrainingError, match="GB of disk"):
        asked.recall()


def test_states_too_large_for_half_precision(asked: Asked) -> None:
    with torch.no_grad():
        asked.whole.teacher.bert.encoder.layer[1].output.LayerNorm.weight.fill_(1e6)
    with pytest.raises(TrainingError, match="too large for half precision"):
        asked.recall()(asked.collate([(0, 1)]))


class Stopped:
    """Ends the training at its n-th step."""

    def __init__(self, after: int) -> None:
        self.left, self.said = after, ""

    def say(self, text: str) -> None:
        self.said += text + "\n"

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def run(teacher: Teacher, folder: Path, records: Records, stop: int = -1, **spec: Any) -> tuple[Student, str]:
    settings = {"epochs": 4, "copies": 2, "batch_size": 8, "layerwise_epochs": 1, **spec}
    progress = Stopped(stop)
    student = module.distill(
        teacher, folder / "start", DistillSpec(**settings), train=records, validation=[], labels=teacher.labels,
        lengths=(16, 32), out=folder / "out", work=folder / "work", progress=progress, threads=1, checkpoint_every=0.0,
    )  # fmt: skip
    return student, progress.said


def test_a_training_asks_once_and_ends_with_the_same_bytes_however_often_it_is_ended(
    teacher: Teacher, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, original = 0, Imitation.ask

    def counting(self: Imitation, batch: Any) -> Seen:
        nonlocal count
        count += len(batch["input_ids"])
        return original(self, batch)

    monkeypatch.setattr(Imitation, "ask", counting)
    hashes = []
    for name, stops in (("undisturbed", []), ("ended", [5, 20, 25])):
        texts = [record["text"] for record in records]
        build_student(teacher, StudentSpec(layers=2), texts=texts, max_length=32, out=tmp_path / name / "start")
        for stop in stops:  # in the layerwise epoch, in the first that fills the second copy, in one that only reads
            with pytest.raises(KeyboardInterrupt):
                run(teacher, tmp_path / name, records, stop)
            assert list((tmp_path / name / "work" / "teacher").iterdir())
        count = 0
        student, said = run(teacher, tmp_path / name, records)
        assert "100% of the texts are kept" in said
        assert not (tmp_path / name / "work").exists()
        # Two copies and the text that tells the shapes; the last run of the second has no more than a step to ask.
        assert count == 2 * 90 + 1 if name == "undisturbed" else count <= 1 + 8
        hashes.append(student.content_hash)
    assert hashes[0] == hashes[1]


def test_copies_without_anything_seen_again_keep_nothing(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    texts = [record["text"] for record in records]
    build_student(teacher, StudentSpec(layers=2), texts=texts, max_length=32, out=tmp_path / "start")
    _, said = run(teacher, tmp_path, records, copies=4, layerwise_epochs=0, max_steps=3)
    assert "kept" not in said
