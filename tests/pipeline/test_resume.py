"""A run that is ended at any point goes on where it was, and comes to the same artifacts."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_recipe import ids, write_recipe

STAGES = ("teacher …", "student …", "export onnx-int8 …", "export openvino-int8 …", "export tflite-int8 …",
          "measure local …")  # fmt: skip


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgebert", "run", str(recipe), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(recipe: Path, out: Path) -> dict[str, str]:
    """Run to the end; the ids of everything that was made, by name."""
    process = start(recipe, out)
    _, told = process.communicate(timeout=1200)
    assert process.returncode == 0, told
    return ids(out)


def kill_after(recipe: Path, out: Path, seconds: float) -> bool:
    """End the run with SIGKILL after so long; False when it had ended by itself."""
    process = start(recipe, out)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    return False


def kill_in(recipe: Path, out: Path, stage: str, seconds: float) -> None:
    """End the run with SIGKILL so long after it has said that a stage begins."""
    process = start(recipe, out)
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith(stage):
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return
    raise AssertionError(f"{stage!r} never came: {''.join(told)}")


@pytest.mark.slow
def test_killed_runs_come_to_the_same_artifacts(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, ["onnx-int8", "openvino-int8", "tflite-int8"])
    began = time.monotonic()
    undisturbed = finish(recipe, tmp_path / "undisturbed")
    took = time.monotonic() - began
    assert set(undisturbed) == {"teacher", "student", "onnx-int8", "openvino-int8", "tflite-int8"}

    draw = random.Random(2026)
    killed = sum(kill_after(recipe, tmp_path / "random", draw.uniform(2, 0.4 * took)) for _ in range(5))
    assert killed >= 3
    assert finish(recipe, tmp_path / "random") == undisturbed

    for stage in STAGES:
        kill_in(recipe, tmp_path / "staged", stage, draw.uniform(0.1, 2.0))
        left = {p.name for p in (tmp_path / "staged").iterdir()}
        assert left <= {".edgebert", "teacher", "student", "artifacts", "measurements"} | set(hidden(left))
    assert finish(recipe, tmp_path / "staged") == undisturbed
    assert not hidden({p.name for p in (tmp_path / "staged").rglob("*") if ".edgebert" not in p.parts})


def hidden(names: set[str]) -> list[str]:
    """Temporary siblings that a killed stage may leave until the next run."""
    return [name for name in names if name.startswith(".") and name != ".edgebert"]


@pytest.mark.slow
def test_same_recipe_same_student_and_a_finished_run_does_nothing(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, ["onnx-int8"])
    first = finish(recipe, tmp_path / "first")
    assert finish(recipe, tmp_path / "second") == first
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "first").rglob("*") if p.is_file()}
    process = start(recipe, tmp_path / "first")
    _, told = process.communicate(timeout=300)
    assert all(f"{stage}: kept" in told for stage in ("teacher", "student", "export onnx-int8", "measure local"))
    changed = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed <= {"lock", "report.json", "report.md", "report.html", "report.card.md"}


def test_a_second_run_on_the_same_folder_stops(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, ["onnx-int8"])
    first = start(recipe, tmp_path / "out")
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("teacher …"):
            break
    second = start(recipe, tmp_path / "out")
    _, told = second.communicate(timeout=120)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert "another run is using" in told and "  fix: " in told
