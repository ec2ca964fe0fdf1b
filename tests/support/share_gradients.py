"""Under torchrun: gradients of every kind of task and loss, averaged over processes, against those of the whole batch.

Each process divides the batches as a training does, and rank 0 computes the whole beside it. Prints one JSON object:
task and loss -> [relative error of the gradients, error of the loss].
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgebert import parallel
from edgebert.compress.losses import ANSWERS, LOSSES, READ_PROJECTIONS, Attention, Pair, Projections, total
from edgebert.compress.objectives import IGNORED, OBJECTIVES
from edgebert.compress.sharing import Learner, Share, SharedCollate, averaged

#: Texts of a batch: fewer than processes, and such as do not divide evenly.
SIZES = (1, 2, 5, 8)
WIDTH, CLASSES, LAYERS, HEADS = 8, 4, 2, 2


def lengths_of(size: int) -> list[int]:
    """Of the texts of a batch, all different."""
    return [2 + (5 * i) % 7 for i in range(size)]


def collate_for(kind: str, size: int) -> Any:
    """Batches of one kind of task, of random inputs, targets and answers of a teacher; some targets are unknown."""
    random = np.random.default_rng(size)
    longest = max(lengths_of(size))
    inputs = random.normal(size=(size, longest, WIDTH))
    wanted = random.normal(size=(size, longest, WIDTH))
    shape = {"token-classification": (size, longest), "question-answering": (size, 2)}.get(kind, (size,))
    targets: Any = random.integers(0, 2 if kind == "question-answering" else CLASSES, shape)
    unknown = random.random((size, 1)) < 0.4  # of an answer both ends are known, or neither
    targets[unknown[:, 0] if kind == "question-answering" else random.random(shape) < 0.4] = IGNORED
    if kind == "multi-label":
        targets = np.where(random.random((size, 1)) < 0.4, np.nan, random.integers(0, 2, (size, CLASSES)))
    if kind == "regression":
        targets = np.where(random.random((size, 1)) < 0.4, np.nan, random.normal(size=(size, 1)))

    def collate(pairs: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        rows = [i for _, i in pairs]
        longest = max(lengths_of(size)[i] for i in rows)  # a share is padded to its own longest text
        mask = torch.zeros(len(rows), longest, dtype=torch.int64)
        for row, i in enumerate(rows):
            mask[row, : lengths_of(size)[i]] = 1
        cut = targets[rows][:, :longest] if kind == "token-classification" else targets[rows]
        known = torch.from_numpy(cut)
        if kind == "token-classification":
            known = known.masked_fill(mask == 0, IGNORED)
        return {
            "inputs": torch.from_numpy(inputs[rows][:, :longest]),
            "wanted": torch.from_numpy(wanted[rows][:, :longest]),
            "attention_mask": mask,
            "targets": known,
        }

    return collate


class Tiny(nn.Module):
    """Linear layers in the place of a BERT's, in double precision."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.kind = kind
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(1 + LAYERS))
        self.head = nn.Linear(WIDTH, {"regression": 1, "question-answering": 2}.get(kind, CLASSES))
        self.double()

    def forward(self, states: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], list[Tensor], list[Projections]]:
        """Outputs, hidden states and projections."""
        hidden = [self.layers[0](states)]
        for layer in self.layers[1:]:
            hidden.append(torch.tanh(layer(hidden[-1])))
        rows = (hidden[-1] * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        found = {
            "token-classification": lambda: {"logits": self.head(hidden[-1])},
            "question-answering": lambda: dict(
                zip(("start_logits", "end_logits"), self.head(hidden[-1]).unbind(-1), strict=True)
            ),
            "embeddings": lambda: {"embedding": rows},
        }.get(self.kind, lambda: {"logits": self.head(rows)})()
        return found, hidden, [Projections(state, state * 2, state - 1) for state in hidden[1:]]


def loss_of(kind: str, name: str) -> Any:
    """One loss as a training computes it, against a teacher of the same shape that is not trained."""
    teacher = Tiny(kind)
    for weight in teacher.parameters():
        weight.data += 0.3

    def loss(model: Any, batch: Any, share: Share | None) -> Tensor:
        mask = batch["attention_mask"]
        outputs, hidden, projections = model(batch["inputs"], mask)
        with torch.no_grad():
            theirs, states, others = teacher(batch["wanted"], mask)
        pair = Pair(
            OBJECTIVES[kind], outputs, theirs, mask, batch["targets"], (0, 1), 2.0, tuple(hidden), tuple(states),
            tuple(projections), tuple(others), Attention(HEADS, HEADS), entity_weight=0.5, outside=0, share=share,
        )  # fmt: skip
        return total(pair, {name: 0.7})

    return loss


def gradients(model: nn.Module) -> Tensor:
    """All of them in one row, zeros where there are none."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])


def errors(kind: str, name: str, size: int) -> list[float]:
    """How far the gradients of the shares together, and their loss, are from the whole batch's."""
    collate, pairs = collate_for(kind, size), [(0, i) for i in range(size)]
    whole = Tiny(kind)
    expected = loss_of(kind, name)(whole, collate(pairs), None)
    expected.backward()
    learner = averaged(Learner(Tiny(kind), loss_of(kind, name)), torch.device("cpu"))
    batch = SharedCollate(collate)(pairs)
    found = learner(batch, batch.pop("share").compared(torch.device("cpu")))
    found.backward()
    mean = found.detach().clone()
    torch.distributed.all_reduce(mean)
    wanted = gradients(whole)
    error = (gradients(learner.module.model) - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12)
    return [float(error), abs(float(mean / parallel.world() - expected.detach()))]


def late() -> str:
    """What rank 0 says after the others have looked several times."""
    time.sleep(0.5)
    return "worth waiting for"


def main() -> None:
    """Print the errors."""
    parallel._LOOK = timedelta(seconds=0.1)
    assert parallel.first(late) == "worth waiting for"
    parallel.connect()
    found = {}
    for kind, objective in OBJECTIVES.items():
        for name in LOSSES:
            if (name == "label" and objective.label is None) or (
                kind != "single-label" and name not in ANSWERS and name not in READ_PROJECTIONS
            ):
                continue  # what looks inside is the same for all tasks
            for size in SIZES:
                found[f"{kind} {name} {size}"] = errors(kind, name, size)
    if parallel.rank() == 0:
        print(json.dumps(found))
    parallel.leave()


if __name__ == "__main__":
    main()
