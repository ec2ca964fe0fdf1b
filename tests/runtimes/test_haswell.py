"""INT8 on a processor without VNNI, an emulated Haswell: the defaults are right there, and what is not is caught."""

from __future__ import annotations

import functools
import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import haswell
import numpy as np
import pytest

from edgebert import artifact as artifacts
from edgebert import cpu
from edgebert.artifact import Artifact
from edgebert.check import connected
from edgebert.errors import ArtifactError
from edgebert.export import __main__ as child
from edgebert.model import Model
from edgebert.single import prove_artifact
from edgebert.teacher import Teacher

SENTENCES = 200

#: Loading asks the golden answers first, and raises when they differ.
ANSWER = """
import json, sys
from edgebert.model import Model
with Model.load(sys.argv[1]) as model, open(sys.argv[2]) as lines:
    found = [model.run(model.encode({"text": line.strip()})[0])["logits"].tolist() for line in lines]
print(json.dumps(found))
"""

#: The worker with ONNX Runtime as it comes, without the exact kernels that our runtime asks for.
STOCK = """
import sys, onnxruntime
from edgebert import worker

asked = onnxruntime.SessionOptions.add_session_config_entry

def add(options, name, value):
    if name != "session.x64quantprecision":
        asked(options, name, value)

onnxruntime.SessionOptions.add_session_config_entry = add
sys.exit(worker.main(sys.argv[1:]))
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(haswell.missing()), reason=haswell.missing())]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return haswell.python(tmp_path_factory.mktemp("haswell"))


@pytest.fixture(scope="module")
def stock(there: Path) -> Path:
    """The same processor; a worker started by it has ONNX Runtime as it comes."""
    program, script = there.with_name("stock.py"), there.with_name("stock-python")
    program.write_text(STOCK)
    start = f'[ "$1" = -m ] && {{ shift 2; set -- {shlex.quote(str(program))} "$@"; }}'
    script.write_text(f'#!/bin/sh\n{start}\nexec {shlex.quote(str(there))} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture(scope="module")
def hostile(make_teacher: Callable[..., Teacher]) -> Path:
    """A model whose INT8 sums all but always saturate in 16 bits: weights of one size, activations of one sign."""
    from safetensors.numpy import load_file, save_file

    folder = make_teacher("bert", layers=2, hidden_size=64, intermediate_size=128, initializer_range=0.3).path
    weights = load_file(folder / "model.safetensors")
    for name, array in weights.items():
        if "LayerNorm" in name:
            weights[name] = np.full_like(array, 1.0 if name.endswith("bias") else 0.25)
        elif ".encoder." in name and name.endswith(".weight"):
            weights[name] = np.sign(array) * np.abs(array).mean() / 2
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def made(
    hostile: Path,
    job: Callable[..., dict[str, Any]],
    calibration: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Artifact]:
    """`made("onnx-int8")`: the hostile model, exported once."""

    @functools.cache
    def make(name: str) -> Artifact:
        folder = tmp_path_factory.mktemp("hostile")
        (folder / "work").mkdir()
        return child.export(job(hostile, name, calibration(), folder / name), folder / "work")

    return make


@pytest.mark.parametrize("name", ["onnx-int8", "openvino-int8", "tflite-int8"])
def test_the_defaults_answer_there_as_here(
    name: str, real_teacher_as: Callable[[str], Artifact], shared: Path, there: Path, tmp_path: Path
) -> None:
    artifact = real_teacher_as(name)
    texts = [text for text, _ in json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))["test"]]
    asked = texts[:: len(texts) // SENTENCES][:SENTENCES]
    (tmp_path / "texts").write_text("".join(text + "\n" for text in asked), "utf-8")
    command = [there, "-P", "-c", ANSWER, artifact.path, tmp_path / "texts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.array(json.loads(done.stdout.splitlines()[-1]))
    with Model.load(artifact.path) as model:
        here = np.array([model.run(model.encode({"text": text})[0])["logits"] for text in asked])
    assert found.shape == here.shape and np.abs(found - here).max() <= artifact.golden()["tolerance"]
    second, best = np.sort(here)[:, -2:].T
    clear = best - second > artifact.golden()["tolerance"]
    assert (found.argmax(1) == here.argmax(1))[clear].all() and clear.sum() >= 0.8 * SENTENCES


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-int8-static", "onnx-int8-ort", "openvino-int8"])
def test_what_would_saturate_is_right_there_and_its_manifest_says_so(
    name: str, made: Callable[[str], Artifact], there: Path
) -> None:
    path = made(name).path
    found = prove_artifact(path, f"local:{there}", record=True)
    assert found["instructions"] == "x86_64 avx2" and found["golden"].startswith("equal")
    after = artifacts.load(path)
    assert after.artifact_id == found["artifact_id"]
    said = {entry["instructions"] for entry in after.manifest.proven if entry["engine"] == found["engine"]}
    assert said == {"x86_64 avx2", cpu.instructions()}
    exact = {"session.x64quantprecision": "1"} if name in ("onnx-int8", "onnx-int8-static") else {}
    assert exact.items() <= after.manifest.settings.items()


def test_an_engine_that_saturates_is_refused(made: Callable[[str], Artifact], stock: Path) -> None:
    with pytest.raises(ArtifactError, match=r"onnx-int8 answers otherwise.*where .* is allowed"):
        prove_artifact(made("onnx-int8").path, f"local:{stock}", record=True)


def test_its_times_count_as_emulated(there: Path) -> None:
    with connected(f"local:{there}") as device:
        facts = device.facts()
    assert facts["emulated"] is True and "qemu-" in facts["emulated_because"] and facts["features"] == []
