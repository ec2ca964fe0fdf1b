"""Good files, in every format and encoding, become the records that were written."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_tasks import SINGLE

from edgebert.data import read_records, read_split, read_texts
from edgebert.recipe import SplitSpec

COLUMNS = {"text": "utterance", "label": "intent"}
ROWS = [
    ("turn the lights off", "lights_off"),
    ('she said "hi", and left', "chat"),
    ("größer ☃ 😀 \u2028 line separator", "chat"),
    ("  spaces stay  ", "a label"),
]


def written(rows: Sequence[tuple[str, str]], format: str, end: str = "\n") -> str:
    """The rows as another tool would write them."""
    if format == "jsonl":
        return "".join(json.dumps({"intent": label, "utterance": text, "n": 1}) + end for text, label in rows)
    out = io.StringIO()
    writer = csv.writer(out, delimiter="," if format == "csv" else "\t", lineterminator=end)
    writer.writerow(["id", "utterance", "intent"])
    writer.writerows([index, text, label] for index, (text, label) in enumerate(rows))
    return out.getvalue()


def read(path: Path, **options: str) -> list[tuple[str, str]]:
    return [(record["text"], record["label"]) for record in read_records(path, COLUMNS, **options)]


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"])
def test_formats_and_encodings(format: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{format}"
    path.write_bytes(written(ROWS, format).encode(encoding))
    assert read(path, encoding=encoding) == ROWS


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
def test_windows_line_ends_and_byte_order_mark(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{format}"
    path.write_bytes(b"\xef\xbb\xbf" + written(ROWS, format, end="\r\n").encode())
    assert read(path) == ROWS


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
def test_the_last_line_may_lack_its_end_or_be_followed_by_empty_ones(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{format}"
    for text in (written(ROWS, format).removesuffix("\n"), written(ROWS, format) + "\n\n"):
        path.write_bytes(text.encode())
        assert read(path) == ROWS


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"), ("a.CSV", "csv"), ("a.tab", "tsv"), ("a.x", "csv")],
)
def test_the_suffix_tells_the_format_unless_it_is_given(name: str, format: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(written(ROWS, format), encoding="utf-8")
    assert read(path, **({"format": format} if name == "a.x" else {})) == ROWS


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('utterance,intent\na,x\n"b\nb",x\nc,x\n')
    assert [(record["line"], record["text"]) for record in read_records(path, COLUMNS)] == [
        (2, "a"),
        (3, "b\nb"),
        (5, "c"),
    ]


def test_a_text_of_a_megabyte(tmp_path: Path) -> None:
    long = [("word " * 200_000 + "end", "x")]
    for format in ("jsonl", "csv", "tsv"):
        path = tmp_path / f"a.{format}"
        path.write_text(written(long, format))
        assert read(path) == long


def test_files_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(written(ROWS * 10_000, "jsonl") + "broken")
    assert next(read_records(path, COLUMNS))["text"] == ROWS[0][0]  # the broken end has not been reached


def test_a_split_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(written(ROWS, "csv"), encoding="utf-16")
    split = SplitSpec(path="a.csv", text="utterance", label="intent", encoding="utf-16")
    assert [record["label"] for record in read_split(split, tmp_path, SINGLE)] == [label for _, label in ROWS]


def test_texts_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one, two\n  three\nfour\r\n\n", encoding="utf-8")
    assert list(read_texts(tmp_path / "a.txt")) == ["one, two", "  three", "four"]
    (tmp_path / "a.tsv").write_text(written(ROWS, "tsv"), encoding="utf-8")
    assert list(read_texts(tmp_path / "a.tsv", column="utterance")) == [text for text, _ in ROWS]


_CELL = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=6))
def test_what_is_written_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    for format in ("jsonl", "csv", "tsv"):
        if format == "tsv" and any("\n" in cell or "\r" in cell for row in rows for cell in row):
            continue  # a cell of a TSV file ends on its line
        path = tmp_path / f"a.{format}"
        path.write_bytes(written(rows, format, end="\r\n").encode())  # else Python quotes no lone \r
        assert read(path) == rows


def test_reading_data_needs_numpy_alone() -> None:
    code = "import sys, edgebert.data; print(sorted({m.partition('.')[0] for m in sys.modules} & set(sys.argv[1:])))"
    heavy = ["torch", "pydantic", "yaml", "pandas", "tokenizers"]
    out = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, check=True, env=os.environ)
    assert out.stdout.decode().strip() == "[]"
