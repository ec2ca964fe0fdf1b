"""tflite-runtime 2.14, the last of its name, in an environment of its own: it wants numpy < 2."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebert.artifact import Artifact

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


def test_it_keeps_every_promise_with_the_legacy_precision(
    legacy: Callable[..., subprocess.CompletedProcess[str]], exported: Callable[..., Artifact]
) -> None:
    done = legacy(CONTRACT, exported("bert", "tflite-int8-legacy").path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("tflite-runtime 2.14.0\n") and done.stdout.count("\n") == 14


def test_it_gives_the_answers_of_today(
    legacy: Callable[..., subprocess.CompletedProcess[str]], exported: Callable[..., Artifact]
) -> None:
    import edgebert

    artifact, texts = exported("bert", "tflite-int8-legacy"), ["please music now", "the rain", "i want the lamp today"]
    done = legacy("-c", LOAD, artifact.path, *texts)
    with edgebert.load(artifact.path) as model:
        expected = [model.predict(text).label for text in texts]
    assert done.stdout.strip() == f"tflite-runtime 2.14.0 {expected}", done.stderr


def test_what_it_computes_wrongly_is_refused(
    legacy: Callable[..., subprocess.CompletedProcess[str]], exported: Callable[..., Artifact]
) -> None:
    """Per-channel weights: it loads them, and answers something else without an error."""
    done = legacy("-c", LOAD, exported("bert", "tflite-int8").path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ArtifactError "), done.stdout
    for words in ("tflite-runtime 2.14.0", "expected", "is allowed", "tflite-int8-legacy"):
        assert words in done.stdout
