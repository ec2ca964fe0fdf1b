"""What the student is compared with: both models' answers, hidden states and projections for one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgebert.compress.families import Family
from edgebert.compress.losses import READ_HIDDEN, READ_PROJECTIONS, Attention, Pair, Projections, total
from edgebert.compress.objectives import objective
from edgebert.compress.projection import project
from edgebert.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.compress.sharing import Share
    from edgebert.compress.training import Batch


@dataclass(frozen=True)
class Seen:
    """One model's outputs by name, hidden states and projections; the latter two where a loss reads them."""

    outputs: Mapping[str, Tensor]
    hidden: tuple[Tensor, ...]
    projections: tuple[Projections, ...]


@dataclass(frozen=True)
class Imitation:
    """The weighted losses of one batch; the teacher answers without gradients.

    Args:
        teacher: the model, without dropout.
        task: what both do.
        weights: loss -> weight.
        family: where both models keep their layers.
        layers: the teacher's layer (from 0) of each of the student's.
        temperature: of the logits loss.
        relation_heads: of the relations loss; default: the teacher's attention heads.
        focus: how much more a text weighs that the teacher answers rightly.
        entity_weight: how much more a token weighs that the teacher sees in an entity.
        outside: the column of the label `O`, where there is one.
        forced: whether each layer of the student is given what the teacher's layer before its own put out, not what
            the student's did: each learns its own part from the first step on (as the modules of BERT-of-Theseus do
            among the teacher's, Xu et al. 2020, arXiv:2002.02925, and MobileBERT's in progressive transfer,
            arXiv:2004.02984).
        channels: the teacher's channels that a narrower student took, int64 [width]: those that such a layer is given.
        recall: instead of the teacher itself (`teacher_cache`).
    """

    teacher: Any
    task: Task
    weights: Mapping[str, float]
    family: Family
    layers: tuple[int, ...]
    temperature: float = 1.0
    relation_heads: int | None = None
    focus: float = 0.0
    entity_weight: float = 0.0
    outside: int | None = None
    forced: bool = False
    channels: Any = None
    recall: Callable[[Batch], Seen] | None = None

    def __call__(self, model: Any, batch: Batch, share: Share | None = None) -> Tensor:
        """The weighted sum for the batch, or a share of one, a scalar that has gradients for `model`."""
        import torch

        taught = self.ask(batch) if self.recall is None else self.recall(batch)
        with self._fed(model, taught.hidden):
            learned = self._see(model, batch, "input_ids", range(len(self.layers)))
        config = self.teacher.config
        attention = Attention(model.config.num_attention_heads, config.num_attention_heads, self.relation_heads)
        pair = Pair(
            objective(self.task), learned.outputs, taught.outputs, batch["attention_mask"], batch["targets"],
            self.layers, self.temperature, learned.hidden, taught.hidden, learned.projections, taught.projections,
            attention, self.focus, self.entity_weight, self.outside, share,
        )  # fmt: skip
        # The maps are matrix products like the student's own, and in the same precision; a loss is always in FP32.
        mapped = tuple(state.float() for state in project(model, learned.hidden))
        with torch.autocast(batch["input_ids"].device.type, enabled=False):
            return total(replace(pair, student_hidden=mapped), self.weights)

    def ask(self, batch: Batch) -> Seen:
        """What the teacher sees in a batch, without gradients."""
        import torch

        with torch.no_grad():
            return self._see(self.teacher.to(batch["input_ids"].device), batch, "teacher_ids", self.layers)

    def _reads(self, names: frozenset[str]) -> bool:
        return any(self.weights.get(name) for name in names)

    def _see(self, model: Any, batch: Batch, ids: str, layers: Sequence[int]) -> Seen:
        """Run a model, and keep what the losses read."""
        from edgebert.compress.heads import callable_model
        from edgebert.compress.training import accepts_types

        given = {"input_ids": batch[ids], "attention_mask": batch["attention_mask"]}
        if "token_type_ids" in batch and accepts_types(model):
            given["token_type_ids"] = batch["token_type_ids"]
        states = self._reads(READ_HIDDEN)
        read = layers if self._reads(READ_PROJECTIONS) else ()
        with self._kept(model, read) as kept:
            found = callable_model(model, self.task)(**given, output_hidden_states=states)
        outputs = {name: found[name].float() for name in self.task.outputs}
        hidden = tuple(state.float() for state in found["hidden_states"]) if states else ()
        return Seen(outputs, hidden, tuple(Projections(*(kept[layer][i] for i in range(3))) for layer in read))

    @contextmanager
    def _kept(self, model: Any, layers: Sequence[int]) -> Iterator[dict[int, dict[int, Tensor]]]:
        """Inside, queries, keys and values of the layers are kept as they are computed, float32 [B, T, H]."""
        kept: dict[int, dict[int, Tensor]] = {layer: {} for layer in layers}

        def keeping(layer: int, part: int) -> Any:
            def hook(module: Any, given: Any, found: Tensor) -> None:
                kept[layer][part] = found.float()

            return hook

        with ExitStack() as stack:
            for layer in layers:
                for part, name in enumerate(self.family.projections):
                    module = model.get_submodule(f"{self.family.layer_prefix}{layer}.{name}")
                    stack.callback(module.register_forward_hook(keeping(layer, part)).remove)
            yield kept

    @contextmanager
    def _fed(self, model: Any, above: tuple[Tensor, ...]) -> Iterator[None]:
        """Inside, the student's layers from the second on read the teacher's states, where that is wanted."""
        with ExitStack() as stack:
            for number, before in enumerate(self.layers[:-1] if self.forced else (), 1):
                layer = model.get_submodule(f"{self.family.layer_prefix}{number}")
                states = above[before + 1]
                hook = _replacing(states if self.channels is None else states[..., self.channels])
                stack.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
            yield


def _replacing(states: Tensor) -> Any:
    """A hook that puts `states` in the place of a layer's hidden states."""

    def hook(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if given:
            return (states, *given[1:]), named
        return given, named | {next(iter(named)): states}

    return hook
