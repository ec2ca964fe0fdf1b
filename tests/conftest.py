"""What tests of several areas share: the real data and models, and tiny teachers of random weights."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import LABELS, SINGLE, TAGS

from edgebert.artifact import Artifact
from edgebert.compress.finetune import train_wordpiece
from edgebert.compress.vocabulary import all_pieces, specials_of, write_tokenizer
from edgebert.exporting import export_artifact
from edgebert.tasks import Task
from edgebert.teacher import Teacher, inspect

ROOT = Path(__file__).parents[1]
WORDS = {
    "lights": ("lamp", "light", "lights", "bulb", "lantern"),
    "music": ("song", "music", "track", "album", "melody"),
    "weather": ("weather", "rain", "forecast", "sunshine", "temperature"),
}
FRAMES = ("please {}", "the {} now", "i want {} today", "{}", "could you do the {} thing for me", "{}, quickly!")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever tests find out about this machine stays out of the user's cache, in child processes too."""
    os.environ["EDGEBERT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and models: EDGEBERT_SHARED, or `../shared` beside the checkout."""
    folder = Path(os.environ.get("EDGEBERT_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: set EDGEBERT_SHARED ({folder} is absent)")
    return folder


@pytest.fixture(scope="session")
def records() -> list[dict[str, str]]:
    """90 short texts of three labels that a single word decides."""
    pairs = itertools.product(FRAMES, ((label, word) for label in LABELS for word in WORDS[label]))
    return [{"text": frame.format(word), "label": label} for frame, (label, word) in pairs]


@pytest.fixture(scope="session")
def make_teacher(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> Callable[..., Teacher]:
    """Builds a teacher of random weights: `make_teacher(model_type, layers=4, task=Task)`."""

    def make(model_type: str = "bert", layers: int = 4, task: Task = SINGLE, **settings: Any) -> Teacher:
        import torch
        import transformers

        from edgebert.compress.heads import head_settings

        tokenizer = train_wordpiece([*(r["text"] for r in records), "zebra quartz jumping über fjord 0123456789"], 180)
        shape = {
            "bert": {"hidden_size": 32, "num_hidden_layers": layers, "intermediate_size": 64},
            "electra": {
                "hidden_size": 32, "embedding_size": 16, "num_hidden_layers": layers, "intermediate_size": 64,
            },
            "mobilebert": {
                "hidden_size": 32, "embedding_size": 16, "num_hidden_layers": layers, "intermediate_size": 64,
                "true_hidden_size": 16, "intra_bottleneck_size": 16, "num_feedforward_networks": 1,
            },
            "distilbert": {"dim": 32, "n_layers": layers, "hidden_dim": 64},
        }[model_type]  # fmt: skip
        heads = {"n_heads": 4} if model_type == "distilbert" else {"num_attention_heads": 4}
        config = transformers.AutoConfig.for_model(
            model_type,
            vocab_size=len(all_pieces(tokenizer)) + 4,  # rounded up, as real ones often are
            **head_settings(task, TAGS if task.per_token else LABELS),
            **{"max_position_embeddings": 64} | shape | heads | settings,
        )
        torch.manual_seed(7)
        model = getattr(transformers, task.head).from_config(config)
        folder: Path = tmp_path_factory.mktemp(model_type)
        model.save_pretrained(folder)
        untidy = tokenizer | {
            "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
        }
        write_tokenizer(folder, untidy, specials_of(tokenizer), 64)
        return inspect(folder, name="tiny", task=task)

    return make


@pytest.fixture(scope="session")
def teacher(make_teacher: Callable[..., Teacher]) -> Teacher:
    """A BERT of four layers."""
    return make_teacher()


@pytest.fixture(scope="session")
def tiny_artifact(
    teacher: Teacher, records: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """A tiny BERT as onnx-int8, exported the real way. Copy it before spoiling it."""
    folder = tmp_path_factory.mktemp("tiny-artifact")
    calibration = folder / "calibration.jsonl"
    calibration.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return export_artifact(
        teacher.path, task="text-classification", format="onnx", precision="int8", lengths=(16, 32),
        calibration=calibration, target=folder / "onnx-int8", log=folder / "log",
        lineage=({"name": teacher.name, "role": "teacher", "hash": teacher.content_hash},),
    )  # fmt: skip
