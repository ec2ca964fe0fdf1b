"""Golden answers asked on a device, and what the manifest says of it afterwards."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgebert import artifact as artifacts
from edgebert import cpu, proving
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError
from edgebert.proving import Proof
from edgebert.single import prove_artifact, verify_artifact


@pytest.fixture
def copied(tiny_artifact: Artifact, tmp_path: Path) -> Artifact:
    return artifacts.load(shutil.copytree(tiny_artifact.path, tmp_path / "copied"))


def test_an_artifact_is_proven_where_it_was_made(tiny_artifact: Artifact) -> None:
    (entry,) = tiny_artifact.manifest.proven
    assert entry["instructions"] == cpu.instructions() and entry["engine"].startswith("onnxruntime ")
    assert tiny_artifact.manifest.settings == {"session.x64quantprecision": "1"}


def test_a_proof_more_is_kept_and_one_that_is_there_changes_nothing(copied: Artifact) -> None:
    here = Proof(cpu.instructions(), copied.manifest.proven[0]["engine"], 0.0, 0.1)
    assert proving.record(copied, here) == copied
    found = proving.record(copied, replace(here, instructions="x86_64 another"))
    assert found == artifacts.load(copied.path) and found.artifact_id != copied.artifact_id
    assert [each["instructions"] for each in found.manifest.proven] == sorted([here.instructions, "x86_64 another"])
    assert replace(found.manifest, proven=(), files={}) == replace(copied.manifest, proven=(), files={})
    assert [path.name for path in copied.path.parent.iterdir()] == [copied.path.name]
    assert "x86_64 another in onnxruntime" in verify_artifact(copied.path)["proven"]


def test_the_device_is_asked(copied: Artifact) -> None:
    found = prove_artifact(copied.path, "local", record=True)
    assert found["instructions"] == cpu.instructions() and found["golden"].startswith("equal")
    assert found["artifact_id"] == copied.artifact_id  # it was proven here before


def test_other_answers_are_refused_and_nothing_is_recorded(copied: Artifact) -> None:
    golden = copied.golden()
    golden["outputs"]["logits"][0][0] += 2 * golden["tolerance"]
    (copied.path / "golden.json").write_text(json.dumps(golden), "utf-8")
    unlike = artifacts.save(copied.path, copied.manifest, copied.path.with_name("unlike"))
    with pytest.raises(ArtifactError, match=r"local: onnx-int8 answers otherwise .* is allowed"):
        prove_artifact(unlike.path, "local", record=True)
    assert artifacts.load(unlike.path) == unlike


def test_artifacts_that_do_not_say_are_read_too(copied: Artifact) -> None:
    path = copied.path / artifacts.MANIFEST
    body = json.loads(path.read_text("utf-8"))
    del body["proven"], body["checksum"]
    path.write_text(artifacts._text(body | {"checksum": artifacts._checksum(body)}), "utf-8")
    assert artifacts.load(copied.path).manifest.proven == ()
    assert verify_artifact(copied.path)["proven"] == "not said"
