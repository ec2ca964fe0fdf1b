"""A long life costs no memory: `benchmarks/memory.py` at a tenth of its size, and many threads for as long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runtime_contract import loader_of, threads_agree

from edgebert.artifact import Artifact

ROOT = Path(__file__).parents[2]
NAMES = ("onnx-int8", "openvino-int8", "tflite-int8", "torch-fp32")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", NAMES)
def test_serving_and_loading_do_not_grow(name: str, exported: Callable[..., Artifact]) -> None:
    artifact = exported("bert", name)
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), str(artifact.path), "--json"]
    command += ["--texts", "10000", "--cycles", "100"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)[str(artifact.path)]
    # A tenth of the texts may grow by a tenth of what all of them may; loading and closing likewise, and
    # 2 MB that the allocator has not given back yet.
    assert found["serve"]["growth_mb"] < 4 and found["cycle"]["growth_mb"] < 4, found
    assert found["serve"]["descriptors"] == found["cycle"]["descriptors"] == 0, found


@pytest.mark.parametrize("name", NAMES)
def test_32_threads_get_the_serial_answers(name: str, exported: Callable[..., Artifact]) -> None:
    artifact = exported("bert", name)
    runtime = loader_of(artifact)(artifact, 1)
    threads_agree(artifact, runtime, threads=32, each=1000)
    runtime.close()
