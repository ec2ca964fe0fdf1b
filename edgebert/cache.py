"""What was found out about this machine once, kept per user: `EDGEBERT_CACHE`, or `edgebert` in the XDG cache folder.

Small JSON files. Each holds the whole key that it was found under, so that a damaged or foreign file counts as absent.
A folder that cannot be written to costs the time to find out again, and is no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The environment variable that names the folder.
VARIABLE = "EDGEBERT_CACHE"


def folder() -> Path:
    """The cache folder; it may not exist yet."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    # By the specification a relative XDG path is invalid and must be ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path("~/.cache").expanduser()) / "edgebert"


def recall(kind: str, key: Mapping[str, Any]) -> Any:
    """What was remembered under this kind and key; None when nothing was."""
    try:
        found = json.loads(_path(kind, key).read_text("utf-8"))
        return found["value"] if found["key"] == json.loads(json.dumps(key)) else None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):  # RuntimeError: no home folder
        return None


def remember(kind: str, key: Mapping[str, Any], value: Any) -> None:
    """Keep a value that JSON can hold, whole or not at all."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(json.dumps({"key": key, "value": value}, sort_keys=True) + "\n", "utf-8")
        unfinished.replace(path)


def _path(kind: str, key: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return folder() / kind / f"{digest[:32]}.json"
