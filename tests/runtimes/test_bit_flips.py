"""Damage of one bit, or a missing end, in any file of an artifact: refused before a native loader is called."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgebert import registry
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError
from edgebert.model import Model

FORMATS = ("onnx-int8", "openvino-int8", "tflite-int8")
FLIPS, CUTS = 1000, 100


class LoaderReachedError(AssertionError):
    """The runtime was handed the artifact."""


@pytest.fixture(params=FORMATS)
def copied(
    request: pytest.FixtureRequest, exported: Callable[[str, str], Artifact], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    """An artifact to spoil, in a format whose loader says that it was reached."""
    artifact = exported("bert", request.param)

    def loader(*_: object, **__: object) -> None:
        raise LoaderReachedError

    target = registry.BUILT_IN["runtimes"][artifact.manifest.format]
    monkeypatch.setattr(target.replace(":", "."), loader)
    return Path(shutil.copytree(artifact.path, tmp_path / "artifact"))


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def places(folder: Path, count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Random files and places in them: half of the times any byte of the artifact, else any file first."""
    draw = random.Random(seed)
    files = sorted(folder.iterdir())
    sizes = [file.stat().st_size for file in files]
    for number in range(count):
        file = draw.choices(files, sizes if number % 2 else None)[0]
        yield file, draw.randrange(file.stat().st_size)


def test_the_loader_of_a_sound_artifact_is_reached(copied: Path) -> None:
    """Else the tests below could not fail."""
    with pytest.raises(LoaderReachedError):
        Model.load(copied)


def test_flipped_bits(copied: Path) -> None:
    spoiled = set()
    for number, (file, byte) in enumerate(places(copied, FLIPS, seed=1)):
        flip(file, 8 * byte + number % 8)
        with pytest.raises(ArtifactError) as told:
            Model.load(copied)
        flip(file, 8 * byte + number % 8)
        assert told.value.hint
        spoiled.add(file.name)
    assert spoiled == {file.name for file in copied.iterdir()}
    with pytest.raises(LoaderReachedError):  # all as it was
        Model.load(copied)


def test_missing_ends(copied: Path) -> None:
    for number, (file, end) in enumerate(places(copied, CUTS, seed=2)):
        whole = file.read_bytes()
        os.truncate(file, len(whole) - 1 if number % 4 == 0 else end)
        with pytest.raises(ArtifactError) as told:
            Model.load(copied)
        assert told.value.hint
        file.write_bytes(whole)
