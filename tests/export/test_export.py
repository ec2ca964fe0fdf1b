"""Exports: what they store, what they refuse, and that nothing half-made is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_tasks import TASKS

from edgebert import artifact as artifacts
from edgebert import exporting, single
from edgebert.artifact import Artifact
from edgebert.errors import ExportError, UsageError
from edgebert.teacher import Teacher

LENGTHS = (8, 16)


def export(model: Path, name: str, target: Path, calibration: Path | None = None, **options: float) -> Artifact:
    format, _, precision = name.partition("-")
    return exporting.export_artifact(
        model, task="text-classification", format=format, precision=precision, lengths=LENGTHS,
        calibration=calibration, target=target, log=target.parent / "log", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture(scope="module")
def model(make_teacher: Callable[..., Teacher]) -> Path:
    return make_teacher("bert", layers=2, initializer_range=0.3).path


def left(target: Path) -> set[str]:
    """What stands beside the target, the log excepted."""
    return {path.name for path in target.parent.iterdir()} - {"log", target.name}


def test_unknown_precision_and_bad_lengths_are_refused_at_once(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int4"):
        export(model, "onnx-int4", tmp_path / "a")
    with pytest.raises(UsageError, match="ascend"):
        exporting.export_artifact(
            model, task="text-classification", format="onnx", precision="fp32", lengths=(16, 8),
            calibration=None, target=tmp_path / "a", log=tmp_path / "log",
        )  # fmt: skip
    assert not (tmp_path / "a").exists()


def test_static_int8_without_calibration_is_refused_with_the_way_out(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export(model, "openvino-int8", tmp_path / "a")
    assert "--calibrate" in caught.value.hint and not any(tmp_path.iterdir())


def test_an_export_through_the_child_is_compared_and_complete(model: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for path in model.iterdir():
        (tmp_path / "source" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "source" / "NOTICE").write_text("made by somebody")
    made = export(tmp_path / "source", "onnx-fp32", tmp_path / "out" / "a")
    assert left(tmp_path / "out" / "a") == set()
    assert made.manifest.files["NOTICE"] and made.manifest.lineage[-1]["texts"] == 12
    assert artifacts.load(tmp_path / "out" / "a").artifact_id == made.artifact_id


def test_a_child_that_is_killed_leaves_nothing(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a"
    killed: list[int] = []

    def kill() -> None:
        job = target.parent / f".{target.name}.export" / exporting.JOB
        while not killed:
            time.sleep(0.05)
            found = subprocess.run(["pgrep", "-f", str(job)], capture_output=True, text=True, check=False)
            for pid in map(int, found.stdout.split()):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(ExportError, match="SIGKILL"):
        export(model, "onnx-fp32", target)
    killer.join()
    assert not target.exists() and left(target) == set()


def test_a_time_limit_ends_the_child(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a"
    with pytest.raises(ExportError, match="longer than"):
        export(model, "onnx-fp32", target, timeout=0.5)
    assert not target.exists() and left(target) == set()


def test_what_a_killed_export_left_is_cleared_by_the_next(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a"
    stale = target.parent / f".{target.name}.export"
    (stale / exporting.FOLDER).mkdir(parents=True)
    (stale / exporting.FOLDER / "model.onnx").write_text("half")
    with pytest.raises(ExportError):
        export(model, "onnx-fp32", target, timeout=0.2)
    assert left(target) == set()


def test_errors_of_the_child_keep_their_kind(make_teacher: Callable[..., Teacher], model: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for path in model.iterdir():
        (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model" / "model.safetensors").unlink()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ExportError, match="no safetensors"):
        export(tmp_path / "model", "onnx-int8", tmp_path / "out" / "a")
    assert not (tmp_path / "out" / "a").exists()


def test_thresholds_are_tuned_on_more_records_than_ranges(make_teacher: Callable[..., Teacher], tmp_path: Path) -> None:
    """Of 900 records, the 300 that INT8 is calibrated on have no entities: nothing could be tuned on them."""
    task = TASKS["tokens"]
    model = make_teacher("bert", layers=1, task=task, initializer_range=0.3).path
    rows = [{"tokens": ["lamp", "now", "rain"], "tags": [tag] * 3} for tag in ["O", "B-thing", "B-thing"] * 300]
    data = tmp_path / "labelled.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    made = single.export_model(
        model, format="onnx", precision="fp32", calibrate=data, columns={}, lengths=(8,), task=task.name, options={},
        output=tmp_path / "out",
    )  # fmt: skip
    assert made.manifest.task_settings["outside_bias"] > 0.0
    assert made.manifest.lineage[-1]["texts"] == 200
