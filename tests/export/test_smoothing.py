"""Channels far larger than the others are divided before they are quantized, where that helps."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgebert.export import graph, smoothing
from edgebert.export.trained import FILE
from edgebert.protocols import ExportJob

Planted = Callable[..., tuple[ExportJob, torch.nn.Module, tuple[str, ...]]]
Answers = Callable[[torch.nn.Module, tuple[str, ...]], torch.Tensor]


def test_the_product_that_gains_is_smoothed_and_computes_the_same(planted: Planted, answers: Answers) -> None:
    job, module, names = planted(1000.0)
    before = answers(module, names)
    assert set(smoothing.smooth(module, job, names)) - {"layers.1.up"} == {"layers.1.down"}
    assert isinstance(module, graph.Headed)
    down = module.encoder.layers[1].down
    planted_ones, others = down.inverse[::8], down.inverse.view(-1, 8)[:, 1:]
    assert planted_ones.median() < others.median() / 100, "the planted channels are divided by more"
    assert torch.allclose(answers(module, names), before, atol=1e-4 * float(before.std()))
    assert torch.allclose(answers(graph.with_convolutions(module), names), before, atol=1e-4 * float(before.std()))


def test_nothing_is_smoothed_where_nothing_is_gained(planted: Planted) -> None:
    job, module, names = planted(1.0)
    assert smoothing.smooth(module, job, names) == ()


def test_nor_without_text_nor_what_was_trained_nor_in_a_family_that_is_exported_as_written(planted: Planted) -> None:
    job, module, names = planted(1000.0)
    assert smoothing.smooth(module, ExportJob(**(vars(job) | {"calibration": None})), names) == ()
    (job.model / FILE).write_text("{}")
    assert smoothing.smooth(module, job, names) == ()
    (job.model / FILE).unlink()
    assert "layers.1.down" in smoothing.smooth(module, job, names)
    job, module, names = planted(1000.0, "electra")
    assert smoothing.smooth(module, job, names) == ()


def test_the_error_falls(planted: Planted) -> None:
    """Of the planted product's output, in integers as the quantizers make them."""
    job, module, names = planted(1000.0)
    assert isinstance(module, graph.Headed)
    linear = module.encoder.layers[1].down
    read = smoothing.inputs_of(module, {"1.down": linear}, job, names)["1.down"]
    factors = smoothing._factors(linear, read, smoothing.STRONG)
    assert factors is not None
    exact = torch.cat(read) @ linear.weight.T

    def error(factors: torch.Tensor) -> float:
        inputs = torch.cat([smoothing.rounded(each / factors) for each in read])
        return float((inputs @ smoothing.rounded_weight(linear.weight * factors).T - exact).abs().max())

    assert error(factors) < 0.02 * float(exact.abs().max()) < 10 * error(factors)
    assert error(torch.ones_like(factors)) > 5 * error(factors)


def test_a_table_with_a_few_large_channels_is_levelled_and_looked_up_the_same(
    planted: Planted, answers: Answers
) -> None:
    _, module, names = planted(1.0)
    assert isinstance(module, graph.Headed) and smoothing.level(module) == ()
    with torch.no_grad():
        module.encoder.words.weight[:, 3] *= 30.0
    before = answers(module, names)
    assert smoothing.level(module) == ("words",)
    largest = module.encoder.words.embedding.weight.abs().amax(0)
    assert torch.allclose(largest, torch.ones_like(largest))
    assert torch.allclose(answers(module, names), before, atol=1e-5 * float(before.std()))
    assert smoothing.level(module) == (), "once"
    _, module, _ = planted(1.0, "electra")
    assert smoothing.level(module) == ()
