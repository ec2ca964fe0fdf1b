"""The model to export, in torch as FP32: what every exported model is made from and compared with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import ExportError, require
from edgebert.protocols import ExportJob, TensorSpec
from edgebert.tasks import Encoded, Task
from edgebert.tasks.embeddings import Embeddings
from edgebert.tensors import tensors

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


def load_source(folder: Path, task: Task) -> Source:
    """Load a Hugging Face folder as FP32, from safetensors alone; no code of the folder is ever run.

    Raises:
        ExportError: not a model of that task, no safetensors, weights missing or not finite.
    """
    torch = require("torch", "host")
    transformers = require("transformers", "host")
    from edgebert.compress.heads import load_pretrained

    if not (folder / "config.json").is_file():
        raise ExportError(f"no model: {folder} has no config.json", "give a Hugging Face model folder")
    if not any(folder.glob("*.safetensors")):
        raise ExportError(
            f"{folder.name} has no safetensors weights",
            "convert them: AutoModel.from_pretrained(...).save_pretrained(folder, safe_serialization=True)",
        )
    transformers.utils.logging.set_verbosity_error()
    try:
        model, info = load_pretrained(folder, task, attn_implementation="eager", output_loading_info=True)
    except Exception as error:  # transformers raises a dozen kinds, all of which mean the same here
        raise ExportError(f"{folder.name} cannot be loaded: {first_line(error)}", "fine-tune it again") from error
    info["missing_keys"] = [key for key in info["missing_keys"] if task.labelled or "pooler" not in key]
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ExportError(
            f"{folder.name} lacks {len(missing)} weights of a {task.name} model, {missing[0]!r} among them",
            f"fine-tune it for the task first, or is it for another task than {task.name}?",
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
        labels=tuple(config.id2label[index] for index in range(config.num_labels)) if task.labelled else (),
        parameters=sum(weight.numel() for weight in model.parameters()),
    )


def read_labels(folder: Path) -> tuple[str, ...]:
    """The labels of a model's `config.json`, by output index."""
    id2label = json.loads((folder / "config.json").read_text("utf-8")).get("id2label", {})
    return tuple(str(id2label[key]) for key in sorted(id2label, key=int))


def reference_outputs(source: Source, windows: Sequence[Encoded], task: Task) -> list[dict[str, NDArray[np.float32]]]:
    """What the source answers, one window at a time and without padding: outputs by name, no batch axis."""
    import torch

    from edgebert.compress.heads import callable_model

    model = callable_model(source.model, task)
    found = []
    with torch.inference_mode():
        for window in windows:
            given = tensors(window, source.inputs, ())
            result = model(**{name: torch.from_numpy(array) for name, array in given.items()})
            found.append({name: result[name][0].numpy() for name in task.outputs})
    return found


@dataclass(frozen=True)
class Conversion:
    """Of an FP32 graph: its inputs' names, and what was made easier to quantize (`smoothing.py`, `neurons.py`)."""

    inputs: tuple[str, ...]
    smoothed: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()

    def told(self) -> dict[str, str]:
        """What a manifest says of it among the precisions of a model's parts."""
        told = {"smoothed": ", ".join(self.smoothed), "float_neurons": " ".join(self.spared)}
        return {name: value for name, value in told.items() if value}


def converted(job: ExportJob, file: str, convert: Callable[[Path], Conversion]) -> Conversion:
    """The FP32 conversion as `file` in the job's folder, made once for all exports that share a `scratch`.

    Args:
        job: the export.
        file: name of the model file.
        convert: writes it to a path.
    """
    if job.scratch is None:
        return convert(job.out / file)
    kept, about = job.scratch / file, job.scratch / f"{file}.json"
    if not about.exists():
        about.write_text(json.dumps(asdict(convert(kept))), "utf-8")
    shutil.copyfile(kept, job.out / file)
    return Conversion(**{name: tuple(value) for name, value in json.loads(about.read_text("utf-8")).items()})


def output_specs(source: Source, task: Task, batch: int) -> tuple[TensorSpec, ...]:
    """The task's outputs with their shapes: [batch, tokens], [batch, tokens, labels], [batch, labels or width]."""
    if isinstance(task, Embeddings):
        shape: tuple[int, ...] = (int(getattr(source.config, "hidden_size", 0) or source.config.dim),)
    elif len(task.outputs) > 1:
        shape = (-1,)
    else:
        shape = (-1, source.config.num_labels) if task.per_token else (source.config.num_labels,)
    return tuple(TensorSpec(name, "float32", (batch, *shape)) for name in task.outputs)


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
