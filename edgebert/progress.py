"""How long work tells where it is: bars on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from edgebert import parallel


class Progress(Protocol):
    """What long work reports to."""

    def say(self, text: str) -> None:
        """One plain line."""

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        """`name` has come to `done` of `total`; may be called as often as one likes."""


class Silent:
    """Reports nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        """Nothing."""


class Lines:
    """Plain lines on stderr, for logs: at most one every `every` seconds for each step, with the time that is left."""

    def __init__(self, every: float = 10.0) -> None:
        self._every = every
        self._last: dict[str, float] = {}
        self._first: dict[str, tuple[float, float]] = {}  # when it was first heard of, and how far it was

    def say(self, text: str) -> None:
        """One line, at once."""
        print(text, file=sys.stderr, flush=True)

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        """A line when the step starts, ends, and now and then between."""
        now = time.monotonic()
        if 0 < done < total and now - self._last.get(name, float("-inf")) < self._every:
            return
        self._last[name] = now
        start, before = self._first.setdefault(name, (now, done))
        share = f"{done / total:4.0%}" if total else "    "
        left = _left(now - start, done - before, total - done)
        print("  ".join(filter(None, [f"  {name} {share}", note, left])), file=sys.stderr, flush=True)


def _left(seconds: float, done: float, missing: float) -> str:
    """`about 3 min left`, of a step that has done so much in so many seconds; nothing where that says too little."""
    if done <= 0 or missing <= 0 or seconds < 1:
        return ""
    rest = seconds * missing / done
    return f"about {rest:.0f} s left" if rest < 100 else f"about {rest / 60:.0f} min left"


class Bars:
    """Bars on a terminal (rich)."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}
        self._rich.start()

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._rich.console.print(text, markup=False, highlight=False)

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        """Move the bar of that name, made on first use."""
        if name not in self._tasks:
            self._tasks[name] = self._rich.add_task(name, total=total, note=note)
        self._rich.update(self._tasks[name], completed=done, total=total, note=note)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._rich.stop()


SILENT: Progress = Silent()


def for_stderr() -> Progress:
    """Bars when stderr is a terminal, plain lines elsewhere; nothing of a process that trains along with another."""
    if parallel.rank() > 0:
        return SILENT
    return Bars() if sys.stderr.isatty() else Lines()
