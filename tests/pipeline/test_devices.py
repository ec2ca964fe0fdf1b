"""A run on several devices of which one fails: the others are measured, the report says so, the exit code is 3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "intents"

#: An interpreter that ends every job at once, as a broken environment would.
BROKEN = "local:/bin/false"


def write_recipe(folder: Path) -> Path:
    """A teacher that has learnt next to nothing, and one export of it: what counts here comes after."""
    for name, count in (("train", 600), ("validation", 100), ("test", 100)):
        lines = (EXAMPLE / f"{name}.jsonl").read_text("utf-8").splitlines(keepends=True)
        (folder / f"{name}.jsonl").write_text("".join(lines[:: len(lines) // count][:count]), "utf-8")
    shape = {"layers": 1, "hidden_size": 32, "heads": 2, "intermediate_size": 64, "vocabulary": 400}
    recipe = {
        "task": "text-classification",
        "teacher": {"scratch": shape, "epochs": 1},
        "data": {name: {"path": f"{name}.jsonl", "label": "intent"} for name in ("train", "validation", "test")},
        "lengths": [16, 32],
        "student": {"layers": 1},
        "distill": {"epochs": 1},
        "export": ["onnx-int8"],
        "devices": ["local", BROKEN],
        "measure": {"launches": 3, "samples": 20, "repeats": 0},
        "gates": {"max_metric_drop": None, "max_size_mb": 50},
    }
    path = folder / "small.yaml"
    path.write_text(json.dumps(recipe), "utf-8")
    return path


@pytest.mark.slow
def test_one_device_of_two_fails(tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "edgebert", "run", str(recipe), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert f"error: {BROKEN}" in done.stderr and "  fix: " in done.stderr and "Traceback" not in done.stderr
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [failure["device"] for failure in report["failures"]] == [BROKEN]
    assert {(row["name"], row["device"]) for row in report["results"]} == {
        (name, "local") for name in ("teacher", "student", "onnx-int8")
    }
    assert report["verdict"] == "unknown" and report["best"].keys() == {"local"}
    assert f"{BROKEN} failed" in done.stdout and BROKEN in (out / "report.md").read_text("utf-8")
    assert "Nothing was measured on" in (out / "report.card.md").read_text("utf-8")
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 3 and "measure local: kept" in again.stderr
    assert f"measure {BROKEN} …" in again.stderr, "what failed is tried again"
