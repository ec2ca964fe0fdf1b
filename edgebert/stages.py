"""Resuming: each stage of a run has a key, and a stage whose key and results are there is skipped.

A key says all that decides a stage's result: its recipe section, the content of what it reads, its own version
number (an integer, raised by hand when its result would change) and the versions of the tools that it calls.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from edgebert import parallel
from edgebert.artifact import content_hash, sha256
from edgebert.errors import UsageError
from edgebert.progress import Progress

#: Below the output folder: the lock, the stages' records, checkpoints, logs and baselines.
STATE = ".edgebert"


@dataclass(frozen=True)
class Key:
    """What decides a stage's result.

    Args:
        recipe: the stage's recipe sections as canonical JSON.
        inputs: name -> content hash of what it reads.
        tools: distribution -> version.
        version: of the stage itself.
    """

    recipe: str
    inputs: Mapping[str, str]
    tools: Mapping[str, str]
    version: int = 1

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        return digest({"recipe": self.recipe, "inputs": self.inputs, "tools": self.tools, "version": self.version})


class Store:
    """The output folder of a run: locked while the run goes on, remembering what is done.

    Processes that train together share it; rank 0 alone locks it and remembers.
    """

    def __init__(self, out: Path, progress: Progress) -> None:
        self.out = out
        self.state = out / STATE
        self.progress = progress
        self._lock: TextIO | None = None

    def __enter__(self) -> Store:
        """Lock the folder.

        Raises:
            UsageError: another run holds it, it holds something else than a run, or not all processes see it.
        """
        parallel.alone(self._take)
        if not self.state.is_dir():
            raise UsageError(
                f"process {parallel.rank()} does not see {self.state}, which process 0 has made",
                "give --out a folder that all machines share",
            )
        return self

    def _take(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"--out {self.out} is a file", "give a folder")
        if self.out.is_dir() and not self.state.is_dir() and any(self.out.iterdir()):
            raise UsageError(
                f"--out {self.out} is not empty and holds no run of edgebert",
                "give a new folder, or empty this one",
            )
        self.state.mkdir(parents=True, exist_ok=True)
        self._lock = (self.state / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip()
            raise UsageError(
                f"another run is using {self.out}{f' (process {owner})' if owner else ''}",
                "wait until it ends, or give another --out",
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def work(self, name: str) -> Path:
        """A folder for what a stage needs only while it runs, such as checkpoints."""
        folder = self.state / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def is_done(self, name: str, key: Key, outputs: Sequence[Path]) -> bool:
        """Whether the stage's record has that key and all its outputs are as they were left."""
        try:
            record = json.loads(self._record(name).read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return bool(record["key"] == key.digest and record["outputs"] == self._hashes(outputs))

    def stage(self, name: str, key: Key, outputs: Sequence[Path], make: Callable[[], object]) -> None:
        """Run `make`, which writes `outputs` (files or folders below the output folder), unless it is done."""
        if parallel.first(lambda: self.is_done(name, key, outputs)):
            self.progress.say(f"{name}: kept")
            return
        self.progress.say(f"{name} …")
        parallel.alone(lambda: self._record(name).unlink(missing_ok=True))
        make()
        parallel.alone(lambda: write_json(self._record(name), {"key": key.digest, "outputs": self._hashes(outputs)}))

    def _record(self, name: str) -> Path:
        return self.state / "stages" / f"{slug(name)}.json"

    def _hashes(self, outputs: Sequence[Path]) -> dict[str, str | None]:
        return {str(path.relative_to(self.out)): content_of(path) for path in outputs}


def content_of(path: Path) -> str | None:
    """The hash of a file's or folder's content; None where nothing is."""
    if path.is_dir():
        return content_hash(path)
    return sha256(path) if path.is_file() else None


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(values: Iterable[Any]) -> str:
    """`digest` of the list of the values, which are never held together."""
    found = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        found.update(b"," * (number > 0) + json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    found.update(b"]")
    return found.hexdigest()


def slug(name: str) -> str:
    """`name` as a file name: letters, digits and dashes."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(value, handle, indent=1, ensure_ascii=False)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def tools(*distributions: str) -> dict[str, str]:
    """The installed versions of distributions; one that is absent is `absent`."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
