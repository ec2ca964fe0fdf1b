"""The engine of `docs/new-runtime.md` is installed as its page says, found, and keeps every promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebert import exporting
from edgebert.export import __main__ as child
from edgebert.teacher import Teacher

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "new-runtime.md").read_text("utf-8")

PREDICT = """
import sys, edgebert
model = edgebert.load(sys.argv[1])
print(model.runtime.engine, model.predict("please music now").label)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_it_is_forty_lines() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 40


@pytest.mark.slow
def test_a_new_engine_keeps_every_promise(teacher: Teacher, records: list[dict[str, str]], tmp_path: Path) -> None:
    import edgebert

    os.environ.update(exporting.ENVIRONMENT)
    work = tmp_path / "work"
    work.mkdir()
    job: dict[str, Any] = {
        "model": str(teacher.path), "task": "text-classification", "format": "onnx", "precision": "fp32",
        "lengths": [8, 16], "calibration": None, "lineage": [], "licence": "unknown", "seed": 0,
        "target": str(tmp_path / "onnx-fp32"), "parent": os.getpid(), "settings": {}, "tuning": None,
    }  # fmt: skip
    original = child.export(job, work)
    space: dict[str, Any] = {}
    exec(blocks("python")[1], space)
    relabelled = tmp_path / "onnx-reference"
    space["relabel"](original.path, relabelled)

    # As pip would leave it: the module, and what the distribution says of its entry points.
    site = tmp_path / "site"
    information = site / "edgebert_reference-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "edgebert_reference.py").write_text(blocks("python")[0], "utf-8")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: edgebert-reference\nVersion: 1.0\n")
    name, target = re.findall(r'^(\S+) = "(.*)"$', blocks("toml")[0], re.MULTILINE)[0]
    (information / "entry_points.txt").write_text(f"[edgebert.runtimes]\n{name} = {target}\n")

    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    contract = str(ROOT / "tests" / "support" / "runtime_contract.py")
    done = subprocess.run([sys.executable, contract, str(relabelled)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("onnx-reference ") and done.stdout.count("\n") == 14
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(relabelled)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    with edgebert.load(original.path) as model:
        assert done.stdout.split()[-1] == model.predict("please music now").label, done.stderr
    assert json.loads((relabelled / "manifest.json").read_text("utf-8"))["format"] == name
