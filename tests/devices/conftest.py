"""Devices that tests connect to: this computer, another interpreter on it, a real sshd and a real adbd on loopback."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import android_standin
import pytest
from android_standin import Standin
from loopback_sshd import SSHD, Sshd

from edgebert import artifact as artifacts
from edgebert import pipeline
from edgebert.artifact import Artifact
from edgebert.devices.ssh import CONFIG

#: Formats that devices answer in.
STUDENTS = ("onnx-int8", "openvino-int8", "tflite-int8", "tflite-int8-legacy")
RECIPE = """
task: text-classification
teacher: {shared}/models/minilm-clinc150
data:
  train: {{path: train.jsonl}}
  validation: {{path: val.jsonl}}
  test: {{path: test.jsonl}}
lengths: [16, 32]
student: {{layers: 3, intermediate_size: 576, vocabulary: prune}}
distill: {{epochs: 1, lr: 0.0005}}
export: [{names}]
"""


@pytest.fixture(scope="session")
def loopback() -> Iterator[Sshd]:
    """The server: a device that has been used before, so that the engine's environment is there.

    The environment is made of the packages that run the tests; how real ones come about, `test_first_contact` shows.
    """
    if SSHD is None:
        pytest.skip("no sshd: apt-get install openssh-server")
    with tempfile.TemporaryDirectory(prefix="eb-sshd-") as folder:
        server = Sshd(Path(folder))
        try:
            server.prepare()
            yield server
        finally:
            server.close()


@pytest.fixture
def sshd(loopback: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The server as `ssh:pi`."""
    monkeypatch.setenv(CONFIG, str(loopback.config))
    return loopback


@pytest.fixture(scope="session")
def android() -> Iterator[Standin]:
    """An Android stand-in of this computer's own architecture, switched on."""
    if reason := android_standin.missing():
        pytest.skip(f"no Android stand-in: {reason}")
    standin = Standin("x86_64")
    try:
        standin.start()
        yield standin
    finally:
        standin.stop()


@pytest.fixture
def phone(android: Standin, monkeypatch: pytest.MonkeyPatch) -> Standin:
    """The stand-in as `android`: the only device that adb sees."""
    monkeypatch.setenv("ADB_SERVER_SOCKET", android.environment["ADB_SERVER_SOCKET"])
    monkeypatch.setenv("EDGEBERT_CACHE", str(android_standin.CACHE))
    android.plug()
    return android


@pytest.fixture(scope="session")
def clinc150(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with CLINC150 in scope; of the test sentences 200 that are spread over all intents."""
    folder = tmp_path_factory.mktemp("clinc150")
    document = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))
    for name, rows in (("train", document["train"]), ("val", document["val"]), ("test", document["test"][::22][:200])):
        lines = (json.dumps({"text": text, "label": label}) for text, label in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def students(shared: Path, clinc150: Path) -> dict[str, Artifact]:
    """A student of CLINC150 in its formats: from the run in the folder EDGEBERT_STUDENTS, else made by one."""
    out = Path(os.environ.get("EDGEBERT_STUDENTS") or clinc150 / "out")
    if not (out / "artifacts").is_dir():
        recipe = clinc150 / "recipe.yaml"
        recipe.write_text(RECIPE.format(shared=shared.resolve(), names=", ".join(STUDENTS)))
        pipeline.run(recipe, out=out, until="export")
    return {name: artifacts.load(out / "artifacts" / name) for name in STUDENTS if (out / "artifacts" / name).is_dir()}


@pytest.fixture(scope="session")
def sentences(clinc150: Path) -> list[dict[str, str]]:
    """The 200."""
    return [json.loads(line) for line in (clinc150 / "test.jsonl").read_text("utf-8").splitlines()]
