"""What a measurement that is not whole yet has given so far: events of launches, kept here until all are in.

Each launch's events stand in a file of their own as they arrive, below a folder named by what decides them (device,
artifact, records, plan). A line that is cut, a device that dies and a process here that is killed lose nothing of it.
The next measurement of the same goes on from the answers; latency it measures afresh, since a machine is another one
after a pause, and keeps the earlier samples apart, as `partial`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebert.errors import DeviceError, EdgebertError

#: Seconds after which what a cut measurement left is forgotten.
FORGOTTEN = 7 * 86400

_FILE = re.compile(r"(\d+)-(\d+)\.jsonl")

Event = Mapping[str, Any]


@dataclass
class Kept:
    """One measurement's files, and what earlier attempts at it left.

    Args:
        folder: of the files.
        attempt: number of this attempt.
        outputs: `outputs` events that follow one another from the first record.
        engine: that gave them.
        partial: for each earlier launch `launch`, `whole` (whether it came to its end), `latency_ms`, `engine_ms`.
    """

    folder: Path
    attempt: int = 1
    outputs: list[Event] = field(default_factory=list)
    engine: str = ""
    partial: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """How many records have their outputs."""
        return sum(len(event["windows"]) for event in self.outputs)

    def summary(self, records: int) -> str:
        """What is there of how many records, in words; empty when nothing is."""
        samples = samples_of(self.partial)
        if not self.answered and not samples:
            return ""
        return (
            f"an earlier measurement was cut: {self.answered} of {records} answers go on from there, "
            f"{samples} samples are kept as partial"
        )

    def file(self, launch: int) -> Path:
        """Where the events of a launch of this attempt go."""
        return self.folder / f"{self.attempt}-{launch}.jsonl"

    def add(self, number: int, launch: int, events: list[Event]) -> None:
        """An earlier launch's events."""
        self.attempt = max(self.attempt, number + 1)
        latency: list[float] = []
        engine: dict[str, list[float]] = {}
        loaded = ""
        for event in events:
            match event["event"]:
                case "loaded":
                    loaded = event["engine"]
                case "latency":
                    latency += event["ms"]
                case "engine":
                    engine[str(event["length"])] = event["ms"]
                case "outputs":
                    self._answer(event, loaded)
        if latency or engine:
            whole = bool(events) and events[-1]["event"] == "done"
            self.partial.append({"launch": launch, "whole": whole, "latency_ms": latency, "engine_ms": engine})

    def _answer(self, event: Event, engine: str) -> None:
        """Outputs are taken when they go on where the others end, in the same engine, or begin anew."""
        if event["first"] == 0:
            self.outputs, self.engine = [event], engine
        elif engine == self.engine and event["first"] == self.answered:
            self.outputs.append(event)


def samples_of(partial: Iterable[Mapping[str, Any]]) -> int:
    """How many samples, of latency and of the engine alone, stand in `partial`."""
    return sum(len(each["latency_ms"]) + sum(map(len, each["engine_ms"].values())) for each in partial)


def told(partial: Iterable[Mapping[str, Any]]) -> str:
    """What stands in `partial`, in words; empty when nothing does."""
    cut = samples_of(partial)
    return f"{cut} samples of a measurement that was cut are kept, not pooled (partial, in --json)" if cut else ""


def keep_folder() -> Path:
    """Where measurements outside a run leave what they have: `edgebert/jobs` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebert" / "jobs"


@contextmanager
def keeping(root: Path, key: str) -> Iterator[Kept]:
    """The kept files of one measurement: gone when the body ends well or no device is to blame, there otherwise.

    Where another process measures the same at this moment, nothing is kept of this one but its figures.
    """
    folder = root / key[:32]
    folder.mkdir(parents=True, exist_ok=True)
    for other in root.iterdir():
        if time.time() - other.stat().st_mtime > FORGOTTEN:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            folder = Path(f"{folder}-{time.time_ns()}")
            folder.mkdir()
        try:
            yield _read(folder)
        except EdgebertError as error:
            if not isinstance(error, DeviceError):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def read_events(path: Path) -> list[dict[str, Any]]:
    """The whole events of a file; a last line that was cut short is none."""
    events = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            break
        if not isinstance(event, dict) or "event" not in event:
            break
        events.append(event)
    return events


def _read(folder: Path) -> Kept:
    kept = Kept(folder)
    files = [(int(name[1]), int(name[2]), path) for path in folder.iterdir() if (name := _FILE.fullmatch(path.name))]
    for attempt, launch, path in sorted(files):
        kept.add(attempt, launch, [*read_events(path)])
    return kept
