"""The model of transformers that carries a task's head, and the pooling of sentence embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgebert.errors import require
from edgebert.tasks import Task
from edgebert.tasks.embeddings import Embeddings


def load_pretrained(path: Path, task: Task, **settings: Any) -> Any:
    """`from_pretrained` of the task's class: FP32, from safetensors of the folder alone, no code of the folder run.

    Args:
        path: a Hugging Face folder.
        task: whose head is wanted.
        settings: further arguments of `from_pretrained`.
    """
    transformers = require("transformers", "host")
    if not task.has_head and json.loads((path / "config.json").read_text("utf-8")).get("model_type") == "bert":
        settings["add_pooling_layer"] = False  # it is not used, and often not trained
    return getattr(transformers, task.head).from_pretrained(
        path,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        **settings,
    )


def same_class(model: Any, config: Any) -> Any:
    """A new model of a model's class, with another configuration: a bare BERT without a pooling layer stays so."""
    bare = not hasattr(model, "classifier") and getattr(model, "pooler", model) is None
    return type(model)(config, **({"add_pooling_layer": False} if bare else {}))


def rebuilt(model: Any) -> Any:
    """The same weights in a model made from its configuration as it is now."""
    fresh = same_class(model, model.config)
    fresh.load_state_dict(model.state_dict(), strict=True)
    return fresh


def head_settings(task: Task, labels: Sequence[str] | None) -> dict[str, Any]:
    """What a configuration says of a head: its outputs' names, and the kind of problem."""
    problem = getattr(task, "problem", None)
    if problem == "regression":
        return {"num_labels": 1, "problem_type": "regression"}
    found: dict[str, Any] = {}
    if labels is not None and task.labelled:
        found = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    return found | ({"problem_type": "multi_label_classification"} if problem == "multi-label" else {})


def pool(hidden: Tensor, mask: Tensor, task: Embeddings) -> Tensor:
    """Float [batch, tokens, width] and mask [batch, tokens] -> embeddings, float [batch, width]."""
    if task.pooling == "cls":
        pooled = hidden[:, 0]
    else:
        weights = mask.to(hidden.dtype).unsqueeze(-1)
        pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    if task.normalize:
        pooled = pooled / pooled.pow(2).sum(dim=-1, keepdim=True).sqrt().clamp(min=1e-12)
    return pooled


class Embedder(nn.Module):
    """An encoder with pooling: a call gives `embedding`, and `hidden_states` where they are asked for."""

    def __init__(self, encoder: Any, task: Embeddings) -> None:
        super().__init__()
        self.encoder, self.task, self.config = encoder, task, encoder.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **given: Any) -> Mapping[str, Any]:
        """Int64 [batch, tokens] each."""
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **given)
        embedding = pool(found.last_hidden_state, attention_mask, self.task)
        return {"embedding": embedding, "hidden_states": found.hidden_states}


def callable_model(model: Any, task: Task) -> Any:
    """The model as something that returns the task's outputs by name."""
    return Embedder(model, task) if isinstance(task, Embeddings) else model
