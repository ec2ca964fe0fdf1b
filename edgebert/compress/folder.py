"""Reading and writing the folders that transformers calls models.

Only safetensors are read, and code that comes with a model is never run.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgebert.artifact import replace_folder
from edgebert.compress.vocabulary import specials_of
from edgebert.errors import DataError, require
from edgebert.tasks import Task
from edgebert.tasks.text_classification import TextClassification

#: What a model is for when nobody says.
SINGLE_LABEL = TextClassification()

_FLOATS = {"F32", "F16", "BF16"}


def hugging_face() -> ModuleType:
    """The transformers package, without what its optional packages say about themselves on stderr.

    Raises:
        MissingExtra: torch or transformers is not installed.
    """
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    require("torch", "host")
    return require("transformers", "host")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of transformers inside the block: what matters is checked here."""
    library = hugging_face().logging
    verbosity = library.get_verbosity()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)


def load_model(
    path: Path, task: Task = SINGLE_LABEL, *, labels: Sequence[str] | None = None, body_only: bool = False
) -> Any:
    """The transformers model of a folder with the task's head: FP32, on the CPU, in eval mode.

    Args:
        path: a Hugging Face folder.
        task: whose head it has, or with `body_only` is to have.
        labels: names for the outputs; default: the folder's own. With `body_only`, the new head's.
        body_only: the folder need not have a head that fits: a new one is drawn from torch's generator.

    Raises:
        DataError: weights are missing.
    """
    hugging_face()
    from edgebert.compress.heads import head_settings, load_pretrained

    with quiet():
        model, info = load_pretrained(
            path, task, ignore_mismatched_sizes=body_only, output_loading_info=True, **head_settings(task, labels)
        )
    missing = [key for key in info["missing_keys"] if not (body_only and _in_head(key))]
    if missing:
        raise DataError(f"{path.name} lacks the weights {missing[0]}", "save the whole model with save_pretrained")
    for parameter in model.parameters():
        # Weights may be views into a mapped file at any offset; kernels choose their path by alignment, and
        # a training must not depend on how its start was stored.
        parameter.data = parameter.data.clone()
    return model.eval()


def save_model(model: Any, folder: Path) -> None:
    """Write config.json and model.safetensors (FP32), free of paths and names of the machine."""
    model.config._name_or_path = ""
    model.save_pretrained(folder, safe_serialization=True, max_shard_size="100GB")


def tokenizer_json(path: Path) -> dict[str, Any]:
    """The content of tokenizer.json; for a folder with vocab.txt alone, what transformers makes of it."""
    if (path / "tokenizer.json").is_file():
        loaded: dict[str, Any] = json.loads((path / "tokenizer.json").read_text("utf-8"))
        return loaded
    with quiet():
        fast = hugging_face().AutoTokenizer.from_pretrained(
            path, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    converted: dict[str, Any] = json.loads(fast.backend_tokenizer.to_str())
    return converted


def special_tokens(path: Path, tokenizer: dict[str, Any]) -> dict[str, str]:
    """The special tokens by role, as the folder's tokenizer configuration names them."""
    files = [path / "special_tokens_map.json", path / "tokenizer_config.json"]
    return specials_of(tokenizer, [json.loads(file.read_text("utf-8")) for file in files if file.is_file()])


def _in_head(key: str) -> bool:
    return key.startswith(("classifier.", "pre_classifier.", "qa_outputs.")) or ".pooler." in key


def read_shapes(path: Path, name: str, *, finite: bool = False) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight; with `finite`, after a look at each number.

    Raises:
        DataError: no safetensors, a damaged file, a number that is none, or a dtype other than FP32, FP16 and BF16.
    """
    torch, safetensors = require("torch", "host"), require("safetensors", "host")
    files = weight_files(path, name)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safetensors.safe_open(file, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118 (no mapping)
                    dtype = weights.get_slice(key).get_dtype()
                    if dtype not in _FLOATS and not key.endswith("position_ids"):
                        raise DataError(
                            f"the weights {key} of {name} are {dtype}",
                            "give the model in FP32 or FP16, not quantized",
                        )
                    if finite and not torch.isfinite(weights.get_tensor(key)).all():
                        raise DataError(
                            f"the weights {key} of {name} hold NaN or infinity",
                            "its training diverged: give another",
                        )
                    shapes[key] = tuple(weights.get_slice(key).get_shape())
        except (OSError, safetensors.SafetensorError) as error:
            raise DataError(f"{name}/{file.name} is damaged: {error}", "download or save it again") from error
    return shapes


def weight_files(path: Path, name: str) -> list[Path]:
    """The safetensors files of a folder, sharded or not. Raises DataError where there are only pickles, or none."""
    index = path / "model.safetensors.index.json"
    if index.is_file():
        return sorted({path / str(file) for file in json.loads(index.read_text("utf-8"))["weight_map"].values()})
    if (path / "model.safetensors").is_file():
        return [path / "model.safetensors"]
    pickles = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in path.glob(pattern))
    if pickles:
        raise DataError(
            f"{name} has its weights only as a pickle ({pickles[0]}), which can run code when it is loaded",
            "convert it where you trust it: from_pretrained(FOLDER).save_pretrained(NEW, safe_serialization=True)",
        )
    raise DataError(f"{name} has no model.safetensors", "save it with save_pretrained(..., safe_serialization=True)")


def copy_licence(source: Path, target: Path) -> None:
    """Licence and attribution travel along."""
    for pattern in ("LICENSE*", "LICENCE*", "NOTICE*"):
        for path in sorted(source.glob(pattern)):
            if path.is_file():
                shutil.copyfile(path, target / path.name)


def licence(path: Path) -> str:
    """What the model card's head says, else the name of a licence file, else `unknown`."""
    if (path / "README.md").is_file():
        head = re.match(r"---\n(.*?)\n---", (path / "README.md").read_text("utf-8", errors="replace"), re.DOTALL)
        found = re.search(r"^license:\s*(\S+)", head.group(1), re.MULTILINE) if head else None
        if found:
            return found.group(1).strip("\"'")
    return next((file.name for file in sorted(path.glob("LICEN[SC]E*"))), "unknown")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling of `target` that takes its place when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}-new-*"):  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-new-", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's 0700 would keep other users out
        for path in folder.iterdir():
            with path.open("rb+") as handle:
                os.fsync(handle.fileno())
        replace_folder(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
