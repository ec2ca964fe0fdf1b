"""The same bytes twice, and a real model in every format."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from edgebert import artifact as artifacts
from edgebert import exporting, golden
from edgebert.artifact import Artifact
from edgebert.errors import ExportError
from edgebert.model import Model

NAMES = ("torch-fp32", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8", "tflite-fp32", "tflite-int8")
NAMES = (*NAMES, "tflite-int8-legacy", "tflite-int8-full")  # not onnx-int8-ort: docs/export.md says why
pytestmark = pytest.mark.slow


def export(model: Path, name: str, target: Path, calibration: Path, lengths: tuple[int, ...]) -> Artifact:
    format, _, precision = name.partition("-")
    return exporting.export_artifact(
        model, task="text-classification", format=format, precision=precision, lengths=lengths,
        calibration=calibration, target=target, log=target.parent / f"{name}.log",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_two_exports_are_equal_byte_for_byte(
    name: str, tiny: Callable[[str], Path], calibration: Callable[..., Path], tmp_path: Path
) -> None:
    first = export(tiny("bert"), name, tmp_path / "one" / "first", calibration(), (8, 16))
    second = export(tiny("bert"), name, tmp_path / "two" / "second", calibration(), (8, 16))
    different = [
        file for file in first.manifest.files if (first.path / file).read_bytes() != (second.path / file).read_bytes()
    ]
    assert different == [] and first.artifact_id == second.artifact_id


@pytest.mark.parametrize("family", ["electra", "mobilebert"])
def test_families_that_are_not_rewritten_export_too_or_say_why_not(
    family: str, tiny: Callable[[str], Path], calibration: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("onnx-fp32", "onnx-int8", "openvino-fp32", "tflite-fp32"):
        try:
            made = export(tiny(family), name, tmp_path / name, calibration(), (16,))
        except ExportError as error:
            assert name.endswith("int8") and "lost too much" in error.message, error
        else:
            assert artifacts.load(made.path).manifest.lineage[-1]["clear_agreement"] >= 0.97


@pytest.mark.parametrize("name", ["onnx-int8", "openvino-int8", "tflite-int8"])
def test_a_real_teacher_of_six_layers(name: str, shared: Path, real_teacher_as: Callable[[str], Artifact]) -> None:
    data = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))
    made = real_teacher_as(name)
    figures = made.manifest.lineage[-1]
    assert figures["metric"] >= figures["source_metric"] - 0.02
    assert made.model_bytes < 91_000_000 / 3.5
    test = data["test"][::90]
    with Model.load(made.path) as model:
        answers = model.predict([text for text, _ in test])
        assert golden.check(model.artifact, model.runtime).ok
    right = sum(answer.label == label for answer, (_, label) in zip(answers, test, strict=True))
    assert right >= 0.85 * len(test)


def test_low_power_spares_processor_time_within_a_run(real_teacher_as: Callable[[str], Artifact]) -> None:
    """More threads than work: those that wait spin, or sleep. ONNX Runtime alone spins (docs/runtime.md)."""
    artifact = real_teacher_as("onnx-fp32")
    cost = {}
    for low_power in (False, True):
        with Model.load(artifact.path, threads=4, low_power=low_power) as model:
            asked = [text["text"] for text in golden.records_of(artifact)]
            model.predict(asked)
            runs = []
            for _ in range(5):
                before = time.process_time()
                model.predict(asked)
                runs.append(time.process_time() - before)
            cost[low_power] = median(runs)
    assert cost[True] < 0.8 * cost[False], cost
