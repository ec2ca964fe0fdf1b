"""The teacher on a sample of the task's own text: what its modules are given, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert.compress.batches import pad
from edgebert.compress.channels import Moments
from edgebert.compress.noise import shuffled

if TYPE_CHECKING:
    from torch import Tensor

#: Texts that are looked at.
SAMPLE = 1000
_BATCH = 50

#: Told the input and the output of a module at real tokens, float [tokens, width] each.
Watcher = Callable[["Tensor", "Tensor"], None]


def sample(texts: Iterable[str]) -> list[str]:
    """Some of the texts, the same each time; they are gone through twice, and never held."""
    chosen = [int(i) for i in shuffled(sum(1 for _ in texts), 0)[:SAMPLE]]
    wanted = set(chosen)
    found = {i: text for i, text in enumerate(texts) if i in wanted}
    return [found[i] for i in chosen]


def batches(rows: Sequence[Sequence[int]], pad_id: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and mask, int64 [B, T] each, of rows of like length together."""
    ordered = sorted(rows, key=len)
    for start in range(0, len(ordered), _BATCH):
        yield pad(ordered[start : start + _BATCH], pad_id)


def observe(model: Any, rows: Sequence[Sequence[int]], pad_id: int, watchers: Mapping[str, Sequence[Watcher]]) -> None:
    """Run the rows through `model`; each module that is named tells its watchers."""
    import torch

    mask = torch.ones(0)

    def real(states: Tensor) -> Tensor:
        return states[mask.bool()] if states.dim() == 3 else states

    def telling(told: Sequence[Watcher]) -> Any:
        def hook(module: Any, given: tuple[Tensor, ...], found: Tensor) -> None:
            for watcher in told:
                watcher(real(given[0]), real(found))

        return hook

    with ExitStack() as stack, torch.inference_mode():
        for name, told in watchers.items():
            stack.callback(model.get_submodule(name).register_forward_hook(telling(told)).remove)
        for ids, mask in batches(rows, pad_id):
            model(input_ids=ids, attention_mask=mask)


class Gathered:
    """Sums up the moments of what a module is given, or of what it gives."""

    def __init__(self, *, given: bool = False) -> None:
        self._given, self._count, self._sum, self._square = given, 0, 0.0, 0.0

    def __call__(self, given: Tensor, found: Tensor) -> None:
        """Add the vectors of one batch."""
        rows: Any = (given if self._given else found).double().numpy()
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._square = self._square + rows.T @ rows

    @property
    def moments(self) -> Moments:
        """Of all that was seen."""
        mean = np.asarray(self._sum) / self._count
        return Moments(mean, np.asarray(self._square) / self._count - np.outer(mean, mean))


class Rescaled:
    """How a layer normalization over some channels alone differs from that over all.

    A kept channel of the normalized vector is `scale` times that among the kept alone, plus `shift`, on average.
    """

    def __init__(self, kept: Any) -> None:
        self._kept, self._count, self._scale, self._shift = kept, 0, 0.0, 0.0

    def __call__(self, given: Tensor, found: Tensor) -> None:
        """Add what one batch's vectors are normalized by."""
        part = given[:, self._kept]
        whole = given.std(dim=1, correction=0).clamp(min=1e-12)
        self._count += len(given)
        self._scale += float((part.std(dim=1, correction=0) / whole).double().sum())
        self._shift += float(((part.mean(dim=1) - given.mean(dim=1)) / whole).double().sum())

    @property
    def scale(self) -> float:
        """Mean ratio of the deviations."""
        return self._scale / self._count

    @property
    def shift(self) -> float:
        """Mean difference of the means, in deviations."""
        return self._shift / self._count
