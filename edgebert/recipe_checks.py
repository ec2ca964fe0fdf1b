"""The words a recipe may use: tasks, exports, devices, losses, encodings. Each is checked where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, Field

from edgebert import registry
from edgebert.recipe_problems import LIST, MAPPING, NOTHING, NUMBER, TEXT, did_you_mean

FORMATS = ("jsonl", "csv", "tsv", "txt", "conll", "squad")
EXPORTS = (
    *("onnx-fp32", "onnx-fp16", "onnx-int8", "onnx-int8-dynamic", "onnx-int8-static", "onnx-int8-weights"),
    "onnx-int8-ort",
    *("openvino-fp32", "openvino-fp16", "openvino-int8", "openvino-int8-weights"),
    *("tflite-fp32", "tflite-fp16", "tflite-int8", "tflite-int8-weights", "tflite-int8-legacy"),
    "tflite-int8-full",
)
LOSSES = (
    "logits",
    "logits_mse",
    "hidden",
    "hidden_cosine",
    "embedding",
    "attention_mse",
    "attention_kl",
    "relations",
    "label",
)
DEVICES = ("local", "ssh", "android")  # local:PYTHON, ssh:HOST, android:SERIAL


def _unknown(what: str, word: str, known: tuple[str, ...]) -> ValueError:
    guess = did_you_mean(word, known)
    told = f"unknown {what} {word!r}" + (f"; {guess}" if guess else "")
    return ValueError(told, f"known: {', '.join(known)}")


def _task(name: str) -> str:
    # The names of other packages cost a scan of the entry points, so only an unknown name pays for it.
    if name not in registry.BUILT_IN["tasks"] and name not in registry.names("tasks"):
        raise _unknown("task", name, tuple(registry.names("tasks")))
    return name


def _export(name: str) -> str:
    if name in EXPORTS:
        return name
    theirs = set(registry.names("exporters")) - set(registry.BUILT_IN["exporters"])
    if name.partition("-")[0] not in theirs:
        raise _unknown("export", name, EXPORTS)
    return name


def _device(name: str) -> str:
    scheme, colon, rest = name.partition(":")
    if scheme not in DEVICES and scheme not in registry.names("devices"):
        raise _unknown("device", name, DEVICES)
    hint = "devices: local, local:PYTHON, ssh:HOST, android, android:SERIAL"
    if (colon and not rest) or (scheme == "ssh" and not rest):
        what = {"local": "an interpreter", "ssh": "a host", "android": "a serial number"}.get(scheme, "a name")
        raise ValueError(f"{name!r} lacks {what} after '{scheme}:'", hint)
    if scheme != "local" and (rest.startswith("-") or re.search(r"\s", rest)):
        # It becomes an argument of ssh or adb, where a leading dash would be an option.
        raise ValueError(f"{rest!r} cannot be the name of a device", hint)
    return name


def _losses(weights: dict[str, float]) -> dict[str, float]:
    if not any(weights.values()):
        raise ValueError("at least one loss needs a weight above 0", "the default is {logits: 1.0, hidden: 1.0}")
    return weights


def _loss(name: str) -> str:
    if name not in LOSSES:
        raise _unknown("loss", name, LOSSES)
    return name


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"unknown encoding {name!r}", "such as utf-8, utf-16, latin-1, cp1252, gb18030") from None
    return name


def _label(text: str) -> str:
    if not text.strip():
        raise ValueError("a label must not be empty")
    return text


def _setting(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a setting is text, a number, true or false")
    return value


Task = Annotated[str, AfterValidator(_task), Field(examples=sorted(registry.BUILT_IN["tasks"]))]
Export = Annotated[str, AfterValidator(_export), Field(examples=list(EXPORTS))]
Device = Annotated[str, AfterValidator(_device), Field(examples=["local", "local:PYTHON", "ssh:HOST", "android"])]
Encoding = Annotated[str, AfterValidator(_encoding)]
Label = Annotated[str, AfterValidator(_label)]
Setting = Annotated[
    Any,
    AfterValidator(_setting),
    Field(json_schema_extra={"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}]}),
]
Losses = Annotated[
    dict[Annotated[str, AfterValidator(_loss)], Annotated[float, Field(ge=0)]],
    AfterValidator(_losses),
    Field(json_schema_extra={"propertyNames": {"enum": list(LOSSES)}}),
]


def ascending(values: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The values, if each is larger than the one before.

    Raises:
        ValueError: they are not.
    """
    for before, after in pairwise(values):
        if after <= before:
            raise ValueError(f"{what} must rise strictly, and {after} follows {before}")
    return values


def distinct(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The values, if none stands there twice.

    Raises:
        ValueError: one does.
    """
    twice = [value for index, value in enumerate(values or ()) if value in (values or ())[:index]]
    if twice:
        raise ValueError(f"{twice[0]!r} is given twice")
    return values


class _File(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def format(self) -> str | None: ...


def format_of(split: _File) -> str | None:
    """How a file is written: as stated, else by its suffix; None when neither tells."""
    if split.format is not None:
        return split.format
    suffix = PurePosixPath(split.path.replace("\\", "/")).suffix.lower().removeprefix(".")
    return {"ndjson": "jsonl", "tab": "tsv", "json": "squad"}.get(suffix, suffix if suffix in FORMATS else None)


def kind_of(*kinds: str) -> Callable[[Any], str]:
    """For a value of several kinds: which of `kinds` this one is meant to be; the first when none fits."""

    def kind(value: Any) -> str:
        if value is None:
            found = NOTHING
        elif isinstance(value, str):
            found = TEXT
        elif isinstance(value, list | tuple):
            found = LIST
        elif isinstance(value, int | float):
            found = NUMBER
        else:  # a mapping, or the model that was made of one
            found = MAPPING
        return found if found in kinds else kinds[0]

    return kind
