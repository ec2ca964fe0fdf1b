"""A CLINC150 student on emulated Raspberry Pis, by real ssh: right answers are proven there, latency is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pi as standin
import pytest
from click.testing import CliRunner
from same_answers import assert_proven, assert_same, measure

from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.devices.limits import FACTOR
from edgebert.devices.ssh import CONFIG
from edgebert.measurement import Measurement

pytestmark = [pytest.mark.slow, pytest.mark.emulated]

#: Host -> the core of a Pi 4, which has no dot product of INT8, and that of a Pi 5, which has it.
CORES = {"pi4": "cortex-a72", "pi5": "cortex-a76"}

#: Format -> the engine that must have answered there.
ENGINES = {
    "onnx-int8": "onnxruntime ",
    "openvino-int8": "openvino ",
    "tflite-int8": "ai-edge-litert ",
    "tflite-int8-legacy": "tflite-runtime 2.14.0",
}

Answers = dict[tuple[str, str], Future[Measurement]]


@pytest.fixture(scope="module")
def pis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both, switched on, as `ssh:pi4` and `ssh:pi5`."""
    if problem := standin.missing():
        pytest.skip(f"no Pi stand-in: {problem}")
    image, folder = standin.image(), tmp_path_factory.mktemp("pis")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        parts = [stack.enter_context(standin.running(image, core, folder, host)) for host, core in CORES.items()]
        (folder / "config").write_text("".join(f"Include {part}\n" for part in parts))
        patch.setenv(CONFIG, str(folder / "config"))
        patch.setenv(FACTOR, "20")
        yield


@pytest.fixture(scope="module")
def answers(students: dict[str, Artifact], sentences: list[dict[str, str]], pis: None) -> Iterator[Answers]:
    """What each Pi answers in each format. Both work at the same time, each with a core of this computer.

    The environment of tflite-runtime is not on the disk: it comes over the line, as at a first contact.
    """

    def one(host: str, name: str) -> Measurement:
        start = time.monotonic()
        found = measure(f"ssh:{host}", {name: students[name]}, sentences)[name]
        print(f"{host} {name}: {time.monotonic() - start:.0f} s")
        return found

    with ExitStack() as stack:
        at_work = {host: stack.enter_context(ThreadPoolExecutor(1)) for host in CORES}
        yield {
            (host, name): at_work[host].submit(one, host, name)
            for name in ENGINES
            for host in CORES
            if name in students
        }


@pytest.fixture(scope="module")
def here(students: dict[str, Artifact], sentences: list[dict[str, str]]) -> Callable[[str], Measurement]:
    """What this computer answers in a format."""
    return cache(lambda name: measure("local", {name: students[name]}, sentences)[name])


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("host", CORES)
def test_answers_are_those_of_x86(
    host: str,
    name: str,
    answers: Answers,
    here: Callable[[str], Measurement],
    students: dict[str, Artifact],
    sentences: list[dict[str, str]],
) -> None:
    if name not in students:
        pytest.skip(f"EDGEBERT_STUDENTS has no {name}")
    there = answers[host, name].result()
    assert_same(students[name], here(name), there, sentences)
    assert_proven(there, accuracy=0.8)
    assert there.engine.startswith(ENGINES[name])
    features = there.facts_before["features"]
    assert "asimd" in features and ("asimddp" in features) == (CORES[host] == "cortex-a76")


def test_the_verb_says_that_it_is_emulated(
    pis: None, students: dict[str, Artifact], clinc150: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join((clinc150 / "test.jsonl").read_text("utf-8").splitlines()[:20]) + "\n", "utf-8")
    arguments = ["check", str(students["tflite-int8"].path), "--data", str(few), "--device", "ssh:pi5"]
    done = CliRunner().invoke(main, [*arguments, "--launches", "1", "--samples", "10"])
    assert done.exit_code == 0, done.output
    assert "ssh:pi5 (emulated: times are not a device's)" in done.stdout
