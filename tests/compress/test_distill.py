"""Distillation: it learns, it repeats itself bit for bit, and it goes on where it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgebert.compress.distill import distill
from edgebert.compress.finetune import fine_tune
from edgebert.compress.folder import load_model
from edgebert.compress.student import Student, build_student
from edgebert.compress.training import evaluate
from edgebert.errors import DataError, RecipeError, TrainingError
from edgebert.progress import SILENT
from edgebert.recipe import DistillSpec, FineTuneSpec, ScratchSpec, StudentSpec
from edgebert.tasks.text_classification import TextClassification
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer

Records = list[dict[str, str]]
LENGTHS = (16, 32)
SPEC: dict[str, Any] = {"epochs": 2, "batch_size": 8, "lr": 1e-3}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, records: Records) -> Teacher:
    """A teacher that knows its labels, made by fine-tuning from scratch."""
    folder = tmp_path_factory.mktemp("taught")
    return fine_tune(
        FineTuneSpec(
            scratch=ScratchSpec(layers=4, hidden_size=32, heads=2, intermediate_size=64, vocabulary=200),
            epochs=30,
            batch_size=16,
            lr=2e-3,
        ),
        task=TextClassification(),
        labels=("lights", "music", "weather"),
        train=records,
        validation=records,
        lengths=LENGTHS,
        out=folder / "teacher",
        work=folder / "work",
        progress=SILENT,
        threads=1,
    )


def build(teacher: Teacher, records: Records, out: Path) -> Student:
    texts = [record["text"] for record in records]
    return build_student(teacher, StudentSpec(layers=2), texts=texts, max_length=LENGTHS[-1], out=out)


def run(teacher: Teacher, start: Path, records: Records, out: Path, **spec: Any) -> Student:
    return distill(
        teacher,
        start,
        DistillSpec(**SPEC | spec),
        train=records,
        validation=records[:10],
        labels=teacher.labels,
        lengths=LENGTHS,
        out=out,
        work=out.with_name(out.name + "-work"),
        progress=SILENT,
        threads=1,
    )


def test_the_student_learns_the_teachers_answers(taught: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(taught, records, tmp_path / "start")
    task = TextClassification()

    def share(folder: Path) -> float:
        found = evaluate(load_model(folder), task, records, folder, taught.labels, LENGTHS[-1])
        assert found is not None
        return found

    teacher_share = share(taught.path)
    student = run(taught, start.path, records, tmp_path / "out", epochs=8)
    assert teacher_share > 0.95
    assert share(student.path) >= teacher_share - 0.03
    assert student.layer_map == (1, 3)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (start.path / "tokenizer.json").read_bytes()
    assert not (tmp_path / "out-work").exists()
    # Dropout is off while it learns, but the folder says what the teacher said.
    config = json.loads((student.path / "config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.1


def test_twice_the_same_bytes_and_another_seed_others(taught: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(taught, records, tmp_path / "start").path
    first = run(taught, start, records, tmp_path / "a")
    torch.manual_seed(12345)  # the state of global generators must not matter
    np.random.seed(99)
    second = run(taught, start, records, tmp_path / "b")
    other = run(taught, start, records, tmp_path / "c", seed=1)
    assert first.content_hash == second.content_hash
    assert first.content_hash != other.content_hash


@pytest.mark.parametrize("changes", [{"noise": 0.5}, {"augment": {"words": 0.4, "typos": 0.4, "pieces": 0.4}}])
def test_noise_reaches_both_models_alike(
    taught: Teacher, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """A student that is the whole teacher stays at loss 0 under noise: both see the same pieces."""
    texts = [record["text"] for record in records]
    whole = build_student(taught, StudentSpec(layers=None), texts=texts, max_length=32, out=tmp_path / "start")
    seen: list[float] = []
    from edgebert.compress import imitation as module
    from edgebert.compress import losses

    original = losses.total

    def watched(pair: losses.Pair, weights: dict[str, float]) -> torch.Tensor:
        loss = original(pair, weights)
        seen.append(loss.item())
        return loss

    monkeypatch.setattr(module, "total", watched)
    run(taught, whole.path, records, tmp_path / "out", epochs=1, lr=1e-12, **changes)
    assert len(seen) == 12
    assert max(seen) < 1e-6


@pytest.mark.parametrize(
    "spec",
    [
        {"losses": {"logits": 1, "attention_kl": 1, "relations": 1}, "relation_heads": 4, "focus": 1.0},
        {"losses": {"logits_mse": 1, "hidden_cosine": 1, "embedding": 1, "attention_mse": 1}, "intermediate_epochs": 1},
    ],
)
def test_every_loss_lets_the_student_learn(
    taught: Teacher, records: Records, tmp_path: Path, spec: dict[str, Any]
) -> None:
    start = build(taught, records, tmp_path / "start")
    student = run(taught, start.path, records, tmp_path / "out", epochs=6, **spec)
    found = evaluate(load_model(student.path), TextClassification(), records, student.path, taught.labels, LENGTHS[-1])
    assert found is not None and found > 0.85


def test_bf16_is_near_fp32(taught: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(taught, records, tmp_path / "start")
    weights = []
    for precision in ("fp32", "bf16"):
        student = run(taught, start.path, records, tmp_path / precision, precision=precision)
        weights.append(torch.cat([w.flatten() for w in load_model(student.path).state_dict().values()]))
    before = torch.cat([w.flatten() for w in load_model(start.path).state_dict().values()])
    moved = float((weights[0] - before).norm())
    assert 0 < float((weights[1] - weights[0]).norm()) < 0.5 * moved


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"losses": {"logits": 1.0}, "intermediate_epochs": 1}, "intermediate_epochs"),
        ({"losses": {"none": 1.0}}, "unknown loss"),
    ],
)
def test_losses_that_cannot_be_are_refused(
    taught: Teacher, records: Records, tmp_path: Path, spec: dict[str, Any], told: str
) -> None:
    start = build(taught, records, tmp_path / "start")
    with pytest.raises((RecipeError, ValueError), match=told):
        run(taught, start.path, records, tmp_path / "out", **spec)
    assert not (tmp_path / "out").exists()


def test_layers_that_learned_alone_start_nearer_to_the_teacher(
    taught: Teacher, records: Records, tmp_path: Path
) -> None:
    """The hidden states after a layerwise stage alone, against those of the student as it was cut out."""
    start = build(taught, records, tmp_path / "start")

    def states(folder: Path, text: str) -> tuple[torch.Tensor, ...]:
        ids = torch.tensor([load_tokenizer(folder).encode(text).ids])
        with torch.inference_mode():
            found: tuple[torch.Tensor, ...] = load_model(folder)(input_ids=ids, output_hidden_states=True).hidden_states
        return found

    def distance(folder: Path) -> float:
        errors = [
            float((states(folder, text)[i + 1] - states(taught.path, text)[layer + 1]).square().mean())
            for text in [record["text"] for record in records[::9]]
            for i, layer in enumerate((1, 3))
        ]
        return sum(errors)

    alone = run(taught, start.path, records, tmp_path / "alone", layerwise_epochs=8, epochs=0)
    again = run(taught, start.path, records, tmp_path / "again", layerwise_epochs=8, epochs=0)
    assert alone.content_hash == again.content_hash != start.content_hash
    assert distance(alone.path) < 0.8 * distance(start.path)
    both = run(taught, start.path, records, tmp_path / "both", layerwise_epochs=8, epochs=2)
    assert both.content_hash != alone.content_hash


def test_a_layerwise_stage_that_is_done_is_not_done_again(
    taught: Teacher, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebert.compress import training

    start = build(taught, records, tmp_path / "start").path
    undisturbed = run(taught, start, records, tmp_path / "a", layerwise_epochs=2)
    original, names = training.train, []

    def interrupted(job: training.Job) -> None:
        names.append(job.name)
        if job.name == "distil" and len(names) == 2:
            raise KeyboardInterrupt
        original(job)

    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(taught, start, records, tmp_path / "b", layerwise_epochs=2)
    resumed = run(taught, start, records, tmp_path / "b", layerwise_epochs=2)
    assert names == ["layerwise", "distil", "distil"]
    assert resumed.content_hash == undisturbed.content_hash


def test_no_epochs_leave_the_student_as_it_was_cut_out(taught: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(taught, records, tmp_path / "start")
    assert run(taught, start.path, records, tmp_path / "out", epochs=0).content_hash == start.content_hash


def test_nothing_on_stdout(
    taught: Teacher, records: Records, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start = build(taught, records, tmp_path / "start").path
    capfd.readouterr()
    run(taught, start, records, tmp_path / "out", max_steps=12)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_a_loss_that_does_not_exist(taught: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(taught, records, tmp_path / "start").path
    spec = DistillSpec(**SPEC).model_copy(update={"losses": {"attention": 1.0}})
    with pytest.raises(RecipeError, match="'attention' is no loss"):
        distill(
            taught, start, spec, train=records, validation=[], labels=taught.labels, lengths=LENGTHS,
            out=tmp_path / "out", work=tmp_path / "work", progress=SILENT,
        )  # fmt: skip


def test_a_diverging_training_says_so(taught: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(taught, records, tmp_path / "start").path
    with pytest.raises(TrainingError, match="no longer a number"):
        run(taught, start, records, tmp_path / "out", lr=1e30, epochs=4)
    assert not (tmp_path / "out").exists()


def test_a_student_of_another_teacher(
    taught: Teacher, make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path
) -> None:
    stranger = make_teacher()
    start = build(stranger, records, tmp_path / "start").path
    with pytest.raises(DataError, match="not the teacher's"):
        run(taught, start, records, tmp_path / "out")


CHILD = """
import json, sys, time
from pathlib import Path
from edgebert.compress.distill import distill
from edgebert.recipe import DistillSpec
from edgebert.teacher import inspect

folder, pause = Path(sys.argv[1]), float(sys.argv[2])

class Slow:
    def say(self, text): print(text, flush=True)
    def step(self, name, done, total, note=""):
        time.sleep(pause)
        print(f"step {done:.0f}", flush=True)

records = json.loads((folder / "records.json").read_text())
teacher = inspect(Path((folder / "teacher.txt").read_text()), name="taught")
distill(
    teacher, folder / "start", DistillSpec(epochs=4, batch_size=8, lr=1e-3, noise=0.3), train=records,
    validation=[], labels=teacher.labels, lengths=(16, 32), out=folder / "out", work=folder / "work",
    progress=Slow(), threads=1, checkpoint_every=0.0,
)
"""


def child(folder: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bytes(taught: Teacher, records: Records, tmp_path: Path) -> None:
    """SIGKILL after a step, in the middle of writing a checkpoint, and at random: the student is the same."""
    hashes = []
    for name in ("undisturbed", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "records.json").write_text(json.dumps(records))
        (folder / "teacher.txt").write_text(str(taught.path))
        build(taught, records, folder / "start")
        for delay in (0.0, 0.02, 0.07) if name == "killed" else ():
            process = child(folder, pause=0.02)
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if sum(text.startswith("step") for text in lines) == 6:
                    break
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            assert not (folder / "out").exists()
            assert list((folder / "work").glob("*/checkpoint-*"))
        process = child(folder, pause=0.0)
        output = process.communicate()[0]
        assert process.returncode == 0
        assert ("resuming at step" in output) == (name == "killed")
        hashes.append([path.read_bytes() for path in sorted((folder / "out").iterdir())])
    assert hashes[0] == hashes[1]
