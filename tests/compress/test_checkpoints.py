"""Which checkpoint a resumed training takes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebert.compress.checkpoints import seal, usable_checkpoint


def checkpoint(work: Path, step: int, identity: str | None = "same") -> Path:
    path = work / f"checkpoint-{step}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(bytes(100))
    (path / "optimizer.pt").write_bytes(bytes(200))
    if identity is not None:
        seal(path, identity)
    return path


def test_the_last_one_by_number(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        checkpoint(tmp_path, step)
    assert usable_checkpoint(tmp_path, "same") == tmp_path / "checkpoint-100"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-100"]


@pytest.mark.parametrize("damage", ["no seal", "half a seal", "cut", "flipped", "gone", "another training"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: str) -> None:
    good = checkpoint(tmp_path, 10)
    bad = checkpoint(tmp_path, 20, {"no seal": None, "another training": "other"}.get(damage, "same"))
    weights = bad / "model.safetensors"
    if damage == "half a seal":
        (bad / "sealed.json").write_text((bad / "sealed.json").read_text()[:40])
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:50])
    elif damage == "flipped":
        weights.write_bytes(bytes(99) + b"\1")
    elif damage == "gone":
        weights.unlink()
    assert usable_checkpoint(tmp_path, "same") == good
    assert not bad.exists()


def test_none_at_all(tmp_path: Path) -> None:
    checkpoint(tmp_path, 10, identity=None)
    assert usable_checkpoint(tmp_path, "same") is None
