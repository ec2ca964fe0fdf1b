"""The smallest install: an interpreter with numpy and one engine, and neither tokenizers nor click nor rich."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebert.artifact import Artifact
from edgebert.model import Model

ROOT = Path(__file__).parents[2]
ENGINES = {"onnx-int8": "onnxruntime", "openvino-int8": "openvino", "tflite-int8": "ai_edge_litert"}
TEXTS = ["the rain now", "naïve 漢字 café 👩\u200d👧!", "light " * 40]
CODE = """
import importlib.util, json, sys
import edgebert
with edgebert.load(sys.argv[1]) as model:
    answers = [answer.to_json() for answer in model.predict(json.loads(sys.argv[2]))]
found = [name for name in ("tokenizers", "click", "rich", "torch", "pydantic") if importlib.util.find_spec(name)]
print(json.dumps([answers, found, type(model.tokenizer).__name__]))
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An interpreter that sees the standard library and `folder`."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-S", "-P", *arguments], capture_output=True, text=True, env=environment)


def installed(folder: Path, *packages: str) -> Path:
    """Links to our tree and to some packages of this environment."""
    (folder / "edgebert").mkdir(parents=True)
    for entry in (ROOT / "edgebert").iterdir():
        (folder / "edgebert" / entry.name).symlink_to(entry)
    for spoke in ("devices", "export", "runtimes"):
        (folder / "edgebert" / spoke).symlink_to(ROOT / spoke)
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).parent
        for pattern in (package, f"{package}.libs", f"{package}-*.dist-info"):
            for path in source.parent.glob(pattern):
                (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("name", ENGINES)
def test_an_answer_with_numpy_and_one_engine(
    name: str, exported: Callable[[str, str], Artifact], tmp_path: Path
) -> None:
    artifact = exported("bert", name)
    folder = installed(tmp_path / "packages", "numpy", ENGINES[name])
    done = python(folder, "-c", CODE, str(artifact.path), json.dumps(TEXTS))
    assert done.returncode == 0, done.stderr
    answers, others, tokenizer = json.loads(done.stdout)
    assert others == [] and tokenizer == "WordPiece"
    with Model.load(artifact.path) as model:
        expected: list[dict[str, Any]] = [answer.to_json() for answer in model.predict(TEXTS)]
    assert answers == expected


def test_the_command_line_says_what_it_needs(tmp_path: Path) -> None:
    done = python(installed(tmp_path / "packages", "numpy"), "-m", "edgebert", "predict", "x", "y")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr == "error: the package 'click' is not installed\n  fix: install it with: pip install edgebert\n"
