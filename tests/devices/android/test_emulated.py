"""The bundle for phones on the Android stand-in of their architecture, run by qemu: right or wrong, never how fast."""

from __future__ import annotations

from collections.abc import Iterator

import android_standin
import pytest
from android_standin import Standin
from same_answers import assert_proven, assert_same, measure

from edgebert.artifact import Artifact
from edgebert.devices.limits import FACTOR

pytestmark = [pytest.mark.emulated, pytest.mark.slow]


@pytest.fixture(scope="module")
def emulated() -> Iterator[Standin]:
    """A stand-in with a Cortex-A76, the only device that adb sees."""
    if reason := android_standin.missing("aarch64"):
        pytest.skip(f"no Android stand-in: {reason}")
    standin = Standin("aarch64", size_mb=600)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ADB_SERVER_SOCKET", standin.environment["ADB_SERVER_SOCKET"])
            patch.setenv("EDGEBERT_CACHE", str(android_standin.CACHE))
            patch.setenv(FACTOR, "20")
            standin.start()
            yield standin
    finally:
        standin.stop()


@pytest.mark.parametrize("name", ["onnx-int8", "tflite-int8"])
def test_answers_are_those_of_x86(
    name: str, emulated: Standin, students: dict[str, Artifact], sentences: list[dict[str, str]]
) -> None:
    one = {name: students[name]}
    there, here = measure("android", one, sentences)[name], measure("local", one, sentences)[name]
    assert_same(students[name], here, there, sentences)
    assert_proven(there, accuracy=0.8)
    assert "asimddp" in there.facts_before["features"]
    emulated.await_clean(60)
