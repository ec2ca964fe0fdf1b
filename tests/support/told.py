"""Progress that remembers what it was told."""

from __future__ import annotations


class Told:
    """`lines` are what was said, and `NAME DONE/TOTAL NOTE` for each step."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        self.lines.append(f"{name} {done:.0f}/{total:.0f} {note}")
