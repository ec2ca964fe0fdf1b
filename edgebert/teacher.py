"""The teacher: a fine-tuned encoder in a Hugging Face folder, looked over before anything is trained.

Only safetensors are read, and code that comes with a model is never run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.artifact import sha256
from edgebert.compress.families import FAMILIES, Family, is_generic
from edgebert.compress.folder import SINGLE_LABEL, licence, read_shapes, tokenizer_json, weight_files
from edgebert.errors import DataError, require

if TYPE_CHECKING:
    from edgebert.tasks import Record, Task

#: What a hub download may bring: no pickles, no code.
HUB_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",
    "LICENSE*",
    "NOTICE*",
    "README.md",
)
_READ = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
#: `problem_type` of transformers -> ours.
PROBLEM_TYPES = {
    "single_label_classification": "single-label",
    "multi_label_classification": "multi-label",
    "regression": "regression",
}

#: Task -> the weight that makes its outputs, one row each.
_HEADS = {
    "text-classification": ("classifier.weight", "classifier.out_proj.weight"),
    "token-classification": ("classifier.weight",),
    "question-answering": ("qa_outputs.weight",),
}

#: End of an architecture's name -> the task it is for.
_ARCHITECTURES = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
}
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


#: Raised by hand when `fine_tune` would give another result than before.
VERSION = 1


@dataclass(frozen=True)
class Teacher:
    """A teacher's folder and what it says of itself; `positions` is the number of tokens that it can read."""

    path: Path
    name: str
    labels: tuple[str, ...]
    parameters: int
    layers: int
    hidden_size: int
    content_hash: str
    model_type: str
    vocabulary: int
    positions: int
    licence: str = "unknown"


def resolve(source: str, base: Path) -> Path:
    """The folder of a teacher: a path (from `base`, where it is relative), else a model of the Hugging Face hub.

    Raises:
        DataError: neither a folder nor a model that the hub gives out.
    """
    folder = base / Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(source) or source.startswith("."):
        raise DataError(f"the teacher {source!r} is no folder (looked for {folder})", "correct the path")
    hub = require("huggingface_hub", "host")
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # network, login, unknown id, bad id: each has a class of its own, some of requests
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"the teacher {source!r} is no folder here, and the hub does not give it out: {reason}",
            "correct the path or the id; for private models log in with `hf auth login`; offline, give a folder",
        ) from error


def with_tokenizer(path: Path, copy: Path) -> Path:
    """`path` itself, or where it has vocab.txt alone, a copy that has the tokenizer.json made of it."""
    if (path / "tokenizer.json").is_file() or not (path / "vocab.txt").is_file():
        return path
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer_json(path), ensure_ascii=False), "utf-8")
    return copy


def inspect(path: Path, *, name: str, task: Task = SINGLE_LABEL, labels: Sequence[str] | None = None) -> Teacher:
    """Check that a folder holds a usable teacher and describe it; reads every weight, trains nothing.

    Args:
        path: a Hugging Face folder.
        name: what reports and messages call it.
        task: that its head must be for.
        labels: the recipe's labels in order; default: the teacher's own.

    Raises:
        DataError: configuration, tokenizer or weights are missing, damaged or of a kind that is not supported, or the
            labels are not the teacher's.
    """
    body = check_body(path, name)
    own = _own_labels(path, name, task)
    return replace(body, labels=_agree(own, labels, name) if task.labelled else ())


def check_body(path: Path, name: str) -> Teacher:
    """`inspect` without a look at the classification head, which need not be there; no labels.

    Raises:
        DataError: as `inspect`.
    """
    config = _read_config(path, name)
    family = _family(config, name)
    _check_tokenizer(path, name)
    shapes = read_shapes(path, name, finite=True)
    words = _embedding(shapes, family.word_embeddings, family, name)
    positions = _embedding(shapes, family.position_embeddings, family, name)
    largest = max(_piece_ids(path))
    if largest >= words[0]:
        raise DataError(
            f"the tokenizer of {name} goes up to id {largest}, its embeddings have {words[0]} rows",
            "put the tokenizer that the model was trained with beside it",
        )
    return Teacher(
        path=path,
        name=name,
        labels=(),
        parameters=sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith("position_ids")),
        layers=int(config[family.layers_key]),
        hidden_size=int(config.get("hidden_size") or config["dim"]),
        content_hash=_hash(path),
        model_type=family.model_type,
        vocabulary=words[0],
        positions=positions[0],
        licence=licence(path),
    )


def check_labels(teacher: Teacher, records: Iterable[Record], where: str, target: str = "label") -> None:
    """Refuse data with labels that the teacher does not know.

    Raises:
        DataError: naming up to three of them.
    """
    known = set(teacher.labels)
    unknown = sorted({str(record[target]) for record in records} - known)
    if not unknown:
        return
    names = ", ".join(repr(label) for label in unknown[:3]) + (" ..." if len(unknown) > 3 else "")
    hint = (
        f"it calls them {teacher.labels[0]}, ...: list their real names, in its order, under `labels:`"
        if is_generic(teacher.labels)
        else "correct the data, or fine-tune a teacher that knows the label"
    )
    raise DataError(f"{where} has labels that {teacher.name} does not know: {names}", hint)


def options(path: Path, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A task's options: those given, and where they say nothing, what the folder says of itself.

    A configuration names its `problem_type`, a folder of sentence-transformers its pooling and normalisation.
    """
    found: dict[str, Any] = {}
    if task == "text-classification" and (path / "config.json").is_file():
        kind = _read_config(path, path.name).get("problem_type")
        found = {"problem": PROBLEM_TYPES[kind]} if kind in PROBLEM_TYPES else {}
    if task == "embeddings" and (path / "modules.json").is_file():
        modules = json.loads((path / "modules.json").read_text("utf-8"))
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
        found["normalize"] = "Normalize" in kinds
        for module in modules:
            pooling = path / str(module.get("path", "")) / "config.json"
            if str(module.get("type", "")).endswith(".Pooling") and pooling.is_file():
                modes = json.loads(pooling.read_text("utf-8"))
                found["pooling"] = "cls" if modes.get("pooling_mode_cls_token") else "mean"
    return found | dict(given)


def _read_config(path: Path, name: str) -> dict[str, Any]:
    if not (path / "config.json").is_file():
        raise DataError(f"{name} has no config.json (looked in {path})", "give the folder that save_pretrained wrote")
    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{name}/config.json is no JSON: {error}", "download or save it again") from error
    if config.get("auto_map"):
        raise DataError(f"{name} brings code of its own, which is never run", "give a model that transformers knows")
    return config


def _family(config: dict[str, Any], name: str) -> Family:
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise DataError(f"{name} is a {kind!r} model", f"supported: {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def _embedding(shapes: Mapping[str, tuple[int, ...]], key: str, family: Family, name: str) -> tuple[int, ...]:
    """The shape of an embedding table; a body that was saved without a head has no prefix in its names."""
    bare = key.removeprefix(f"{family.body}.")
    if key not in shapes and bare not in shapes:
        raise DataError(f"{name} lacks the weights {key}", "save the whole model with save_pretrained")
    return shapes[key] if key in shapes else shapes[bare]


def _check_tokenizer(path: Path, name: str) -> None:
    if (path / "tokenizer.json").is_file():
        try:
            tokenizer_json(path)["model"]["vocab"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{name}/tokenizer.json is damaged ({error})", "download or save it again") from error
    elif not (path / "vocab.txt").is_file():
        raise DataError(
            f"{name} has no tokenizer: neither tokenizer.json nor vocab.txt",
            "save it beside the model: AutoTokenizer.from_pretrained(ORIGINAL).save_pretrained(FOLDER)",
        )


def _piece_ids(path: Path) -> Iterable[int]:
    if not (path / "tokenizer.json").is_file():
        return range((path / "vocab.txt").read_bytes().rstrip(b"\n").count(b"\n") + 1)
    vocabulary = tokenizer_json(path)["model"]["vocab"]
    # Unigram models list [piece, score]; WordPiece and BPE map piece -> id.
    return vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))


def _own_labels(path: Path, name: str, task: Task) -> tuple[str, ...]:
    """The labels of the configuration, which the head must have a row for each of; none for other tasks."""
    config = _read_config(path, name)
    shapes = read_shapes(path, name)
    for architecture in config.get("architectures") or ():
        kind = next((task for end, task in _ARCHITECTURES.items() if str(architecture).endswith(end)), task.name)
        if kind != task.name and task.has_head:
            raise DataError(f"{name} is a model for {kind}, not for {task.name}", f"say task: {kind} in the recipe")
    if task.name not in _HEADS:
        return ()
    heads = [shapes[key] for key in _HEADS[task.name] if key in shapes]
    if not heads:
        what = "classification head" if task.labelled else f"head for {task.name}"
        raise DataError(f"{name} has no {what}", f"fine-tune it first: teacher: {{base: {name}, epochs: 4}}")
    rows = heads[0][0]
    if not task.labelled:
        wanted = len(task.outputs)
        if rows != wanted:
            raise DataError(
                f"the head of {name} has {rows} outputs where {task.name} wants {wanted}", "give another teacher"
            )
        return ()
    mapping = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(rows)}
    if set(mapping) != {str(i) for i in range(rows)}:
        raise DataError(
            f"the id2label of {name} has {len(mapping)} labels, its head {rows}",
            "correct id2label in its config.json: one label for each row, from 0",
        )
    own = tuple(str(mapping[str(i)]) for i in range(rows))
    if len(set(own)) != rows:
        raise DataError(f"the id2label of {name} names a label twice", "correct id2label in its config.json")
    return own


def _agree(own: tuple[str, ...], labels: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """The recipe's labels where they can be the teacher's, else the teacher's own."""
    if labels is None or tuple(labels) == own:
        return own
    if len(labels) != len(own):
        raise DataError(
            f"the recipe has {len(labels)} labels, {name} has {len(own)}", "leave `labels` out, or list all"
        )
    if is_generic(own):
        return tuple(labels)
    strange = sorted(set(labels) - set(own))
    what = f"{strange[0]!r} is not a label of {name}" if strange else f"the labels are not in the order of {name}"
    raise DataError(what, "leave `labels` out of the recipe: the teacher's own are taken")


def _hash(path: Path) -> str:
    """SHA-256 over what is read of the folder: other files in it (checkpoints, cards) do not matter."""
    files = [path / name for name in _READ if (path / name).is_file()] + weight_files(path, path.name)
    lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
