"""The bundle for phones on the Android stand-in of their architecture, run by qemu: right or wrong, never how fast.

One real model (CLINC150, 150 intents) as ONNX and TFLite, INT8, on 200 test sentences: at least 99 % of the answers
are those of this computer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import android_standin
import pytest
from android_standin import Standin

from edgebert import load
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.exporting import export_artifact
from edgebert.progress import SILENT
from edgebert.results import results_of

pytestmark = pytest.mark.slow

COUNT = 200


@pytest.fixture(scope="module")
def sentences(shared: Path) -> list[dict[str, str]]:
    """200 test sentences of CLINC150, drawn at random."""
    rows = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))["test"]
    return [{"text": text, "label": label} for text, label in random.Random(7).sample(rows, COUNT)]


@pytest.fixture(scope="module")
def emulated() -> Iterator[Standin]:
    """The stand-in of a phone's architecture, a Cortex-A76."""
    if reason := android_standin.missing():
        pytest.skip(f"no Android stand-in: {reason}")
    standin = Standin("aarch64", size_mb=600)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ADB_SERVER_SOCKET", standin.environment["ADB_SERVER_SOCKET"])
            patch.setenv("EDGEBERT_CACHE", str(android_standin.CACHE))
            standin.start()
            yield standin
    finally:
        standin.stop()


@pytest.fixture(params=["onnx", "tflite"])
def artifact(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Artifact:
    """The fine-tuned MiniLM, exported as it is."""
    rows = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))["val"]
    texts = tmp_path / "calibration.jsonl"
    texts.write_text("".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in rows[:1000:10]), "utf-8")
    return export_artifact(
        shared / "models/minilm-clinc150", task="text-classification", format=request.param, precision="int8",
        lengths=(32,), calibration=texts, target=tmp_path / f"{request.param}-int8", log=tmp_path / "log",
        lineage=({"name": "minilm-clinc150", "role": "teacher"},),
    )  # fmt: skip


def test_answers_are_those_of_this_computer(
    emulated: Standin, artifact: Artifact, sentences: list[dict[str, str]]
) -> None:
    with load(artifact.path) as model:
        here = [model.predict(record["text"]).label for record in sentences]
    with connected("android") as device:
        plan = Plan(launches=1, samples=1, lengths=())
        found = measure_all([Candidate(artifact.path.name, "artifact", artifact)], device, sentences, plan, SILENT)[0]
    assert found.answers is not None
    there = [artifact.manifest.labels[index] for index in found.answers]
    same = sum(a == b for a, b in zip(here, there, strict=True))
    assert same >= 0.99 * COUNT, f"{same} of {COUNT} answers are equal"
    assert found.golden["ok"], found.golden
    row = results_of([found])[0]
    assert row.emulated and row.facts["machine"] == "aarch64" and "asimddp" in row.facts["features"]
    assert row.metric is not None and row.metric.value > 0.9
    emulated.await_clean(20)
