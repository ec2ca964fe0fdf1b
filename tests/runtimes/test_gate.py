"""A conversion that went wrong never becomes an artifact, whatever the engine says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert import exporting
from edgebert.errors import ExportError
from edgebert.export import __main__ as child
from edgebert.protocols import ExportedModel, ExportJob


@dataclass(frozen=True)
class Spoilt:
    """The real exporter, whose result is then damaged in a way that every loader accepts."""

    real: Any
    damage: Callable[[np.ndarray], np.ndarray]

    def export(self, job: ExportJob) -> ExportedModel:
        import onnx
        from onnx import numpy_helper

        made: ExportedModel = self.real.export(job)
        model = onnx.load(str(job.out / made.files[0]))
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype == np.int8 and array.ndim == 2:
                tensor.CopyFrom(numpy_helper.from_array(self.damage(array).astype(np.int8), tensor.name))
        onnx.save(model, str(job.out / made.files[0]))
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@pytest.mark.parametrize(
    "damage",
    [lambda w: w // 96 * 96, lambda w: -w, lambda w: np.roll(w, 1, axis=0)],
    ids=["too coarse", "wrong sign", "rows shifted"],
)
def test_a_planted_bad_model_is_refused_and_nothing_is_written(
    damage: Callable[[np.ndarray], np.ndarray],
    tiny: Callable[[str], Path],
    calibration: Callable[..., Path],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoilt = Spoilt(exporting.exporter("onnx"), damage)
    monkeypatch.setattr(exporting, "exporter", lambda format: spoilt)
    work, target = tmp_path / "work", tmp_path / "target"
    work.mkdir()
    with pytest.raises(ExportError, match=r"lost too much.*\d"):
        child.export(job(tiny("bert"), "onnx-int8", calibration(), target) | {"fallback": False}, work)
    assert not target.exists() and not (work / "golden.json").exists()


def test_an_undamaged_one_passes_the_same_way(
    tiny: Callable[[str], Path],
    calibration: Callable[..., Path],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoilt = Spoilt(exporting.exporter("onnx"), lambda weights: weights)
    monkeypatch.setattr(exporting, "exporter", lambda format: spoilt)
    (tmp_path / "work").mkdir()
    made = child.export(job(tiny("bert"), "onnx-int8", calibration(), tmp_path / "target"), tmp_path / "work")
    assert made.path == tmp_path / "target"
