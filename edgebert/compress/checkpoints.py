"""Checkpoints that can be trusted: one counts once its seal, written last, lists the hash of each of its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edgebert.artifact import sha256

#: Seconds of training that a kill may cost.
CHECKPOINT_EVERY = 20.0

SEAL = "sealed.json"


def usable_checkpoint(work: Path, identity: str) -> Path | None:
    """The last checkpoint that is whole and of this training; all others are removed."""
    best: Path | None = None
    for path in sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True):
        if best is None and is_sealed(path, identity):
            best = path
        else:
            shutil.rmtree(path)
    return best


def seal(path: Path, identity: str) -> None:
    """Write the list of the checkpoint's files and their hashes, last and at once."""
    files = {file.name: sha256(file) for file in sorted(path.iterdir()) if file.name != SEAL}
    draft = path / f"{SEAL}.new"
    draft.write_text(json.dumps({"identity": identity, "files": files}), encoding="utf-8")
    draft.rename(path / SEAL)


def is_sealed(path: Path, identity: str) -> bool:
    """Whether each file is as it was sealed, and by the training of that identity."""
    try:
        seal = json.loads((path / SEAL).read_text("utf-8"))
        return bool(
            seal["identity"] == identity
            and all(sha256(path / name) == expected for name, expected in seal["files"].items())
        )
    except (OSError, ValueError, KeyError):
        return False
