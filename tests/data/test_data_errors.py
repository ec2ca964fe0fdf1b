"""A bad file in, the exact error out; nothing is ever dropped or repaired in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_tasks import SINGLE

from edgebert.data import read_records, read_split, read_texts
from edgebert.data_rows import MAX_TEXT_CHARS
from edgebert.errors import DataError
from edgebert.recipe import SplitSpec

COLUMNS = {"text": "text", "label": "label"}
JSON, CSV, TSV = '{"text": "a", "label": "b"}\n', "text,label\na,b\n", "text\tlabel\na\tb\n"

# A file's name and content, what is said after its folder, and a word of the hint.
BAD: list[tuple[str, str | bytes, str, str]] = [
    # encodings
    ("a.jsonl", JSON.encode() + b'{"text": "caf\xe9"', "a.jsonl:2: byte 0xe9 at offset 41 is not utf-8", "latin-1"),
    ("a.csv", CSV.encode("utf-16"), "a.csv:1: byte 0xff at offset 0 is not utf-8", "utf-16"),
    ("a.csv", CSV.encode() + b"caf\xc3", "a.csv:3: byte 0xc3 at offset 18 is not utf-8", "encoding"),
    (
        "a.csv",
        b"text,label\n" + b"abcdefg,b\n" * 7000 + b"\xff",
        "a.csv:7002: byte 0xff at offset 70011 is not utf-8",
        "",
    ),
    (
        "a.csv",
        b"text,label\n" + "ééé,b\n".encode() * 8000 + b"\x80",
        "a.csv:8002: byte 0x80 at offset 72011 is not utf-8",
        "",
    ),
    # rows
    ("a.csv", CSV + "a,b,c\n", "a.csv:3: expected 2 cells, found 3", "comma"),
    ("a.tsv", TSV + "a\n", "a.tsv:3: expected 2 cells, found 1", "tab"),
    ("a.csv", 'text,label\n"a\nb",c\nd\n', "a.csv:4: expected 2 cells, found 1", ""),
    ("a.csv", CSV + "\na,b\n", "a.csv:3: empty line between rows", "remove"),
    ("a.jsonl", JSON + " \n" + JSON, "a.jsonl:2: empty line between rows", "remove"),
    ("a.csv", CSV + '"a" b,c\n', "a.csv:3: ',' expected after '\"'", "doubled"),
    ("a.csv", CSV + '"a,b\nc,d\n', "a.csv:3: unexpected end of data", "doubled"),
    ("a.tsv", TSV + '"a\tb\nc"\td\n', "a.tsv:3: a quoted cell goes on over the line end", "quote"),
    # columns
    (
        "a.csv",
        "test,label\na,b\n",
        "a.csv:1: no column 'text'; did you mean 'test'?",
        "found: 'test', 'label'; say text:",
    ),
    ("a.csv", "text;label\na;b\n", "a.csv:1: no column 'text'; the cells seem to be divided by ';'", "commas"),
    ("a.csv", "text,label,text\na,b,c\n", "a.csv:1: the column 'text' stands there twice", "rename"),
    (
        "a.jsonl",
        JSON + '{"text": "a", "lable": "b"}',
        "a.jsonl:2: no key 'label'; did you mean 'lable'?",
        "found: 'text'",
    ),
    ("a.jsonl", "{}", "a.jsonl:1: no key 'text'", "found: none"),
    # JSON
    ("a.jsonl", JSON + '{"text": "a",}', "a.jsonl:2: column 14: not JSON: ", "one JSON object a line"),
    ("a.jsonl", "[" + JSON.strip() + "]", "a.jsonl:1: expected a JSON object, found a list", "one object a line"),
    ("a.jsonl", '"a"', "a.jsonl:1: expected a JSON object, found text", ""),
    ("a.jsonl", "{\n", "a.jsonl:1: column 2: not JSON: ", ""),
    (
        "a.jsonl",
        '{"text": "a", "text": "b", "label": "c"}',
        "a.jsonl:1: not usable JSON: the key 'text' is given twice",
        "",
    ),
    ("a.jsonl", "[" * 100_000, "a.jsonl:1: not usable JSON: ", ""),
    ("a.jsonl", '{"text": ' + "1" * 5000 + "}", "a.jsonl:1: not usable JSON: ", ""),
    # values
    ("a.jsonl", JSON + '{"text": "a", "label": 1}', "a.jsonl:2: 'label' must be text, found int 1", "in quotes"),
    ("a.jsonl", '{"text": null, "label": "b"}', "a.jsonl:1: 'text' must be text, found nothing (null)", "in quotes"),
    ("a.jsonl", '{"text": ["a"], "label": "b"}', "a.jsonl:1: 'text' must be text, found list ['a']", ""),
    ("a.jsonl", '{"text": "", "label": "b"}', "a.jsonl:1: 'text' is empty", "remove the row"),
    ("a.csv", CSV + " ,b\n", "a.csv:3: 'text' is empty", ""),
    ("a.csv", CSV + "a,\n", "a.csv:3: 'label' is empty", ""),
    (
        "a.jsonl",
        '{"text": "a \\ud800", "label": "b"}',
        "a.jsonl:1: 'text' holds half a surrogate pair (U+D800)",
        "whole pair",
    ),
    ("a.jsonl", '{"text": "a", "label": "\\udc00"}', "a.jsonl:1: 'label' holds half a surrogate pair (U+DC00)", ""),
    (
        "a.jsonl",
        '{"label": "b", "text": "' + "x" * 4_000_001 + '"}',
        "a.jsonl:1: 'text' has 4000001 characters, more",
        "cut",
    ),
    ("a.csv", CSV + "x" * 4_000_002 + ",b\n", "a.csv:3: a cell has more than the 4000000 characters", "cut"),
    ("a.jsonl", "x" * 32_100_000, "a.jsonl:1: the line does not end", "one row a line"),
    # files
    ("a.xml", "<a/>", "a.xml: '.xml' is no known format", "csv, tsv, jsonl"),
    ("a", "a", "a: 'no suffix' is no known format", ""),
]


@pytest.mark.parametrize(("name", "content", "message", "hint"), BAD, ids=[case[2][:60] for case in BAD])
def test_bad_files(name: str, content: str | bytes, message: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        list(read_records(path, COLUMNS))
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"{tmp_path}/{message}")
    assert hint in caught.value.hint and caught.value.hint
    assert len(caught.value.message) < len(str(path)) + 200


@pytest.mark.parametrize(
    ("encoding", "content", "message"),
    [
        ("utf-16", "text,label\n".encode("utf-16") + b"\n\x00\x00\xdc", ":3: byte 0x00 at offset 26 is not utf-16"),
        ("utf-16", "text,label\na".encode("utf-16") + b"\n", ":2: byte 0x0a at offset 26 is not utf-16"),
        ("utf-16", bytes(4) + b"\x00\xd8" + bytes(2), ":1: byte 0x00 at offset 4 is not utf-16"),
        ("utf-16", b"te", ":1: not utf-16: UTF-16 stream does not start with BOM"),
        ("ascii", b"text,label\r\n\xe9", ":2: byte 0xe9 at offset 12 is not ascii"),
        ("gb18030", b"text,label\n\xc4\xe3\xff", ":2: byte 0xff at offset 13 is not gb18030"),
        ("nonsense", b"", ": unknown encoding 'nonsense'"),
    ],
)
def test_bytes_of_another_encoding(encoding: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_records(path, COLUMNS, encoding=encoding))
    assert caught.value.message == f"{path}{message}"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv: no such file\ncorrect the path; in a recipe it is relative"):
        list(read_records(tmp_path / "a.csv", COLUMNS))
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(DataError, match=r"b\.csv: Is a directory"):
        list(read_records(tmp_path / "b.csv", COLUMNS))


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", ""), ("a.jsonl", "\n\n"), ("a.csv", ""), ("a.csv", "text,label\n")]
)
def test_a_split_without_rows(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        read_split(SplitSpec(path=name), tmp_path, SINGLE)
    assert str(caught.value) == f"{tmp_path / name}: no rows\nevery split needs at least one example"


def test_texts_have_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\n")
    with pytest.raises(DataError, match=r"a\.txt:2: empty line between rows"):
        list(read_texts(path))
    path.write_text("x" * (MAX_TEXT_CHARS + 1))
    with pytest.raises(DataError, match=r"a\.txt:1: 'text' has 4000001 characters"):
        list(read_texts(path))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["a.jsonl", "a.csv", "a.tsv"]),
    st.sampled_from([b"", JSON.encode(), CSV.encode(), TSV.encode()]),
    st.binary(max_size=40) | st.text('",\t\n\r\\{}[]:ab', max_size=40).map(str.encode),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_bytes_are_records_or_a_data_error(
    tmp_path: Path, name: str, start: bytes, content: bytes, encoding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(start + content)
    try:
        records = list(read_records(path, COLUMNS, encoding=encoding))
    except DataError as error:
        assert str(path) in error.message and error.hint
    else:
        assert all(record["text"].strip() and record["label"].strip() for record in records)
