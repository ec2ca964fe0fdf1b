"""A model that INT8 cannot carry is rescued or refused, never passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_tasks import SINGLE

from edgebert import exporting, golden, results
from edgebert.artifact import Artifact
from edgebert.check import Candidate
from edgebert.errors import ExportError, UsageError
from edgebert.export import __main__ as child
from edgebert.export import neurons, parity, smoothing
from edgebert.export.source import load_source, reference_outputs
from edgebert.model import Model
from edgebert.tasks import Encoded
from edgebert.teacher import Teacher

NAMES = ("onnx-int8", "onnx-int8-static", "openvino-int8", "tflite-int8")
GROUPS = ["embeddings", *(f"layers.{n}.{half}" for n in (0, 1) for half in ("attention", "ffn")), "pooler"]
EXACT = 1e-4

#: Channels ten times larger than the others, times a hundred.
OUTLIER = 1000

Hostile = Callable[..., Path]
Run = Callable[..., Artifact]


@pytest.fixture(scope="module")
def hostile(make_teacher: Callable[..., Teacher]) -> Hostile:
    """`hostile([(1, "ffn")])`: the same function, with every eighth channel x 1000 before that product of a layer.

    The weights that read them are / 1000: ReLU and the values of the attention let such a factor through. The mask is
    transformers' own, the least number that there is.
    """

    def make(places: Iterable[tuple[int, str]], layers: int = 2) -> Path:
        import safetensors.torch

        plain, folder = (
            make_teacher("bert", layers=layers, initializer_range=0.3, hidden_act="relu").path for _ in range(2)
        )
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        for layer, half in places:
            prefix = f"bert.encoder.layer.{layer}."
            writes, reads = {
                "ffn": ("intermediate.dense", "output.dense"),
                "attention": ("attention.self.value", "attention.output.dense"),
            }[half]
            weights[f"{prefix}{writes}.weight"][::8] *= OUTLIER
            weights[f"{prefix}{writes}.bias"][::8] *= OUTLIER
            weights[f"{prefix}{reads}.weight"][:, ::8] /= OUTLIER
        safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
        assert np.abs(answers(folder) - answers(plain)).max() < EXACT * answers(plain).std()
        return folder

    return make


def answers(folder: Path) -> np.ndarray:
    windows = [Encoded([2, *range(first, first + 9), 3], [0] * 11) for first in range(10, 40)]
    return np.stack([found["logits"] for found in reference_outputs(load_source(folder, SINGLE), windows, SINGLE)])


@pytest.fixture
def run(job: Callable[..., dict[str, Any]], calibration: Callable[..., Path], tmp_path: Path) -> Run:
    """Export as the child process does, in this one."""

    def export(model: Path, name: str, **options: bool) -> Artifact:
        work = tmp_path / "work"
        work.mkdir()
        return child.export(job(model, name, calibration(), tmp_path / "target") | options, work)

    return export


@pytest.fixture
def rough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would do away with the planted channels is not worth it."""
    monkeypatch.setattr(smoothing, "WORTH", 0.0)
    monkeypatch.setattr(neurons, "WORTH", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[:3])
def test_a_layer_of_outlier_channels_is_smoothed(name: str, hostile: Hostile, run: Run) -> None:
    """Then all of it is within the limits in INT8."""
    made = run(hostile([(1, "ffn")]), name)
    figures = made.manifest.lineage[-1]
    assert "layers.1.down" in made.manifest.precision_parts["smoothed"].split(", ")
    assert "fallback" not in figures and figures["clear_agreement"] >= parity.INT8.agreement
    with Model.load(made.path) as model:
        assert golden.check(model.artifact, model.runtime).ok


@pytest.mark.slow
@pytest.mark.usefixtures("rough")
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_of_outlier_channels_goes_back_to_float(name: str, hostile: Hostile, run: Run) -> None:
    made = run(hostile([(1, "ffn")]), name)
    figures, parts = made.manifest.lineage[-1], made.manifest.precision_parts
    limit = parity.INT8.mean_error * figures["spread"]
    assert figures["fallback"]["float"] == ["layers.1.ffn"] and "float32" in parts["layers.1.ffn"]
    first, *_, last = figures["fallback"]["tried"]
    assert first["float"] == [] and first["mean_error"] > limit >= last["mean_error"] == figures["mean_error"]
    assert figures["clear_agreement"] >= parity.INT8.agreement
    sensitivity = figures["sensitivity"]
    assert sensitivity[0]["group"] == "layers.1.ffn" and sorted(row["group"] for row in sensitivity) == sorted(GROUPS)
    assert sensitivity[0]["mean_error"] > 3 * sensitivity[1]["mean_error"]
    gone = results.went_back([Candidate(name, "artifact", made)])
    (note,) = results.float_notes(gone)
    assert note.startswith(f"{name} keeps layers.1.ffn in float") and gone[name]["sensitivity"] == sensitivity
    with Model.load(made.path) as model:
        assert golden.check(model.artifact, model.runtime).ok


@pytest.mark.slow
@pytest.mark.usefixtures("rough")
def test_without_fallback_it_is_refused(hostile: Hostile, run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="lost too much"):
        run(hostile([(1, "ffn")]), "onnx-int8", fallback=False)
    assert not (tmp_path / "target").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("rough")
def test_where_half_of_the_model_is_hostile_it_is_refused_with_what_was_tried(
    hostile: Hostile, run: Run, tmp_path: Path
) -> None:
    places = [(layer, half) for layer in range(4) for half in ("attention", "ffn")]
    with pytest.raises(ExportError) as caught:
        run(hostile(places, layers=4), "onnx-int8")
    assert "5 of 10 groups" in caught.value.message and caught.value.message.count("mean error") >= 6
    assert not (tmp_path / "target").exists()


def test_what_is_within_the_limits_is_not_touched(exported: Callable[..., Artifact]) -> None:
    figures = exported("bert", "onnx-int8").manifest.lineage[-1]
    assert not {"fallback", "sensitivity"} & set(figures)


def test_sensitivity_is_told_when_asked_for(tiny: Callable[..., Path], run: Run) -> None:
    made = run(tiny("bert"), "onnx-int8", sensitivity=True)
    figures = made.manifest.lineage[-1]
    assert "fallback" not in figures and sorted(row["group"] for row in figures["sensitivity"]) == sorted(GROUPS)
    errors = [row["mean_error"] for row in figures["sensitivity"]]
    assert errors == sorted(errors, reverse=True) and 0 < errors[-1] < errors[0] <= 2 * figures["mean_error"]


def test_sensitivity_of_what_is_not_quantized_is_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="quantizes nothing"):
        exporting.export_artifact(
            tiny("bert"), task="text-classification", format="onnx", precision="fp32", lengths=(8,),
            calibration=None, target=tmp_path / "a", log=tmp_path / "log", sensitivity=True,
        )  # fmt: skip
