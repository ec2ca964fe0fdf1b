"""A CLINC150 student on emulated Raspberry Pis, by real ssh: right answers are proven there, latency is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pi as standin
import pytest
from click.testing import CliRunner
from same_answers import assert_proven, assert_same, measure

from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.devices.limits import FACTOR
from edgebert.devices.ssh import CONFIG

pytestmark = pytest.mark.emulated

#: Format -> the engine that must have answered there.
ENGINES = {
    "onnx-int8": "onnxruntime ",
    "openvino-int8": "openvino ",
    "tflite-int8": "ai-edge-litert ",
    "tflite-int8-legacy": "tflite-runtime 2.14.0",
}


#: CI runs everything on the core of a Pi 5, and one format on that of a Pi 4; `make test-emulated` runs them all.
IN_CI = {("cortex-a72", "onnx-int8"), *(("cortex-a76", name) for name in ENGINES)}
CASES = [
    pytest.param(core, name, marks=[pytest.mark.slow] if (core, name) in IN_CI else [])
    for core in ("cortex-a72", "cortex-a76")
    for name in ENGINES
]


@pytest.fixture(scope="module")
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As `ssh:pi`, the core of a Pi 4, which has no dot product of INT8, and that of a Pi 5, which has it."""
    if problem := standin.missing():
        pytest.skip(f"no Pi stand-in: {problem}")
    folder = tmp_path_factory.mktemp(request.param)
    with standin.running(standin.image(), request.param, folder) as config, pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG, str(config))
        patch.setenv(FACTOR, "20")
        yield request.param


@pytest.mark.parametrize(("core", "name"), CASES, indirect=["core"])
def test_answers_are_those_of_x86(
    name: str, core: str, students: dict[str, Artifact], sentences: list[dict[str, str]]
) -> None:
    """The environment of tflite-runtime is not on the disk: it comes over the line, as at a first contact."""
    if name not in students:
        pytest.skip(f"EDGEBERT_STUDENTS has no {name}")
    one = {name: students[name]}
    there, here = measure("ssh:pi", one, sentences)[name], measure("local", one, sentences)[name]
    assert_same(students[name], here, there, sentences)
    assert_proven(there, accuracy=0.8)
    assert there.engine.startswith(ENGINES[name])
    features = there.facts_before["features"]
    assert "asimd" in features and ("asimddp" in features) == (core == "cortex-a76")


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-a76"], indirect=True)
def test_the_verb_says_that_it_is_emulated(
    core: str, students: dict[str, Artifact], clinc150: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join((clinc150 / "test.jsonl").read_text("utf-8").splitlines()[:20]) + "\n", "utf-8")
    arguments = ["check", str(students["tflite-int8"].path), "--data", str(few), "--device", "ssh:pi"]
    done = CliRunner().invoke(main, [*arguments, "--launches", "1", "--samples", "10"])
    assert done.exit_code == 0, done.output
    assert "ssh:pi (emulated: times are not a device's)" in done.stdout
