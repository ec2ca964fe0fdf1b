"""The few neurons that answer far more than the others are computed in float, where that helps."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from dataclasses import replace

import onnx
import pytest
import torch

from edgebert import artifact as artifacts
from edgebert import exporting
from edgebert.export import graph, neurons, smoothing
from edgebert.export.groups import beside
from edgebert.export.trained import FILE
from edgebert.protocols import ExportJob

Planted = Callable[..., tuple[ExportJob, torch.nn.Module, tuple[str, ...]]]
Answers = Callable[[torch.nn.Module, tuple[str, ...]], torch.Tensor]


def of_second_layer(layers: Iterable[str]) -> list[int]:
    return [int(neuron) for layer in layers if layer.startswith("layers.1:") for neuron in layer[9:].split(",")]


def test_the_neuron_that_stands_out_is_taken_out_and_the_function_stays(planted: Planted, answers: Answers) -> None:
    job, module, names = planted(100.0, channels=[5, 11])
    before = answers(module, names)
    found = of_second_layer(neurons.spare(module, job, names))
    assert {5, 11} <= {*found} and len(found) <= 4
    assert isinstance(module, graph.Headed)
    layer = module.encoder.layers[1]
    assert not layer.up.weight[[5, 11]].any() and not layer.up.bias[[5, 11]].any()
    assert not layer.down.weight[:, [5, 11]].any() and layer.down.weight.any(0).sum() == 64 - len(found)
    near = 1e-4 * float(before.std())
    assert torch.allclose(answers(module, names), before, atol=near)
    smoothing.smooth(module, job, names)
    assert torch.allclose(answers(graph.with_convolutions(module), names), before, atol=near)


def test_the_rounding_error_falls(planted: Planted) -> None:
    """Of what the block puts out, activations in 8 bits."""
    job, module, names = planted(100.0, channels=[5])
    assert isinstance(module, graph.Headed)

    def error() -> float:
        down = module.encoder.layers[1].down
        windows = smoothing.inputs_of(module, {"down": down}, job, names)["down"]
        lost = torch.cat([smoothing.rounded(window) - window for window in windows]) @ down.weight.T
        return float(lost.square().mean().sqrt())

    before = error()
    neurons.spare(module, job, names)
    assert error() < 0.1 * before


def test_none_is_taken_out_where_none_stands_out(planted: Planted) -> None:
    job, module, names = planted(1.0)
    assert neurons.spare(module, job, names) == ()
    assert isinstance(module, graph.Headed) and module.encoder.layers[1].beside is None


def test_nor_without_text_nor_of_what_was_trained_nor_in_a_family_that_is_exported_as_written(planted: Planted) -> None:
    job, module, names = planted(100.0, channels=[5])
    assert neurons.spare(module, replace(job, calibration=None), names) == ()
    (job.model / FILE).write_text("{}")
    assert neurons.spare(module, job, names) == ()
    (job.model / FILE).unlink()
    assert neurons.spare(module, job, names)
    job, module, names = planted(100.0, "electra", channels=[5])
    assert neurons.spare(module, job, names) == ()


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-int8-static", "openvino-int8"])
def test_they_are_in_the_artifact_in_float_and_it_says_so(name: str, planted: Planted) -> None:
    job, _, _ = planted(100.0, channels=[5, 11])
    target = job.out / "made"
    format, _, precision = name.partition("-")
    exporting.export_artifact(
        job.model, task=job.task, format=format, precision=precision, lengths=job.lengths,
        calibration=job.calibration, target=target, log=job.out / "log", fallback=False,
    )  # fmt: skip
    made = artifacts.load(target)
    layers = made.manifest.precision_parts["float_neurons"].split()
    assert {5, 11} <= {*of_second_layer(layers)} and "fallback" not in made.manifest.lineage[-1]
    if format == "onnx":
        nodes = [node.op_type for node in onnx.load(str(target / "model.onnx")).graph.node if beside(node.name)]
        assert nodes.count("MatMul") == 2 * len(layers) and not {"MatMulInteger", "DequantizeLinear"} & {*nodes}
    else:
        found = ElementTree.parse(target / "openvino_model.xml").iter("layer")
        kinds = [layer.get("type") for layer in found if beside(str(layer.get("name")))]
        assert kinds.count("MatMul") == 2 * len(layers) and "FakeQuantize" not in kinds
