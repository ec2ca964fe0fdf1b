"""Outlier neurons: hidden neurons of a feed-forward block that are computed in float, beside the INT8 products.

In fine-tuned BERTs one or two of a block's neurons answer a special token with 20 where all others stay below 6
(Bondarenko et al. 2021 trace it to attention heads that want to do nothing). One scale for the whole activation then
leaves the rest a quarter of its 256 steps, and the factors of SmoothQuant would only carry the trouble over into the
weights. As LLM.int8() (Dettmers et al. 2022) does with channels, those neurons are taken out: their weights are zero in
the INT8 products, whose shapes stay, and a product of one or two rows in float adds what they answer. The function is
the same. TFLite's dynamic range has a scale for each token, and needs none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edgebert.protocols import ExportJob

from . import smoothing
from .modules import Headed, Layer

#: How many neurons of a layer may be taken out: the least of these that gains nearly all there is to gain.
COUNTS = (1, 2, 4, 8)

#: But no more than one in so many.
ONE_IN = 16

#: It is worth it where the error of the product's output falls below this share of what it is with all of them.
WORTH = 0.5

#: Nearly: within this factor of the least error.
NEARLY = 1.15


class Beside(nn.Module):
    """Some neurons of a feed-forward block, in float. No linear layers, which would be quantized like the others."""

    def __init__(
        self, up: nn.Linear, activation: Callable[[Tensor], Tensor], down: nn.Linear, neurons: Sequence[int]
    ) -> None:
        super().__init__()
        self.activation = activation
        self.up = nn.Parameter(up.weight[neurons].T.clone(), requires_grad=False)
        self.bias = nn.Parameter(up.bias[neurons].clone(), requires_grad=False)
        self.down = nn.Parameter(down.weight[:, neurons].T.clone(), requires_grad=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """float32 [batch, length, width] -> the same: what these neurons add to the block's output."""
        added: Tensor = self.activation(hidden @ self.up + self.bias) @ self.down
        return added


def spare(module: nn.Module, job: ExportJob, names: Sequence[str]) -> tuple[str, ...]:
    """Take the outlier neurons of an encoder out of its INT8 products, in place, where that gains.

    Args:
        module: of `graph.exportable`, before it is smoothed; models of other families stay as they are.
        job: without calibration text no neuron is taken out, nor of what was trained for INT8.
        names: of the module's inputs.

    Returns:
        Those that were, as `layers.0:17,203`.
    """
    if not smoothing.applies(module, job) or not isinstance(module, Headed):
        return ()
    layers: dict[str, Layer] = dict(module.encoder.layers.named_children())  # type: ignore[arg-type]
    done = []
    with torch.inference_mode():
        read = smoothing.inputs_of(module, {number: layer.down for number, layer in layers.items()}, job, names)
    with torch.no_grad():
        for number, layer in layers.items():
            neurons = _outliers(layer.down, read[number])
            if neurons:
                layer.beside = Beside(layer.up, layer.activation, layer.down, neurons)
                layer.up, layer.down = _without(layer.up, rows=neurons), _without(layer.down, columns=neurons)
                done.append(f"layers.{number}:{','.join(map(str, neurons))}")
    return tuple(done)


def _outliers(down: nn.Linear, windows: Sequence[Tensor]) -> list[int]:
    """The neurons whose absence makes the INT8 product's output exact enough to be worth it; often none."""
    order = torch.stack([window.abs().amax(0) for window in windows]).amax(0).argsort(descending=True)

    def error(count: int) -> float:
        kept = torch.ones(down.in_features)
        kept[order[:count]] = 0.0
        lost = torch.cat([smoothing.rounded(window * kept) - window * kept for window in windows]) @ down.weight.T
        return float(lost.square().mean().sqrt())

    errors = {count: error(count) for count in COUNTS if count * ONE_IN <= down.in_features}
    best = min(errors.values(), default=float("inf"))
    if best >= WORTH * error(0):
        return []
    least = next(count for count, value in errors.items() if value <= NEARLY * best)
    return sorted(int(neuron) for neuron in order[:least])


def _without(linear: nn.Linear, rows: Sequence[int] = (), columns: Sequence[int] = ()) -> nn.Linear:
    """The layer with zeros for some of its outputs and inputs."""
    copy = nn.Linear(linear.in_features, linear.out_features)
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    weight[list(rows)], bias[list(rows)] = 0.0, 0.0
    weight[:, list(columns)] = 0.0
    copy.weight, copy.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return copy
