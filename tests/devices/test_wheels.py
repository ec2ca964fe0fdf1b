"""The wheels that are carried to a Pi which reaches no package index: for its Python and its processor, and no other.

From the package index that this computer's pip uses, by the very call that first contact makes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from edgebert.devices import environments

pytestmark = pytest.mark.slow

#: Raspberry Pi OS of Debian 12, one with a Python between the two (pyenv, say), and of Debian 13.
PIS = {"3.11.2": "2.36", "3.12.3": "2.36", "3.13.5": "2.41"}
ENGINES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "tflite": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
}
CASES = [(engine, python) for python in PIS for engine in ENGINES if engine != "tflite-runtime" or python < "3.12"]
#: Number of aarch64 in an ELF header (ELF for the Arm 64-bit Architecture, "Object Files").
AARCH64 = 183


def hello(python: str) -> dict[str, Any]:
    return {"python": python, "machine": "aarch64", "libc": ["glibc", PIS[python]], "executable": "/usr/bin/python3"}


def machine_of(library: Path) -> int:
    head = library.read_bytes()[:20]
    assert head.startswith(b"\x7fELF"), library
    return int(struct.unpack("<H", head[18:20])[0])


@pytest.mark.parametrize(("engine", "python"), CASES)
def test_what_is_carried_is_for_that_pi(engine: str, python: str, tmp_path: Path) -> None:
    assert environments.download(engine, hello(python), tmp_path) == ""
    assert {ENGINES[engine], "numpy", "tokenizers"} <= {path.name for path in tmp_path.iterdir()}
    libraries = [path for path in tmp_path.rglob("*") if ".so" in path.suffixes]
    assert len(libraries) > 3 and {machine_of(library) for library in libraries} == {AARCH64}
    wanted = f"cpython-{python.replace('.', '')[:3]}-"
    built = {path.name for path in libraries if ".cpython-" in path.name}
    assert built and all(f".{wanted}" in name for name in built), built
    newest = int(PIS[python].split(".")[1])
    for told in tmp_path.glob("*.dist-info/WHEEL"):
        tags = [line.split()[1] for line in told.read_text().splitlines() if line.startswith("Tag: ")]
        assert any(fits(tag, python, newest) for tag in tags), (told.parent.name, tags)


def fits(tag: str, python: str, newest: int) -> bool:
    """By PEP 425 and PEP 600: that Python's, or a stable ABI or pure Python that it takes; of a glibc it has."""
    interpreter, abi, platform = tag.split("-")
    minor = python.split(".")[1]
    stable = abi == "abi3" and interpreter.startswith("cp3") and int(interpreter[3:]) <= int(minor)
    pure = abi == "none" and interpreter in {"py3", f"cp3{minor}"}
    glibc = platform.removeprefix("manylinux_2_").removesuffix("_aarch64")
    here = platform in {"any", "manylinux2014_aarch64"} or (glibc.isdigit() and int(glibc) <= newest)
    return here and (stable or pure or (interpreter, abi) == (f"cp3{minor}", f"cp3{minor}"))


@pytest.mark.parametrize("python", ["3.12.3", "3.13.5"])
def test_the_old_engine_is_for_python_3_11_alone(python: str, tmp_path: Path) -> None:
    """It says so; on a device with such a Python its artifacts run in LiteRT, and this is never asked for."""
    assert "tflite-runtime" in environments.download("tflite-runtime", hello(python), tmp_path)
