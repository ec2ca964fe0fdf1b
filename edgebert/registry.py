"""Where the hub finds its spokes, so that it never has to import one by statement.

Our own back ends stand in a static table; other packages add theirs through the entry-point groups
`edgebert.exporters`, `edgebert.runtimes`, `edgebert.devices` and `edgebert.tasks`.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from edgebert.errors import UsageError

BUILT_IN = {
    "tasks": {
        "text-classification": "edgebert.tasks.text_classification:TextClassification",
        "token-classification": "edgebert.tasks.token_classification:TokenClassification",
        "question-answering": "edgebert.tasks.question_answering:QuestionAnswering",
        "embeddings": "edgebert.tasks.embeddings:Embeddings",
    },
    "exporters": {
        "onnx": "edgebert.export.onnx:EXPORTER",
        "openvino": "edgebert.export.openvino:EXPORTER",
        "tflite": "edgebert.export.tflite:EXPORTER",
        "torch": "edgebert.export.torch:EXPORTER",
    },
    "runtimes": {
        "onnx": "edgebert.runtimes.onnx:load",
        "openvino": "edgebert.runtimes.openvino:load",
        "tflite": "edgebert.runtimes.tflite:load",
        "torch": "edgebert.runtimes.torch:load",
    },
    "devices": {
        "local": "edgebert.devices.local:connect",
        "ssh": "edgebert.devices.ssh:connect",
    },
}


def names(kind: str) -> list[str]:
    """The names of one kind (`tasks`, `exporters`, `runtimes` or `devices`), third parties' included."""
    return sorted(set(BUILT_IN[kind]) | {point.name for point in _entry_points(kind)})


def find(kind: str, name: str) -> Any:
    """The object registered under `name`, imported on first use.

    Raises:
        UsageError: nothing is registered under that name.
    """
    target = BUILT_IN[kind].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)
    # Scanning entry points takes tens of milliseconds, so only a name of somebody else's pays for it.
    for point in _entry_points(kind):
        if point.name == name:
            return point.load()
    close = difflib.get_close_matches(name, names(kind), n=1)
    raise UsageError(
        f"{name!r} is not one of the {kind}",
        f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names(kind))}",
    )


def _entry_points(kind: str) -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=f"edgebert.{kind}")
