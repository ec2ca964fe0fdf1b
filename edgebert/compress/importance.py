"""Which of the teacher's layers matter most: the answers hardly change without the others.

Greedy elimination (Peer et al. 2022, "Greedy-layer pruning", arXiv:2105.14839, which goes by the metric; here no label
is needed): of the layers that are left, the one without which the outputs change least goes, until enough have gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebert.compress.families import FAMILIES
from edgebert.compress.folder import load_model
from edgebert.compress.observe import batches, sample
from edgebert.tasks import Task
from edgebert.tokenization import load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.teacher import Teacher

#: Texts of the sample that decide; a layer fewer takes as many readings as there are layers left.
TEXTS = 256


def important_layers(teacher: Teacher, task: Task, count: int, texts: Iterable[str], max_length: int) -> list[int]:
    """So many of the teacher's layers, in their order.

    Args:
        teacher: as `inspect` found it.
        task: whose head it has.
        count: layers to keep, from 1 to all.
        texts: the task's text, begun anew for each use.
        max_length: of an input in tokens.
    """
    import torch

    from edgebert.compress.heads import callable_model

    model = load_model(teacher.path, task, labels=teacher.labels or None).eval()
    family = FAMILIES[teacher.model_type] if task.has_head else replace(FAMILIES[teacher.model_type], body="")
    parent, _, name = family.layer_prefix.removesuffix(".").rpartition(".")
    encoder, asked = model.get_submodule(parent), callable_model(model, task)
    tokenizer = load_tokenizer(teacher.path, max_length)
    rows = [item.ids for item in tokenizer.encode_batch(sample(texts)[:TEXTS])]
    whole = getattr(encoder, name)

    @contextmanager
    def only(kept: Sequence[int]) -> Iterator[None]:
        setattr(encoder, name, torch.nn.ModuleList(whole[i] for i in kept))
        try:
            yield
        finally:
            setattr(encoder, name, whole)

    def answers(kept: Sequence[int]) -> Tensor:
        """All outputs in a row, padding left out."""
        parts = []
        with only(kept), torch.inference_mode():
            for ids, mask in batches(rows, model.config.pad_token_id or 0):
                found = asked(input_ids=ids, attention_mask=mask)
                for output in task.outputs:
                    values = found[output][mask.bool()] if task.per_token else found[output]
                    parts.append(values.double().flatten())
        return torch.cat(parts)

    kept = list(range(len(whole)))
    expected = answers(kept)
    while len(kept) > count:
        harm = {layer: float((answers([i for i in kept if i != layer]) - expected).square().mean()) for layer in kept}
        kept.remove(min(kept, key=harm.__getitem__))
    return kept
