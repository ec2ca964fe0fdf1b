"""Models with activations that are hard to quantize, planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tiny_tasks import SINGLE

from edgebert.export import graph
from edgebert.export.source import load_source
from edgebert.protocols import ExportJob
from edgebert.teacher import Teacher

Planted = Callable[..., tuple[ExportJob, torch.nn.Module, tuple[str, ...]]]
LAYER = "bert.encoder.layer.1"


@pytest.fixture
def planted(make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path) -> Planted:
    """A model in which some channels before a layer's second feed-forward product are larger by a factor.

    Every eighth, if nothing else is said. ReLU lets the factor through, and the weights that read the channels are
    smaller by it: the same function.
    """

    def make(
        factor: float, family: str = "bert", channels: slice | list[int] = slice(None, None, 8)
    ) -> tuple[ExportJob, torch.nn.Module, tuple[str, ...]]:
        more = {"hidden_act": "relu"} if family == "bert" else {}
        folder = make_teacher(family, layers=2, initializer_range=0.3, **more).path
        texts = tmp_path / "calibration.jsonl"
        texts.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
        job = ExportJob(folder, "text-classification", "onnx", "int8", (16, 32), texts, tmp_path)
        if family == "bert":
            weights = safetensors.torch.load_file(folder / "model.safetensors")
            weights[f"{LAYER}.intermediate.dense.weight"][channels] *= factor
            weights[f"{LAYER}.intermediate.dense.bias"][channels] *= factor
            weights[f"{LAYER}.output.dense.weight"][:, channels] /= factor
            safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return job, *graph.exportable(load_source(folder, SINGLE), SINGLE, 32)

    return make


@pytest.fixture
def answers() -> Callable[[torch.nn.Module, tuple[str, ...]], torch.Tensor]:
    """What a module answers to two texts, one of them padded."""

    def run(module: torch.nn.Module, names: tuple[str, ...]) -> torch.Tensor:
        ids = torch.tensor([[2, 9, 8, 7, 6, 5, 3], [2, 12, 11, 3, 0, 0, 0]])
        given = {"input_ids": ids, "attention_mask": (ids > 0).long(), "token_type_ids": torch.zeros_like(ids)}
        found: torch.Tensor = module(*(given[name] for name in names))
        return found

    return run
