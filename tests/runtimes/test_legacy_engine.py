"""tflite-runtime 2.14, the last of its name, in an environment of its own: it wants numpy < 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from runtime_contract import LOADING_PROMISES, PROMISES, golden_answers_hold_and_wrong_ones_are_found

from edgebert.artifact import Artifact
from edgebert.model import Model

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "tests" / "support" / "runtime_contract.py"
PACKAGES = ["tflite-runtime==2.14.0", "numpy<2", "tokenizers==0.22.2"]

LOAD = """
import sys, edgebert
try:
    model = edgebert.load(sys.argv[1])
except edgebert.EdgebertError as error:
    print(type(error).__name__, error)
else:
    print(model.runtime.engine, [model.predict(text).label for text in sys.argv[2:]])
"""

ANSWER = """
import json, sys, edgebert
with edgebert.load(sys.argv[1]) as model, open(sys.argv[2], encoding="utf-8") as lines:
    print(json.dumps([model.runtime.engine, *(model.predict(json.loads(line)).label for line in lines)]))
"""

#: Every fourth test sentence of CLINC150, of which so many answers must be the same, and accuracy so near.
STEP, SAME, POINTS = 4, 0.995, 0.3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime 2.14 has no wheel for Python 3.12"),
]


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`legacy(*arguments)`: Python with tflite-runtime and this very edgebert, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("legacy")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, capture_output=True, timeout=600)
    farm = folder / "import" / "edgebert"
    farm.mkdir(parents=True)
    for entry in [*(ROOT / "edgebert").iterdir(), ROOT / "runtimes"]:
        (farm / entry.name).symlink_to(entry)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(farm.parent), "PYTHONSAFEPATH": "1"}
        command = [str(python), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)

    return run


def test_what_it_computes_wrongly_is_refused(
    legacy: Callable[..., subprocess.CompletedProcess[str]], real_teacher_as: Callable[[str], Artifact]
) -> None:
    """Per-channel weights: it loads them, and answers something else without an error."""
    done = legacy("-c", LOAD, real_teacher_as("tflite-int8").path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ArtifactError "), done.stdout
    for words in ("tflite-runtime 2.14.0", "expected", "is allowed", "tflite-int8-legacy"):
        assert words in done.stdout


def test_it_keeps_every_other_promise(
    legacy: Callable[..., subprocess.CompletedProcess[str]], real_teacher_as: Callable[[str], Artifact]
) -> None:
    """What it answers is wrong, but the same from many threads, in any order, and after what came before."""
    broken = golden_answers_hold_and_wrong_ones_are_found
    done = legacy(CONTRACT, real_teacher_as("tflite-int8").path, broken.__name__)
    kept = [promise.__name__ for promise in (*PROMISES, *LOADING_PROMISES) if promise is not broken]
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["tflite-runtime 2.14.0", *kept]


def test_one_scale_per_tensor_answers_as_in_litert(
    legacy: Callable[..., subprocess.CompletedProcess[str]],
    real_teacher_as: Callable[[str], Artifact],
    shared: Path,
    tmp_path: Path,
) -> None:
    """Its golden answers, from LiteRT, hold in the old engine too, and so do the answers to real texts."""
    data = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))["test"][::STEP]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps(text) + "\n" for text, _ in data), "utf-8")
    done = legacy("-c", ANSWER, real_teacher_as("tflite-int8-legacy").path, texts)
    assert done.returncode == 0, done.stdout + done.stderr
    engine, *there = json.loads(done.stdout.splitlines()[-1])
    assert engine == "tflite-runtime 2.14.0"
    with Model.load(real_teacher_as("tflite-int8-legacy").path) as model:
        here = [model.predict(text).label for text, _ in data]
    assert np.mean([a == b for a, b in zip(here, there, strict=True)]) >= SAME
    right = [np.mean([a == label for a, (_, label) in zip(side, data, strict=True)]) for side in (here, there)]
    assert 100 * abs(right[0] - right[1]) <= POINTS and min(right) > 0.9


def test_it_keeps_every_promise_of_what_it_computes_rightly(
    legacy: Callable[..., subprocess.CompletedProcess[str]], real_teacher_as: Callable[[str], Artifact]
) -> None:
    done = legacy(CONTRACT, real_teacher_as("tflite-int8-legacy").path)
    assert done.returncode == 0, done.stdout + done.stderr
    promised = [promise.__name__ for promise in (*PROMISES, *LOADING_PROMISES)]
    assert done.stdout.splitlines() == ["tflite-runtime 2.14.0", *promised]
