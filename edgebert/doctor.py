"""What is here, what is missing, and how to mend it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgebert import stages
from edgebert.check import connected
from edgebert.errors import DeviceError

#: Extra -> the distributions that it must bring.
_EXTRAS = {
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
    "tflite": ("ai-edge-litert",),
    "host": (
        "torch", "transformers", "accelerate", "onnx", "nncf", "litert-torch",
        "ai-edge-quantizer", "pydantic", "PyYAML", "jinja2", "matplotlib", "scikit-learn",
        "scipy", "seqeval",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `state` is ok, warning or missing."""

    what: str
    state: str
    found: str
    fix: str = ""


@runtime_checkable
class Examined(Protocol):
    """A device that can tell more of itself than its facts."""

    def examine(self) -> list[Finding]:
        """What is there and what is missing."""


def list_devices() -> list[dict[str, Any]]:
    """The devices that can be used from here, with their facts."""
    with connected("local") as device:
        return [{"device": "local"} | device.facts()]


def examine(device: str = "local") -> list[Finding]:
    """Look at everything that a run on `device` needs.

    Raises:
        UsageError: there is no such kind of device.
        DeviceError: it cannot be reached.
    """
    if device == "local" or device.startswith("local:"):
        with connected(device) as connection:
            facts = connection.facts()
        return [_python(), *(_extra(name) for name in _EXTRAS), _disk(), *_machine(facts)]
    with connected(device) as connection:
        found = connection.examine() if isinstance(connection, Examined) else []
        try:
            found += _machine(connection.facts())
        except DeviceError as error:  # what was seen so far says more
            found.append(Finding("facts", "missing", error.message, error.hint))
    return found


def _python() -> Finding:
    return Finding("python", "ok", sys.version.split()[0])


def _extra(name: str) -> Finding:
    versions = stages.tools(*_EXTRAS[name])
    absent = [tool for tool, version in versions.items() if version == "absent"]
    if not absent:
        return Finding(f"extra {name}", "ok", ", ".join(f"{t} {v}" for t, v in versions.items()))
    state = "missing" if name == "host" else "warning"
    return Finding(f"extra {name}", state, f"without {', '.join(absent)}", f'pip install "edgebert[{name}]"')


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free > 5:
        return Finding("disk", "ok", f"{free:.0f} GB free here")
    return Finding("disk", "warning", f"{free:.1f} GB free here", "a run wants about 1 GB; free some space")


def _machine(facts: Mapping[str, Any]) -> list[Finding]:
    """What would spoil a measurement."""
    found = [Finding("cpu", "ok", f"{facts['cpu'] or facts['model']}, {facts['usable_cores']} usable cores")]
    features = facts["features"]
    fast = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & set(features)
    found.append(
        Finding("int8", "ok", f"dot products: {', '.join(sorted(fast))}")
        if fast
        else Finding("int8", "warning", "no integer dot-product instructions", "INT8 will be slower than it could be")
    )
    if facts["governor"] not in (None, "performance"):
        fix = "for steady figures: sudo cpupower frequency-set -g performance"
        found.append(Finding("governor", "warning", facts["governor"], fix))
    if facts["load_average"] > 0.5 * facts["usable_cores"]:
        found.append(Finding("load", "warning", f"{facts['load_average']:.1f}", "measure when nothing else runs"))
    if facts["emulated"]:
        found.append(Finding("emulation", "warning", "this CPU is emulated", "times here say nothing of a device"))
    elif facts["virtual_machine"]:
        found.append(Finding("virtual machine", "warning", "yes", "other guests may disturb the times"))
    return found
