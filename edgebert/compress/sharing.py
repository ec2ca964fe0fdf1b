"""What a process's share of a batch weighs, where several train together.

A loss is a mean, over texts, tokens, or whatever it compares. The mean of the means of uneven shares is another number,
so each is weighed by how much of it the share holds: averaged over the processes, losses and gradients are then those
of the whole batch, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from edgebert import parallel
from edgebert.compress.objectives import IGNORED

#: What a loss is a mean over: texts, real tokens, pairs of such in one text, targets that are known, or the batch as a
#: whole, of which each process then has all rows.
Unit = Literal["rows", "tokens", "pairs", "known", "batch"]
_COUNTED = ("rows", "tokens", "pairs", "known")

#: Stands for the number of a copy of which nothing is kept.
NEVER_KEPT = 1 << 40

Pairs = Sequence[tuple[int, int]]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Share:
    """One process's share of a batch of `rows` texts.

    `counts` says how much of each unit it holds, float64 [4]. Without `weights`, float32 [4], it has not been compared
    with the other shares.
    """

    rows: int
    counts: Tensor
    weights: Tensor | None = None

    def compared(self, device: torch.device) -> Share:
        """With weights, which take all processes of the group to find."""
        own = self.counts.to(device)
        whole = own.clone()
        torch.distributed.all_reduce(whole)
        weights = own * parallel.world() / whole.clamp(min=1)
        return Share(self.rows, self.counts, weights.float())

    def weigh(self, value: Tensor, unit: Unit) -> Tensor:
        """A mean over a unit of this share as this process's part in the mean over the whole batch."""
        if unit == "batch":  # the value is right; its gradient reaches the rows of this share alone
            others = parallel.world() - 1
            return value + others * (value - value.detach())
        assert self.weights is not None, "compared first"
        return value * self.weights[_COUNTED.index(unit)]

    def whole(self, rows: Tensor) -> Tensor:
        """Float [b, ...] of this share -> [rows, ...] of the batch, share after share; others have no gradient."""
        sizes = [len(range(number, self.rows, parallel.world())) for number in range(parallel.world())]
        own = rows[: sizes[parallel.rank()]]
        filled = functional.pad(own, (*(0, 0) * (own.dim() - 1), 0, max(sizes) - len(own))).detach().contiguous()
        found = [torch.empty_like(filled) for _ in sizes]
        torch.distributed.all_gather(found, filled)
        parts = [part[:size] for part, size in zip(found, sizes, strict=True)]
        parts[parallel.rank()] = own
        return torch.cat(parts)


class SharedCollate:
    """Makes a batch of every so many of the texts of each batch of the plan, and `share` beside it.

    Texts stand sorted by length in a batch, so that shares are as long as one another. A process that has none left of
    a batch reads the first text, which then weighs nothing: no process may be missing where gradients are averaged.
    """

    def __init__(self, collate: Callable[[Pairs], Batch]) -> None:
        self._collate = collate

    def __call__(self, pairs: Pairs) -> dict[str, Tensor | Share]:
        """Of the whole batch's pairs (epoch, example)."""
        own = pairs[parallel.rank() :: parallel.world()]
        batch = self._collate(own or pairs[:1])
        if not own and "rows" in batch:
            batch["rows"][:, 0] = NEVER_KEPT  # another process has this text, and keeps what the teacher says of it
        return {**batch, "share": Share(len(pairs), _counted(batch) * bool(own))}


class Learner(torch.nn.Module):
    """A model and its loss as one module: what DDP is to see of a step."""

    def __init__(self, model: Any, loss: Callable[[Any, Batch, Share | None], Tensor]) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, batch: Batch, share: Share) -> Tensor:
        """This process's part in the loss of the whole batch, a scalar."""
        return self._loss(self.model, batch, share)


def averaged(learner: Learner, device: torch.device) -> DistributedDataParallel:
    """The learner, whose gradients are the mean over the processes after each backward pass.

    Looking for what a loss leaves out also has gradients travel in buckets that never change, so that a resumed
    training adds in the same order.
    """
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(learner, devices, find_unused_parameters=True)


def _counted(batch: Batch) -> Tensor:
    tokens = batch["attention_mask"].sum(dim=1).double()
    targets = batch["targets"]
    known = ~targets.isnan() if targets.is_floating_point() else targets != IGNORED
    return torch.stack(
        [torch.tensor(float(len(tokens))).double(), tokens.sum(), tokens.square().sum(), known.sum().double()]
    )
