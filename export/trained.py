"""What quantization-aware training settled: the integers of the weights and the ranges of the activations.

A student that was trained so has `qat.json` beside its weights (`edgebert.compress.qat`). Its weights are integers
from -64 to 64 times one scale per output channel, so the integers are read off the weights again; the ranges are in
the file. Exporters put both in the place of what their quantizer found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import ExportError
from edgebert.protocols import ExportJob
from edgebert.tasks import Task

from .groups import group_of
from .source import Source

FILE = "qat.json"

#: In the manifest's words about precision.
HOW = "trained integers, half range"

#: How far from an integer a weight may be that was computed from one: queries are scaled by the size of a head.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Product:
    """One matrix product: int8 [outputs, inputs], float32 [outputs] scales and biases, and its input's range."""

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32]
    low: float
    high: float

    def grid(self) -> tuple[np.float32, int]:
        """Scale and zero point of its input in 8 unsigned bits, as the training rounded it."""
        scale = np.float32(max((np.float32(self.high) - np.float32(self.low)) / np.float32(255), np.float32(1e-12)))
        return scale, int(np.clip(np.round(-np.float32(self.low) / scale), 0, 255))

    def ends(self) -> tuple[float, float]:
        """The range's ends with zero on the grid: what 0 and 255 stand for."""
        scale, zero = self.grid()
        return -zero * float(scale), (255 - zero) * float(scale)


def products(job: ExportJob, source: Source, task: Task) -> dict[str, Product]:
    """The trained products by module (`encoder.layers.0.up`), those that the job keeps in float excepted.

    Empty where the model was not trained so, or the job is not of an INT8 precision.

    Raises:
        ExportError: `qat.json` is damaged, or not of these weights.
    """
    path = job.model / FILE
    if not path.is_file() or not job.precision.startswith("int8"):
        return {}
    from .graph import exportable
    from .modules import Headed

    module, _ = exportable(source, task, job.lengths[-1])
    if not isinstance(module, Headed):
        raise ExportError(
            f"{FILE} stands beside a model of a family whose trained integers cannot be carried over",
            f"delete {path.name} to have it quantized without them",
        )
    try:
        content = json.loads(path.read_text("utf-8"))
        largest = int(content["largest_integer"])
        ranges = {name: (float(ends["min"]), float(ends["max"])) for name, ends in content["activations"].items()}
        found = {}
        for place, site in _sites(module).items():
            if group_of(place) not in job.float_groups:
                low, high = ranges[site]
                if not (0 < largest <= 127 and -np.inf < low <= 0.0 <= high < np.inf):
                    raise ValueError(f"{site} has no range")
                found[place] = _product(module.get_submodule(place), largest, low, high)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(
            f"{FILE} does not fit the model: {error}",
            "the weights were changed after the training, or the file was: train again, or delete the file to have "
            "the model quantized without it",
        ) from error
    return found


def _sites(module: Any) -> dict[str, str]:
    """Linear layers of the graph -> the names of their activations in the file."""
    found = {}
    for number, layer in enumerate(module.encoder.layers):
        at = f"encoder.layers.{number}"
        found[f"{at}.attention.packed"] = f"layers.{number}.attention"
        if layer.attention.first:
            found[f"{at}.attention.query"] = f"layers.{number}.attention"
        found |= {f"{at}.{name}": f"layers.{number}.{name}" for name in ("output", "up", "down")}
    return found | ({"head.pooler": "pooler"} if hasattr(module.head, "pooler") else {})


def _product(linear: Any, largest: int, low: float, high: float) -> Product:
    weight = linear.weight.detach().numpy()
    scales = np.maximum(np.abs(weight).max(axis=1) / largest, 1e-12).astype(np.float32)
    exact = weight / scales[:, None]
    integers = np.round(exact)
    if np.abs(exact - integers).max() > _ROUNDING:
        raise ValueError("its weights are no integers times a scale")
    return Product(integers.astype(np.int8), scales, linear.bias.detach().numpy(), low, high)
