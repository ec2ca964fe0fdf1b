"""Saving, loading and refusing artifacts; the model file's content does not matter to any of it."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from edgebert import artifact as artifacts
from edgebert.artifact import Artifact, Manifest
from edgebert.errors import ArtifactError
from edgebert.protocols import TensorSpec

MODEL = bytes(range(256)) * 64


@pytest.fixture
def made(tmp_path: Path) -> Artifact:
    return make(tmp_path / "artifact")


def make(target: Path) -> Artifact:
    folder = target.with_name(f"{target.name}-new")
    folder.mkdir()
    (folder / "model.onnx").write_bytes(MODEL)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "golden.json").write_text('{"texts": ["größer"]}', encoding="utf-8")
    manifest = Manifest(
        task="text-classification",
        labels=("no", "yes", "vielleicht für später"),
        format="onnx",
        precision="int8",
        model_files=("model.onnx",),
        inputs=(TensorSpec("input_ids", "int64", (-1, -1)),),
        outputs=(TensorSpec("logits", "float32", (-1, 3)),),
        max_length=64,
        lengths=(16, 64),
        lineage=({"name": "t", "role": "teacher", "hash": "00"},),
    )
    return artifacts.save(folder, manifest, target)


def test_round_trip(made: Artifact) -> None:
    loaded = artifacts.load(made.path)
    assert loaded == made
    assert loaded.manifest.labels[2] == "vielleicht für später"
    assert loaded.manifest.inputs[0].shape == (-1, -1)
    assert loaded.model_bytes == len(MODEL)
    assert loaded.folder_bytes == sum(p.stat().st_size for p in made.path.iterdir())
    assert loaded.golden() == {"texts": ["größer"]}


def test_same_content_same_id(made: Artifact, tmp_path: Path) -> None:
    assert make(tmp_path / "again").artifact_id == made.artifact_id
    assert not [path for path in tmp_path.iterdir() if path.name not in ("artifact", "again")]


def test_save_replaces_what_stood_there(made: Artifact) -> None:
    (made.path / "model.onnx").write_bytes(b"old")
    assert make(made.path).model_bytes == len(MODEL)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "golden.json", "manifest.json"])
def test_every_flipped_bit_is_refused(made: Artifact, name: str) -> None:
    path = made.path / name
    whole = path.read_bytes()
    draw = random.Random(name)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError):
            artifacts.load(made.path)
    path.write_bytes(whole)
    artifacts.load(made.path)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_every_truncation_is_refused(made: Artifact, name: str) -> None:
    path = made.path / name
    whole = path.read_bytes()
    for keep in range(0, len(whole) - 1, max(1, len(whole) // 25)):
        path.write_bytes(whole[:keep])
        with pytest.raises(ArtifactError):
            artifacts.load(made.path)


def test_missing_and_unlisted_files(made: Artifact) -> None:
    (made.path / "extra.bin").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"extra\.bin is not listed"):
        artifacts.load(made.path)
    (made.path / "extra.bin").unlink()
    (made.path / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is missing"):
        artifacts.load(made.path)


def test_another_format_version_says_which(made: Artifact) -> None:
    rewrite(made, format_version=7)
    with pytest.raises(ArtifactError, match="format version 7; this edgebert reads versions 1 and 2"):
        artifacts.load(made.path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "..\\b"])
def test_names_that_lead_outside_are_refused(made: Artifact, name: str) -> None:
    rewrite(made, files={name: {"sha256": "0" * 64, "bytes": 1}}, model_files=[name])
    with pytest.raises(ArtifactError):
        artifacts.load(made.path)


def test_links_are_refused(made: Artifact, tmp_path: Path) -> None:
    outside = tmp_path / "model.bin"
    shutil.move(made.path / "model.onnx", outside)
    (made.path / "model.onnx").symlink_to(outside)
    with pytest.raises(ArtifactError, match="symbolic link"):
        artifacts.load(made.path)
    (made.path / "model.onnx").unlink()
    os.link(outside, made.path / "model.onnx")
    with pytest.raises(ArtifactError, match="hard link"):
        artifacts.load(made.path)


def test_names_that_differ_in_case_only_are_refused(made: Artifact) -> None:
    (made.path / "MODEL.onnx").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="case only"):
        artifacts.load(made.path)


@pytest.mark.parametrize(("there", "instead"), [("1e-06", "1E-06"), ("}\n", "}"), ("{\n", "{ \n"), (" 1", "  1")])
def test_a_manifest_that_says_the_same_in_other_bytes_is_refused(made: Artifact, there: str, instead: str) -> None:
    rewrite(made, settings={"epsilon": 1e-6}, lengths=[1])
    artifacts.load(made.path)
    path = made.path / "manifest.json"
    text = path.read_text("utf-8")
    assert there in text
    path.write_text(text.replace(there, instead, 1), "utf-8")
    with pytest.raises(ArtifactError, match="not as it was written"):
        artifacts.load(made.path)


def test_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        artifacts.load(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match=r"has no manifest\.json"):
        artifacts.load(tmp_path)


def rewrite(made: Artifact, **fields: object) -> None:
    """Change the manifest as a careful forger would: with a checksum that fits."""
    path = made.path / "manifest.json"
    body = json.loads(path.read_text("utf-8")) | fields
    body.pop("checksum")
    path.write_text(artifacts._text(body | {"checksum": artifacts._checksum(body)}), "utf-8")
