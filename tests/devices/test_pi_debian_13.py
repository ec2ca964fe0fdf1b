"""The same on a Pi 5 with Debian 13 and its Python 3.13. Not in CI, which has them on x86-64 (`test_setup_script`)."""

from __future__ import annotations

from collections.abc import Iterator

import pi as standin
import pytest
from same_answers import assert_proven, assert_same, measure

from edgebert.artifact import Artifact
from edgebert.devices.limits import FACTOR
from edgebert.devices.ssh import CONFIG

pytestmark = pytest.mark.emulated


@pytest.fixture(scope="module")
def debian_13(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """As `ssh:pi`."""
    if problem := standin.missing(standin.TRIXIE):
        pytest.skip(f"no Pi stand-in: {problem}")
    folder = tmp_path_factory.mktemp("trixie")
    with (
        standin.running(standin.image(standin.TRIXIE), "cortex-a76", folder) as config,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(CONFIG, str(config))
        patch.setenv(FACTOR, "20")
        yield


@pytest.mark.parametrize("name", ["onnx-int8", "openvino-int8", "tflite-int8"])
def test_answers_are_those_of_x86(
    name: str, debian_13: None, students: dict[str, Artifact], sentences: list[dict[str, str]]
) -> None:
    one = {name: students[name]}
    there, here = measure("ssh:pi", one, sentences)[name], measure("local", one, sentences)[name]
    assert_same(students[name], here, there, sentences)
    assert_proven(there, accuracy=0.8)
    assert there.facts_before["python"].startswith("3.13.")
