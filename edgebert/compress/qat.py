"""Quantization-aware training: the student goes on learning while it already computes as its INT8 artifacts will.

After distillation, for some hundred steps and with the same losses, every product with weights reads activations and
weights that are rounded as an engine rounds them (Jacob et al. 2018, arXiv:1712.05877), and gradients pass through the
rounding. What comes out is a plain student whose weights *are* integers times a scale, and the ranges of its
activations; exporters carry both into their format (`qat.json`, read by `export/trained.py`).

- Weights: one scale per output channel, integers from -64 to 64. Half the range of INT8, because the sums of two such
  products with unsigned activations fit into 16 bits: no x86 processor saturates. The largest weight of a channel is
  always 64, a power of two, so that the scale is found again in the weights, bit for bit.
- Activations: one unsigned 8-bit range per tensor. It begins where the squared error on the training text is least,
  and is learned: the gradient of both ends is that of LSQ+ (Bhalgat et al. 2020, arXiv:2004.09576).
- Word embeddings: one scale, as formats look them up; their rounding is learned around, and not stored.
- Products of two activations, layer norms and the classifier stay float, as they do in every artifact.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgebert.compress.families import Family
from edgebert.errors import RecipeError
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.recipe import DistillSpec, QatSpec

#: Beside a student that was trained so: the largest integer of its weights, and the ranges of its activations.
FILE = "qat.json"
LARGEST = 64

#: Examples that ranges begin with.
CALIBRATION_EXAMPLES = 512

#: AdamW moves a parameter by about the learning rate at each step; a range by so many times that, relative to itself.
_SPEED = 50.0
_LEVELS = 255
_SAMPLE = 1 << 16
_RANGES = "qat_ranges"


class Quantizers:
    """The rounding inside a model, from its making until `settle`.

    Args:
        model: a BERT or DistilBERT of transformers, changed in place.
        family: where it keeps its layers.
        task: whether there is a layer before the classifier.
        batches: of the training, for the ranges to begin with.

    Raises:
        RecipeError: a model of another family.
    """

    def __init__(self, model: Any, family: Family, task: Task, batches: Sequence[Mapping[str, Tensor]]) -> None:
        self._model, self._sites = model, sites_of(model, family, task)
        self._words = model.get_submodule(family.word_embeddings.removesuffix(".weight"))
        with torch.no_grad():
            ends = _calibrated(model, {name: linears[0] for name, linears in self._sites.items()}, batches)
        ranges = {_slot(name): _Range(*ends[name]) for name in self._sites}
        setattr(model, _RANGES, nn.ModuleDict(ranges))
        for name, linears in self._sites.items():
            for linear in linears:
                linear.__class__ = _Linear
                linear.__dict__["range"] = ranges[_slot(name)]  # past the module's registry: queries and keys share it
        self._words.__class__ = _Words

    def settle(self) -> dict[str, tuple[float, float]]:
        """Round the weights for good and leave a plain model; the ranges by site: `layers.0.up` -> least, largest."""
        found = {}
        for name, linears in self._sites.items():
            low, high = (end.detach() for end in getattr(self._model, _RANGES)[_slot(name)].ends())
            found[name] = (float(low), float(high))
            for linear in linears:
                linear.weight.data = on_grid(linear.weight.detach())
                linear.__class__ = nn.Linear
                del linear.__dict__["range"]
        self._words.__class__ = nn.Embedding
        delattr(self._model, _RANGES)
        return found


def settings_of(spec: DistillSpec, qat: QatSpec, examples: int) -> DistillSpec:
    """Those of the distillation, for so many steps on so many examples; FP32, since BF16 cannot hold the integers."""
    epochs = math.ceil(qat.steps * spec.batch_size / examples)
    changed = {"epochs": epochs, "max_steps": qat.steps, "lr": qat.lr, "weight_decay": 0.0, "precision": "fp32"}
    return spec.model_copy(update=changed)


def calibration_batches(
    collate: Callable[[Sequence[tuple[int, int]]], Mapping[str, Tensor]], examples: int, size: int
) -> list[Mapping[str, Tensor]]:
    """Batches of examples evenly spread over the training text."""
    count = min(CALIBRATION_EXAMPLES, examples)
    rows = [(0, number * examples // count) for number in range(count)]
    return [collate(rows[start : start + size]) for start in range(0, count, size)]


def save(ranges: Mapping[str, tuple[float, float]], folder: Path) -> None:
    """Write what exporters must know into a student's folder."""
    activations = {name: {"min": low, "max": high} for name, (low, high) in ranges.items()}
    content = {"version": 1, "largest_integer": LARGEST, "activations": activations}
    (folder / FILE).write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def sites_of(model: Any, family: Family, task: Task) -> dict[str, list[nn.Linear]]:
    """The places where activations are rounded, with the layers that read them: queries, keys and values read one.

    Raises:
        RecipeError: a family whose graph the exporters do not write themselves.
    """
    if family.model_type not in ("bert", "distilbert") or family.ffn_out is None:
        raise RecipeError(
            f"qat is for BERT and DistilBERT, and this student is a {family.model_type}",
            "leave qat out: where INT8 loses too much, operators stay in float",
        )
    found: dict[str, list[nn.Linear]] = {}
    layers = len(model.get_submodule(family.layer_prefix.removesuffix(".")))
    for number in range(layers):
        inside = {
            "attention": family.projections,
            "output": (family.attention_out,),
            "up": (family.ffn_in,),
            "down": (family.ffn_out,),
        }
        for site, names in inside.items():
            found[f"layers.{number}.{site}"] = [
                model.get_submodule(f"{family.layer_prefix}{number}.{name}") for name in names
            ]
    if task.name == "text-classification":
        found["pooler"] = [model.get_submodule(family.pooled)]
    return found


def on_grid(weight: Tensor) -> Tensor:
    """Float32 [outputs, inputs] -> the nearest integers from -64 to 64 times each output's scale; gradients pass."""
    scale = (weight.detach().abs().amax(dim=1) / LARGEST).clamp(min=1e-12)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -LARGEST, LARGEST)


class _Range(nn.Module):
    """The two ends of a tensor's range: where they began, and how far they have moved (logarithms)."""

    base: Tensor

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.register_buffer("base", torch.tensor([low, high]))
        self.moved = nn.Parameter(torch.zeros(2))

    def ends(self) -> tuple[Tensor, Tensor]:
        """Least and largest value, float32 scalars; zero lies between them."""
        low, high = self.base * torch.exp(_SPEED * self.moved)
        return low, high


class _Linear(nn.Linear):
    """A linear layer that reads rounded activations and multiplies them by rounded weights."""

    range: _Range

    def forward(self, input: Tensor) -> Tensor:
        """Float [..., inputs] -> [..., outputs]."""
        rounded: Tensor = _Rounded.apply(input.float(), *self.range.ends())  # type: ignore[no-untyped-call]
        return nn.functional.linear(rounded, on_grid(self.weight), self.bias)


class _Words(nn.Embedding):
    """Word embeddings as a table of INT8 with one scale gives them."""

    def forward(self, input: Tensor) -> Tensor:
        """Int64 [...] -> float32 [..., width]."""
        scale = (self.weight.detach().abs().amax() / 127).clamp(min=1e-12)
        return torch.fake_quantize_per_tensor_affine(
            super().forward(input), scale, torch.zeros_like(scale, dtype=torch.int32), -127, 127
        )


class _Rounded(torch.autograd.Function):
    """Activations on 256 levels between two ends, float32; the gradients of LSQ+, scaled as in LSQ."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        scale, zero = _grid(low, high)
        ctx.save_for_backward(values, scale, zero)
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, _LEVELS)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,), (values, scale, zero) = gradients, ctx.saved_tensors
        place = torch.round(values / scale) + zero
        below, above = place < 0, place > _LEVELS
        inside = ~(below | above)
        error = ((place - zero) * scale - values) / (scale * _LEVELS)
        step = (gradient * error * inside).sum()
        weight = 1.0 / math.sqrt(values.numel() * _LEVELS)
        low, high = (gradient * below).sum() - step, (gradient * above).sum() + step
        return gradient * inside, low * weight, high * weight


def _grid(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Scale (float32) and zero point (int32) of a range."""
    scale = ((high - low) / _LEVELS).clamp(min=1e-12)
    return scale, torch.round(-low / scale).clamp(0, _LEVELS).to(torch.int32)


def _calibrated(
    model: Any, readers: Mapping[str, nn.Linear], batches: Sequence[Mapping[str, Tensor]]
) -> dict[str, tuple[float, float]]:
    """For each site the range with the least squared error on what real tokens (no padding) bring there."""
    from edgebert.compress.training import accepts_types

    seen: dict[str, list[Tensor]] = {name: [] for name in readers}
    ends = dict.fromkeys(readers, (0.0, 0.0))
    mask = torch.ones(0)

    def keeping(name: str) -> Any:
        def hook(module: Any, given: tuple[Tensor]) -> None:
            values = (given[0][mask.bool()] if given[0].dim() == 3 else given[0]).float().flatten()
            low, high = ends[name]
            ends[name] = (min(low, float(values.amin())), max(high, float(values.amax())))
            stride = max(1, values.numel() * len(batches) // _SAMPLE)
            while math.gcd(stride, module.in_features) > 1:  # of all channels alike
                stride += 1
            seen[name].append(values[::stride])

        return hook

    with ExitStack() as stack:
        for name, linear in readers.items():
            stack.callback(linear.register_forward_pre_hook(keeping(name)).remove)
        for batch in batches:
            mask = batch["attention_mask"]
            given = {"input_ids": batch["input_ids"], "attention_mask": mask}
            if "token_type_ids" in batch and accepts_types(model):
                given["token_type_ids"] = batch["token_type_ids"]
            model(**given)
    return {name: _best(torch.cat(parts), *ends[name]) for name, parts in seen.items()}


def _best(values: Tensor, low: float, high: float) -> tuple[float, float]:
    """Of ranges from `low` and `high` inwards, the one that rounds the values with the least squared error."""
    choices = [(low * 0.95**power, high * 0.95**power) for power in range(40)]
    errors = []
    for choice in choices:
        rounded = torch.fake_quantize_per_tensor_affine(values, *_grid(*torch.tensor(choice)), 0, _LEVELS)
        errors.append(float((rounded - values).square().sum()))
    return choices[errors.index(min(errors))]


def _slot(name: str) -> str:
    return name.replace(".", "_")
