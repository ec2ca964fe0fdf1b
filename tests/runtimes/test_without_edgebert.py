"""The C++ programs of `docs/without-edgebert`: compiled, linked with the engines' own wheels, and asked."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import TASKS

from edgebert import artifact as artifacts
from edgebert.artifact import Artifact
from edgebert.model import Model
from edgebert.tasks import Task

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "docs" / "without-edgebert"
HEADERS = (os.environ.get("EDGEBERT_ORT_INCLUDE"), ROOT / "build/onnxruntime-headers", "/usr/include/onnxruntime")
#: Program -> artifact, package, its library and headers below that package.
ENGINES = {
    "onnx": ("onnx-int8", "onnxruntime", "capi/libonnxruntime.so.*", None),
    "openvino": ("openvino-int8", "openvino", "libs/libopenvino.so.*", "include"),
    "litert": ("tflite-int8", "ai_edge_litert", "libLiteRt.so", None),
}
TEXTS = ("rain", "please music now", "i want the song today", "could you do the lamp thing for me, quickly!", "x " * 50)
PAIRS = (("rain", "song"), ("please music now", "i want the rain today"))

pytestmark = pytest.mark.slow


def compiled(program: str, folder: Path) -> Path:
    """The program, linked with the library in the wheel; skips where there is nothing to compile it with."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    if not Path("/usr/include/nlohmann/json.hpp").is_file():
        pytest.skip("no nlohmann/json: apt-get install nlohmann-json3-dev")
    _, package, library, include = ENGINES[program]
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    place = Path(spec.origin).parent
    found = next(path for path in sorted(place.glob(library)))
    options = [f"-Wl,-rpath,{found.parent}", str(found)]
    if include:
        options += ["-isystem", str(place / include)]
    if program == "onnx":
        headers = [Path(at) for at in HEADERS if at and (Path(at) / "onnxruntime_cxx_api.h").is_file()]
        if not headers:
            pytest.skip("no onnxruntime_cxx_api.h: set EDGEBERT_ORT_INCLUDE, or run .ci/headers")
        options += ["-isystem", str(headers[0])]
        # The wheel's file has its full version in its name, and another one inside.
        (folder / "libonnxruntime.so.1").symlink_to(found)
        options.append(f"-Wl,-rpath,{folder}")
    target = folder / program
    command = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", str(PROGRAMS / f"{program}.cpp")]
    done = subprocess.run([*command, *options, "-o", str(target)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def lines(model: Model, asked: object) -> str:
    """A text or pair as the program reads it."""
    window = model.encode(model._record(asked, "the text"))[0]
    first = len(window.input_ids) - sum(window.token_type_ids)
    ids = [str(number) for number in window.input_ids]
    return " ".join([*ids[:first], *(["|", *ids[first:]] if first < len(ids) else [])])


def ask(program: Path, artifact: Artifact, asked: tuple[object, ...], library: Path | None = None) -> None:
    """The program's answers are those of `predict`: to ids, or, with a library for its tokenizer, to the texts."""
    with Model.load(artifact.path) as model:
        expected = [model.predict(item) for item in asked]
        given = [lines(model, item) for item in asked]
    if library is not None:
        given = [item if isinstance(item, str) else "\t".join(map(str, item)) for item in asked]  # type: ignore[call-overload]
    command = [program, artifact.path, *([library] if library else [])]
    done = subprocess.run(
        command, input="\n".join(given) + "\n", capture_output=True, text=True, env=environment(library)
    )
    assert done.returncode == 0, done.stderr
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert [label for label, _ in found] == [answer.label for answer in expected]
    assert [float(score) for _, score in found] == pytest.approx([answer.score for answer in expected], abs=1e-5)


def environment(library: Path | None) -> dict[str, str]:
    """The library in the wheel of onnxruntime-extensions is a module of Python's, and wants Python's symbols."""
    if library is None or "onnxruntime" not in str(library):
        return dict(os.environ)
    python = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("INSTSONAME")
    if python.suffix == ".a" or not python.is_file():
        pytest.skip("this Python has no shared library, and no other build of onnxruntime-extensions is at hand")
    return {**os.environ, "LD_PRELOAD": str(python)}


@pytest.mark.parametrize("program", ["onnx", "openvino"])
def test_a_program_answers_texts_with_the_tokenizer_in_the_artifact(
    program: str,
    tiny: Callable[..., Path],
    calibration: Callable[[Task], Path],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    from edgebert.export import __main__ as child
    from edgebert.export import tokenizer_onnx, tokenizer_openvino

    built = compiled(program, tmp_path)
    library = {"onnx": tokenizer_onnx, "openvino": tokenizer_openvino}[program].library()
    environment(library)
    for name, asked in (("single-label", (*TEXTS, "Ｒain [MASK] ☕s\u0301 東京", "é" * 200)), ("pair", PAIRS)):
        task = TASKS[name]
        body = job(tiny("bert", task), ENGINES[program][0], calibration(task), tmp_path / name, task)
        (tmp_path / f"work-{name}" / "out").mkdir(parents=True)
        artifact = child.export(body | {"tokenizer_in_graph": "all"}, tmp_path / f"work-{name}" / "out")
        ask(built, artifact, asked, library)
    none = subprocess.run([built, artifact.path, library, "x"], input="rain\n", capture_output=True, text=True)
    assert none.returncode == 1 and "usage" in none.stderr


@pytest.mark.parametrize("program", ENGINES)
def test_a_program_answers_as_python_does(
    program: str, exported: Callable[[str, str, Task], Artifact], tmp_path: Path
) -> None:
    built = compiled(program, tmp_path)
    name = ENGINES[program][0]
    single = exported("bert", name, TASKS["single-label"])
    ask(built, single, TEXTS)
    ask(built, exported("bert", name, TASKS["pair"]), PAIRS)
    # With a temperature, and a threshold that some of the texts do not reach.
    scores = sorted(answer.score for answer in Model.load(single.path).predict(list(TEXTS)))
    settings = dict(single.manifest.task_settings) | {
        "temperature": 1.7, "threshold": round(scores[2] * 0.9, 3), "out_of_scope": "something else",
    }  # fmt: skip
    copy = Path(shutil.copytree(single.path, tmp_path / "copy"))
    tuned = artifacts.save(copy, replace(single.manifest, task_settings=settings), tmp_path / "tuned")
    ask(built, tuned, TEXTS)
    wrong = subprocess.run([built, tmp_path / "nothing"], input="1\n", capture_output=True, text=True)
    assert wrong.returncode == 1 and "no manifest.json" in wrong.stderr
