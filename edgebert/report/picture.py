"""What every picture of a report has."""

from __future__ import annotations

from dataclasses import dataclass

#: Inches: the text is readable on a phone, and three pictures fit side by side.
WIDTH, HEIGHT = 4.3, 3.5


@dataclass(frozen=True)
class Picture:
    """One picture of the page; `svg` is safe markup."""

    title: str
    caption: str
    svg: str
