"""Quantization-aware training: rounded weights, learned ranges, a plain model; the same again after a kill."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tasks import TASKS, records_for

from edgebert.compress import qat
from edgebert.compress.distill import distill
from edgebert.compress.families import FAMILIES
from edgebert.compress.folder import load_model
from edgebert.compress.student import Student, build_student
from edgebert.errors import RecipeError
from edgebert.progress import SILENT
from edgebert.recipe import DistillSpec, QatSpec, StudentSpec
from edgebert.tasks.text_classification import TextClassification
from edgebert.teacher import Teacher

Records = list[dict[str, str]]
SITES = ["attention", "output", "up", "down"]


def build(teacher: Teacher, records: Records, out: Path) -> Student:
    texts = [record["text"] for record in records]
    return build_student(teacher, StudentSpec(layers=2), texts=texts, max_length=32, out=out)


def run(teacher: Teacher, start: Path, records: Records, out: Path, **options: Any) -> Student:
    return distill(
        teacher,
        start,
        DistillSpec(epochs=1, batch_size=16, lr=1e-3),
        train=records,
        validation=records[:10],
        labels=teacher.labels,
        lengths=(16, 32),
        out=out,
        work=out.with_name(out.name + "-work"),
        progress=SILENT,
        threads=1,
        **options,
    )


def test_the_weights_lie_on_their_grid_and_the_ranges_beside_them(
    teacher: Teacher, records: Records, tmp_path: Path
) -> None:
    start = build(teacher, records, tmp_path / "start").path
    plain = run(teacher, start, records, tmp_path / "plain")
    student = run(teacher, start, records, tmp_path / "qat", qat=QatSpec(steps=8, lr=1e-3))
    assert not (plain.path / qat.FILE).exists()
    told = json.loads((student.path / qat.FILE).read_text())
    assert list(told["activations"]) == [*(f"layers.{n}.{site}" for n in (0, 1) for site in SITES), "pooler"]
    assert all(ends["min"] <= 0 < ends["max"] for ends in told["activations"].values())
    model, before = load_model(student.path), load_model(plain.path).state_dict()
    assert set(model.state_dict()) == set(before)  # a plain model again
    groups = qat.sites_of(model, FAMILIES["bert"], TextClassification()).values()
    linears = [linear for group in groups for linear in group]
    assert len(linears) == 2 * 6 + 1
    for linear in linears:
        scale = linear.weight.abs().amax(dim=1, keepdim=True) / qat.LARGEST
        integers = linear.weight / scale
        assert torch.allclose(integers, integers.round(), atol=1e-5)
        assert torch.equal(qat.on_grid(linear.weight), linear.weight)  # bit for bit: 64 is a power of two
    classifier = model.classifier.weight
    assert not torch.equal(qat.on_grid(classifier), classifier)
    # It went on learning: further from where the distillation ended than rounding alone brings it.
    name = "bert.encoder.layer.0.output.dense.weight"
    assert (model.state_dict()[name] - qat.on_grid(before[name])).abs().max() > 1e-3


def test_twice_the_same_bytes_and_other_settings_others(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(teacher, records, tmp_path / "start").path
    made = [
        run(teacher, start, records, tmp_path / str(number), qat=QatSpec(steps=steps))
        for number, steps in enumerate((4, 4, 5))
    ]
    assert made[0].content_hash == made[1].content_hash != made[2].content_hash


def test_gradients_are_those_of_lsq() -> None:
    values = torch.tensor([-3.0, -1.0, 0.3, 1.24, 9.0], requires_grad=True)
    low, high = torch.tensor(-1.0, requires_grad=True), torch.tensor(1.55, requires_grad=True)
    rounded = qat._Rounded.apply(values, low, high)  # steps of 0.01
    assert torch.allclose(rounded, torch.tensor([-1.0, -1.0, 0.3, 1.24, 1.55]), atol=1e-6)
    rounded.backward(torch.ones(5))
    assert values.grad is not None and low.grad is not None and high.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 0]
    weight = 1 / math.sqrt(5 * 255)  # one value is cut at either end, and moves with it
    assert low.grad.item() == pytest.approx(weight, rel=1e-2)
    assert high.grad.item() == pytest.approx(weight, rel=1e-2)


def test_the_range_begins_where_the_error_is_least() -> None:
    spread = torch.linspace(-1, 1, 100_000)
    assert qat._best(spread, -1.0, 1.0) == (-1.0, 1.0)
    few = torch.cat([spread, torch.tensor([-1.5, 1.5])])  # two values of 100,000 are not worth a third of the levels
    low, high = qat._best(few, -1.5, 1.5)
    assert low == -high and 1.0 <= high < 1.4
    many = torch.cat([spread, torch.full((5_000,), 1.5)])
    assert qat._best(many, -1.0, 1.5) == (-1.0, 1.5)


@pytest.mark.parametrize(
    ("family", "kind", "pooled"),
    [("distilbert", "single-label", 1), ("bert", "tokens", 0), ("bert", "answers", 0), ("bert", "embeddings", 0)],
)
def test_every_task_can_be_trained_so(
    family: str, kind: str, pooled: int, make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path
) -> None:
    task = TASKS[kind]
    taught = make_teacher(family, layers=2, task=task)
    start = build_student(
        taught, StudentSpec(layers=1, vocabulary="keep"), task=task, texts=(), max_length=32, out=tmp_path / "start"
    )
    student = distill(
        taught, start.path, DistillSpec(epochs=0, batch_size=8), task=task, train=records_for(task, records),
        validation=(), labels=taught.labels, lengths=(16, 32), out=tmp_path / "out", work=tmp_path / "work",
        progress=SILENT, threads=1, qat=QatSpec(steps=2),
    )  # fmt: skip
    told = json.loads((student.path / qat.FILE).read_text())["activations"]
    assert list(told) == [*(f"layers.0.{site}" for site in SITES), *["pooler"] * pooled]


def test_other_families_are_refused(make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path) -> None:
    electra = make_teacher("electra")
    start = build(electra, records, tmp_path / "start").path
    with pytest.raises(RecipeError, match="qat is for BERT and DistilBERT, and this student is a electra"):
        run(electra, start, records, tmp_path / "out", qat=QatSpec(steps=2))
    assert not (tmp_path / "out").exists()


_CHILD = """
import json, sys
from pathlib import Path
from edgebert.compress.distill import distill
from edgebert.progress import Lines
from edgebert.recipe import DistillSpec, QatSpec
from edgebert.teacher import inspect

teacher, start, records, out = sys.argv[1:]
taught = inspect(Path(teacher), name="tiny")
examples = json.loads(Path(records).read_text())
distill(
    taught, Path(start), DistillSpec(epochs=1, batch_size=16, lr=1e-3), train=examples, validation=(),
    labels=taught.labels, lengths=(16, 32), out=Path(out), work=Path(out + "-work"), progress=Lines(),
    threads=1, checkpoint_every=0.0, qat=QatSpec(steps=60),
)
"""


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_at_the_same_bytes(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    start = build(teacher, records, tmp_path / "start").path
    undisturbed = run(teacher, start, records, tmp_path / "a", qat=QatSpec(steps=60))
    (tmp_path / "records.json").write_text(json.dumps(records))
    command = [sys.executable, "-c", _CHILD, teacher.path, start, tmp_path / "records.json", tmp_path / "b"]
    child = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, start_new_session=True)
    work, deadline = tmp_path / "b-work" / "qat", time.monotonic() + 120
    while len(list(work.glob("checkpoint-*"))) < 2 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and list(work.glob("checkpoint-*"))
    again = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert "qat: resuming at step" in again.stderr and "distil 1/" not in again.stderr
    assert (tmp_path / "b" / qat.FILE).read_bytes() == (tmp_path / "a" / qat.FILE).read_bytes()
    assert (tmp_path / "b" / "model.safetensors").read_bytes() == (undisturbed.path / "model.safetensors").read_bytes()
