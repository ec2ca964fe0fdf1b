"""From the bytes of a CSV, TSV or JSONL file to numbered rows; `edgebert.data` makes records of them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert.errors import DataError

MAX_TEXT_CHARS = 4_000_000
_MAX_LINE_CHARS = 32_000_000  # the longest text, if every character is written as \uXXXX
_CHUNK_BYTES = 1 << 16
_ENCODING_HINT = "say how the file is encoded (encoding: latin-1, cp1252, utf-16 …), or save it as UTF-8"


def lines_of(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file with their line ends (LF only: other separators are text), decoded in pieces.

    Decoding by hand tells where the wrong byte is, in any encoding, which Python's text files do not.
    """
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        file = path.open("rb")
    except LookupError as error:
        raise DataError(f"{path}: unknown encoding {encoding!r}", "such as utf-8, utf-16, latin-1, cp1252") from error
    except OSError as error:
        told = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        hint = "correct the path; in a recipe it is relative to the recipe's own folder"
        raise DataError(f"{path}: {told}", hint) from error
    with file:
        line, seen, start = 1, 0, True
        unended: list[str] = []  # the pieces of a line whose end has not been read
        while True:
            chunk = file.read(_CHUNK_BYTES)
            seen += len(chunk)
            state = decoder.getstate()
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                # What the decoder was given is what it held back and this chunk; both end at `seen`.
                right = chunk[: max(0, len(chunk) - len(error.object) + error.start)]
                decoder.setstate(state)
                with contextlib.suppress(UnicodeError):
                    line += decoder.decode(right).count("\n")
                offset = seen - len(error.object) + error.start
                told = f"byte 0x{error.object[error.start]:02x} at offset {offset} is not {encoding}"
                raise DataError(f"{path}:{line}: {told}", _ENCODING_HINT) from error
            except UnicodeError as error:  # UTF-16 without a byte order mark says no more than this
                raise DataError(f"{path}:{line}: not {encoding}: {error}", _ENCODING_HINT) from error
            if start and text:
                text, start = text.removeprefix("\ufeff"), False
            first, *others = text.split("\n")
            unended.append(first)
            for following in others:
                yield "".join(unended) + "\n"
                unended = [following]
            line += len(others)
            if sum(map(len, unended)) > _MAX_LINE_CHARS:
                raise DataError(f"{path}:{line}: the line does not end", "is this a text file with one row a line?")
            if not chunk:
                break
    if any(unended):
        yield "".join(unended)


def numbered(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines with their number, without line ends; empty ones are refused unless nothing follows them."""
    empty = 0
    for number, line in enumerate(lines, 1):
        text = line.removesuffix("\n").removesuffix("\r")
        if not text.strip():
            empty = empty or number
            continue
        if empty:
            raise DataError(f"{path}:{empty}: empty line between rows", "remove the line")
        yield number, text


Rows = Iterator[tuple[int, Mapping[str, Any]]]


def _json_rows(path: Path, lines: Iterable[str], columns: Mapping[str, str]) -> Rows:
    for number, text in numbered(path, lines):
        where = f"{path}:{number}"
        try:
            row = json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: column {error.colno}: not JSON: {error.msg}", "one JSON object a line"
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not usable JSON: {error}", "one flat JSON object a line") from error
        if not isinstance(row, dict):
            kind = {list: "a list", str: "text", type(None): "null", bool: "true or false"}.get(type(row), "a number")
            raise DataError(
                f"{where}: expected a JSON object, found {kind}", 'one object a line: {"text": …, "label": …}'
            )
        _require_columns(columns, list(row), where, "key")
        yield number, row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"the key {twice!r} is given twice")
    return row


def _table_rows(path: Path, lines: Iterable[str], columns: Mapping[str, str], delimiter: str) -> Rows:
    if csv.field_size_limit() < MAX_TEXT_CHARS + 1:
        csv.field_size_limit(MAX_TEXT_CHARS + 1)  # Python's own limit is 131,072
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    empty = 0
    for start, cells in _cells(path, reader):
        if delimiter == "\t" and reader.line_num > start:
            raise DataError(
                f"{path}:{start}: a quoted cell goes on over the line end", 'write a quote in a cell as """"'
            )
        if not cells:
            empty = empty or start
        elif empty:
            raise DataError(f"{path}:{empty}: empty line between rows", "remove the line")
        elif header is None:
            header = cells
            _require_columns(columns, header, f"{path}:{start}", "column")
        elif len(cells) != len(header):
            told = f"{path}:{start}: expected {len(header)} cells, found {len(cells)}"
            sign = "comma" if delimiter == "," else "tab"
            raise DataError(told, f"a {sign} within a cell needs double quotes around the cell")
        else:
            yield start, dict(zip(header, cells, strict=True))


def _cells(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows of a `csv.reader` with the line on which each starts."""
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                told = f"{path}:{start}: a cell has more than the {MAX_TEXT_CHARS} characters a text may have"
                raise DataError(told, "cut the text, or look for a double quote that is never closed") from error
            hint = 'a cell in double quotes ends at the delimiter; a quote within it is doubled: "say ""hi"""'
            raise DataError(f"{path}:{start}: {error}", hint) from error
        yield start, cells


def _require_columns(columns: Mapping[str, str], found: Sequence[str], where: str, what: str) -> None:
    for column in columns.values():
        if column not in found:
            close = difflib.get_close_matches(column, found, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            shown = ", ".join(repr(name) for name in found[:20]) + (", …" if len(found) > 20 else "")
            role = next(role for role, name in columns.items() if name == column)
            if len(found) == 1 and ";" in found[0]:
                raise DataError(f"{where}: no {what} {column!r}; the cells seem to be divided by ';'", "use commas")
            raise DataError(
                f"{where}: no {what} {column!r}{guess}",
                f"found: {shown or 'none'}; say {role}: COLUMN in the recipe",
            )
        if found.count(column) > 1:
            raise DataError(f"{where}: the {what} {column!r} stands there twice", "rename one of the two")


READERS: dict[str, Callable[[Path, Iterable[str], Mapping[str, str]], Rows]] = {
    "jsonl": _json_rows,
    "csv": lambda path, lines, columns: _table_rows(path, lines, columns, ","),
    "tsv": lambda path, lines, columns: _table_rows(path, lines, columns, "\t"),
}
