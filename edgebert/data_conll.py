"""CoNLL files: a word and its tag a line, a blank line after each sentence.

The layout of CoNLL-2003 (Tjong Kim Sang & De Meulder 2003): the word is in the first column, its tag in the last.
Columns are divided by tabs where a line has one, else by spaces. `-DOCSTART-` lines are no sentences. Tags in IOB1,
where B- stands only between two entities of one type, become IOB2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgebert.data_records import check_tag, text_of
from edgebert.errors import DataError
from edgebert.tasks import Record


def read_conll(path: Path, lines: Iterable[str]) -> Iterator[Record]:
    """The sentences of a file: records of `tokens`, `tags`, and the `line` on which each begins.

    Raises:
        DataError: a line without a tag, or a tag that is none.
    """
    sentences = list(_sentences(path, lines))
    first = _is_iob1([tags for _, _, tags in sentences])
    for line, tokens, tags in sentences:
        yield {"tokens": tokens, "tags": iob2(tags) if first else tags, "line": line}


def _sentences(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, list[str], list[str]]]:
    tokens: list[str] = []
    tags: list[str] = []
    start = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if not line.strip():
            if tokens:
                yield start, tokens, tags
            tokens, tags = [], []
            continue
        if line.startswith("-DOCSTART-"):
            continue
        where = f"{path}:{number}"
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) < 2:
            raise DataError(
                f"{where}: no tag after {cells[0][:40]!r}", "a word and its tag, divided by a tab or spaces"
            )
        tag = cells[-1].strip()
        check_tag(tag, where)
        start = start if tokens else number
        tokens.append(text_of(cells[0].strip(), where, "token"))
        tags.append(tag)
    if tokens:
        yield start, tokens, tags


def _is_iob1(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether some entity begins with I-, and each B- stands right after an entity of its type."""
    begins = needless = False
    for tags in sentences:
        for before, tag in zip(["O", *tags], tags, strict=False):
            mark, _, kind = tag.partition("-")
            continues = before != "O" and before.partition("-")[2] == kind
            if mark in ("E", "S"):
                return False
            begins |= mark == "I" and not continues
            needless |= mark == "B" and not continues
    return begins and not needless


def iob2(tags: Sequence[str]) -> list[str]:
    """IOB1 tags as IOB2: each entity begins with B-."""
    found = []
    for before, tag in zip(["O", *tags], tags, strict=False):
        mark, _, kind = tag.partition("-")
        starts = mark == "I" and (before == "O" or before.partition("-")[2] != kind)
        found.append(f"B-{kind}" if starts else tag)
    return found
