"""Between a narrow student's states and the teacher's: linear maps that are learned with the student and then dropped.

One for the embeddings and one for each layer, as TinyBERT's (Jiao et al. 2020, arXiv:1909.10351, equations 8 and 9,
with one for all layers). While the student is trained they are part of the model, so that the optimizer, checkpoints
and the number formats treat them like any of its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert.compress.hidden import Origin

if TYPE_CHECKING:
    from torch import Tensor

#: Beside a student that was cut out narrower: the channels that it took, and the maps to begin with.
FILE = "projections.safetensors"
_NAME = "projections"


def save_origin(origin: Origin, folder: Path) -> None:
    """Write what `projected` begins with into a student's folder."""
    from safetensors.numpy import save_file

    arrays = {"channels": origin.channels}
    for number, told in enumerate(origin.told):
        arrays[f"{number}.weight"] = np.ascontiguousarray(told.matrix, dtype=np.float32)
        arrays[f"{number}.bias"] = told.offset.astype(np.float32)
    save_file(arrays, folder / FILE)


def channels_of(folder: Path) -> Tensor | None:
    """The teacher's channels that a student took, int64 [width]; None where it is as wide, or took none."""
    from safetensors.torch import load_file

    return load_file(folder / FILE)["channels"] if (folder / FILE).is_file() else None


@contextmanager
def projected(model: Any, width: int, folder: Path, seed: int) -> Iterator[None]:
    """Inside, `model` has maps from its states to a teacher's `width`, where the two differ.

    Args:
        model: the student's.
        width: of the teacher's states.
        folder: the student's, as it was built: the maps begin with what `save_origin` left there, else at random.
        seed: of the random ones.
    """
    import torch
    from safetensors.torch import load_file

    size = int(model.config.hidden_size)
    if size == width:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maps = torch.nn.ModuleList(torch.nn.Linear(size, width) for _ in range(model.config.num_hidden_layers + 1))
    if (folder / FILE).is_file():
        kept = load_file(folder / FILE)
        # Of a student whose layers begin at random there is only the embeddings' map.
        maps.load_state_dict({name: tensor for name, tensor in kept.items() if name != "channels"}, strict=False)
    setattr(model, _NAME, maps)
    try:
        yield
    finally:
        delattr(model, _NAME)


def project(model: Any, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The student's states after the embeddings and each layer, [B, T, width], in the teacher's width."""
    maps = getattr(model, _NAME, None)
    if maps is None or not states:
        return states
    return tuple(linear(state) for linear, state in zip(maps, states, strict=True))
