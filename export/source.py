"""The model to export, in torch as FP32: what every exported model is made from and compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import ExportError, require
from edgebert.tasks import Encoded

#: Task -> the class of transformers that carries its head.
HEADS = {"text-classification": "AutoModelForSequenceClassification"}

#: Files of a Hugging Face folder that travel into the artifact; weights never do.
COMPANIONS = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt", "README.md",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A model of transformers, FP32, in evaluation mode.

    Args:
        model: the `torch.nn.Module`.
        config: its configuration.
        inputs: the names of its inputs: DistilBERT has no `token_type_ids`.
        labels: by output index.
        parameters: how many weights it has.
    """

    model: Any
    config: Any
    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    parameters: int


def load_source(folder: Path, task: str) -> Source:
    """Load a Hugging Face folder as FP32, from safetensors alone; no code of the folder is ever run.

    Raises:
        ExportError: not a model of that task, no safetensors, weights missing or not finite.
    """
    torch = require("torch", "host")
    transformers = require("transformers", "host")
    if task not in HEADS:
        raise ExportError(f"models for {task} cannot be exported", f"known tasks: {', '.join(sorted(HEADS))}")
    if not (folder / "config.json").is_file():
        raise ExportError(f"no model: {folder} has no config.json", "give a Hugging Face model folder")
    if not any(folder.glob("*.safetensors")):
        raise ExportError(
            f"{folder.name} has no safetensors weights",
            "convert them: AutoModel.from_pretrained(...).save_pretrained(folder, safe_serialization=True)",
        )
    transformers.utils.logging.set_verbosity_error()
    try:
        model, info = getattr(transformers, HEADS[task]).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises a dozen kinds, all of which mean the same here
        raise ExportError(f"{folder.name} cannot be loaded: {first_line(error)}", "fine-tune it again") from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ExportError(
            f"{folder.name} lacks {len(missing)} weights of a {task} model, {missing[0]!r} among them",
            "fine-tune it for the task first (edgebert fine-tune)",
        )
    for name, weight in model.state_dict().items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise ExportError(f"{folder.name}: the weight {name} is not finite (NaN or infinity)", "train it again")
    model.eval().requires_grad_(False)
    config = model.config
    return Source(
        model=model,
        config=config,
        inputs=_inputs(model),
        labels=tuple(config.id2label[index] for index in range(config.num_labels)),
        parameters=sum(weight.numel() for weight in model.parameters()),
    )


def read_labels(folder: Path) -> tuple[str, ...]:
    """The labels of a model's `config.json`, by output index."""
    id2label = json.loads((folder / "config.json").read_text("utf-8")).get("id2label", {})
    return tuple(str(id2label[key]) for key in sorted(id2label, key=int))


def reference_outputs(
    source: Source, encoded: Sequence[Encoded], outputs: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """What the source answers, one text at a time and without padding: float32 [texts, ...] by output name."""
    import torch

    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    with torch.inference_mode():
        for item in encoded:
            arrays = {
                "input_ids": item.input_ids,
                "attention_mask": [1] * len(item.input_ids),
                "token_type_ids": item.token_type_ids,
            }
            given = {name: torch.tensor([arrays[name]]) for name in source.inputs}
            result = source.model(**given)
            for name in outputs:
                rows[name].append(result[name][0].numpy())
    return {name: np.stack(values) for name, values in rows.items()}


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def companions(folder: Path) -> Iterable[Path]:
    """The files of a model folder that an artifact takes along."""
    return [folder / name for name in COMPANIONS if (folder / name).is_file()]


def _inputs(model: Any) -> tuple[str, ...]:
    """`input_ids`, `attention_mask`, and `token_type_ids` where the model knows segments."""
    import inspect

    accepted = inspect.signature(model.forward).parameters
    names = ("input_ids", "attention_mask", "token_type_ids")
    return tuple(name for name in names if name in accepted)
