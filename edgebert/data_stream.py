"""Records and texts that are read from their files each time they are asked for: a million of them take no memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgebert.errors import DataError
from edgebert.tasks import Record, texts_of


@dataclass(frozen=True)
class Unlabelled(Collection[Record]):
    """The records of a file, which is read and checked once when this is made.

    Args:
        path: the file.
        read: begins to read it anew.
    """

    path: Path
    read: Callable[[], Iterator[Record]]
    _count: int = field(init=False)
    _state: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_count", sum(1 for _ in self.read()))
        object.__setattr__(self, "_state", self._now())

    def __len__(self) -> int:
        return self._count

    def __contains__(self, record: object) -> bool:
        return any(record == other for other in self)

    def __iter__(self) -> Iterator[Record]:
        """From the first.

        Raises:
            DataError: the file is no longer what it was.
        """
        if self._now() != self._state:
            raise DataError(f"{self.path} was changed while the run went on", "start the run again")
        return self.read()

    def _now(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError:
            return (-1, -1)
        return (found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Texts(Iterable[str]):
    """All texts of some records, and the lines of a text file (UTF-8)."""

    parts: tuple[Iterable[Record], ...]
    corpus: Path | None = None

    def __iter__(self) -> Iterator[str]:
        for records in self.parts:
            for record in records:
                yield from texts_of(record)
        if self.corpus is not None:
            with self.corpus.open(encoding="utf-8") as lines:
                for line in lines:
                    yield from line.splitlines()
