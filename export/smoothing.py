"""SmoothQuant (Xiao et al. 2023): products whose activations have a few channels far larger than the others.

One scale for the whole tensor leaves the small channels of such an activation few of its 256 steps. So each channel is
divided by a factor of its own, and the weights that read it are multiplied by that: the same function,
`x W = (x / s) (s W)`, with activations that are easier to quantize and weights, whose outputs have a scale each, that
are a little harder. Where the paper folds the division into the layer normalization before, here it is a multiplication
in the graph: in a BERT the residual connection reads the same activations, and a GELU lets no factor through. It costs
as much as reading the activations once more, so only products that gain by it get it: nothing changes in a model that
has no such channels. Formats that scale activations token by token (TFLite's dynamic range) need none of this.

Tables of word pieces have the same trouble, one scale for all and a few large channels, and the same way out (`level`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgebert.protocols import ExportJob
from edgebert.tensors import tensors

from . import calibration
from .modules import Headed
from .trained import FILE

#: How much of an activation's range goes into the weights (the paper's migration strength): the best of these. With
#: calibrated ranges, which cut the largest values off anyway, less is better than what single windows make it seem:
#: on WNUT-17's teacher in OpenVINO logits were off by 0.071 without it, 0.059 with `WEAK`, 0.093 with `STRONG`.
STRONG = (0.5, 0.6, 0.7, 0.8, 0.9)
WEAK = (0.3, 0.4, 0.5)

#: A product gets it where the error of its output falls below this share of what it is without.
WORTH = 0.7

#: Tokens of calibration text that errors are measured on.
TOKENS = 1024

#: Channels whose largest value is below this share of the median channel's count as being there.
QUIET = 0.1


class Smoothed(nn.Module):
    """A linear layer that divides its input's channels, [inputs], and has weights that make up for it."""

    def __init__(self, linear: nn.Linear, factors: Tensor) -> None:
        super().__init__()
        self.inverse = nn.Parameter(1.0 / factors, requires_grad=False)
        self.linear = nn.Linear(linear.in_features, linear.out_features)
        self.linear.weight = nn.Parameter(linear.weight.detach() * factors, requires_grad=False)
        self.linear.bias = linear.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """float32 [batch, length, inputs] -> [batch, length, outputs]."""
        product: Tensor = self.linear(hidden * self.inverse)
        return product


class Levelled(nn.Module):
    """An embedding whose channels have the same largest value, and are multiplied by their own, [width], after it."""

    def __init__(self, embedding: nn.Embedding, factors: Tensor) -> None:
        super().__init__()
        self.factors = nn.Parameter(factors, requires_grad=False)
        self.embedding = nn.Embedding(*embedding.weight.shape)
        self.embedding.weight = nn.Parameter(embedding.weight.detach() / factors, requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        """[batch, length] -> float32 [batch, length, width]."""
        found: Tensor = self.embedding(ids) * self.factors
        return found


def level(module: nn.Module) -> tuple[str, ...]:
    """Level an encoder's tables in place, where that leaves less than `WORTH` of their rounding error.

    Returns:
        The names of those that were: `words`; `positions` where they are looked up.
    """
    if not isinstance(module, Headed):
        return ()
    encoder, done = module.encoder, []
    for name in ("words", "positions") if encoder.look_up_positions else ("words",):
        table = getattr(encoder, name)
        if isinstance(table, nn.Embedding):
            largest = table.weight.detach().abs().amax(0).clamp(min=1e-5)
            # Each channel's error is in proportion to its scale: its own largest value, or that of all.
            if float(largest.square().mean().sqrt()) < WORTH * float(largest.max()):
                setattr(encoder, name, Levelled(table, largest.clone()))
                done.append(name)
    return tuple(done)


def smooth(
    module: nn.Module, job: ExportJob, names: Sequence[str], strengths: Sequence[float] = STRONG
) -> tuple[str, ...]:
    """Smooth the layers of an encoder in place, those that gain by it.

    Args:
        module: of `graph.exportable`; models of other families stay as they are.
        job: without calibration text nothing is smoothed, nor what was trained for INT8.
        names: of the module's inputs.
        strengths: to choose from.

    Returns:
        The names of the linear layers that were.
    """
    if not applies(module, job) or not isinstance(module, Headed):
        return ()
    linears = {name: layer for name, layer in module.encoder.layers.named_modules() if isinstance(layer, nn.Linear)}
    chosen = []
    with torch.inference_mode():
        read = inputs_of(module, linears, job, names)
        found = {name: _factors(linear, read[name], strengths) for name, linear in linears.items()}
    for name, factors in found.items():
        if factors is not None:
            parent, _, own = name.rpartition(".")
            setattr(module.encoder.layers.get_submodule(parent), own, Smoothed(linears[name], factors.clone()))
            chosen.append(f"layers.{name}")
    return tuple(chosen)


def applies(module: nn.Module, job: ExportJob) -> bool:
    """Whether a model's activations may be moved: it is one of ours, there is text, and no training settled them."""
    return isinstance(module, Headed) and job.calibration is not None and not (job.model / FILE).is_file()


def inputs_of(
    module: Headed, linears: dict[str, nn.Linear], job: ExportJob, names: Sequence[str]
) -> dict[str, list[Tensor]]:
    """What each layer reads of some calibration text: for each window [tokens, channels]."""
    read: dict[str, list[Tensor]] = {name: [] for name in linears}
    hooks = [
        linear.register_forward_pre_hook(lambda _, given, name=name: read[name].append(given[0][0].clone()))
        for name, linear in linears.items()
    ]
    left = TOKENS
    for window in calibration.calibration_encoded(job):
        given = tensors(window, names, ())
        module(*(torch.from_numpy(given[name]) for name in names))
        left -= len(window.input_ids)
        if left <= 0:
            break
    for hook in hooks:
        hook.remove()
    return read


def _factors(linear: nn.Linear, windows: Sequence[Tensor], strengths: Sequence[float]) -> Tensor | None:
    """The channels' factors with the least error of the output, or None where plain quantization is about as good."""
    channels = torch.stack([window.abs().amax(0) for window in windows]).amax(0)
    # Other texts may wake channels that these leave asleep: none is blown up by what it never was.
    channels = channels.clamp(min=max(1e-5, QUIET * float(channels.median())))
    weights = linear.weight.abs().amax(0).clamp(min=1e-5)
    exact = torch.cat(list(windows)) @ linear.weight.T

    def error(factors: Tensor) -> float:
        given = torch.cat([rounded(window / factors) for window in windows])
        return float((given @ rounded_weight(linear.weight * factors).T - exact).square().mean().sqrt())

    tried = []
    for strength in strengths:
        factors = channels**strength / weights ** (1.0 - strength)
        tried.append((factors / factors.log().mean().exp()).clamp(1e-3, 1e3))
    errors = [error(factors) for factors in tried]
    best = min(range(len(tried)), key=errors.__getitem__)
    return tried[best] if errors[best] < WORTH * error(torch.ones_like(channels)) else None


def rounded(activations: Tensor) -> Tensor:
    """As 8 bits with one scale and zero point hold it."""
    low, high = activations.min().clamp(max=0.0), activations.max().clamp(min=0.0)
    scale = ((high - low) / 255).clamp(min=1e-12)
    return ((activations - low) / scale).round() * scale + low


def rounded_weight(weight: Tensor) -> Tensor:
    """As 8 bits with one scale for each output hold it."""
    scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12)
    return (weight / scale).round() * scale
