"""From the values of a row to a record as a task wants it, or an error that names the line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgebert.data_rows import MAX_TEXT_CHARS
from edgebert.errors import DataError
from edgebert.tasks import Record, Task


def record_of(
    task: Task, values: Mapping[str, Any], columns: Mapping[str, str], where: str, line: int, separator: str | None
) -> Record:
    """One record.

    Args:
        task: which roles it has.
        values: column -> value.
        columns: role -> column.
        where: file and line, for errors.
        line: the record's `line`.
        separator: between several labels in one cell; None where values are JSON.

    Raises:
        DataError: a value of the wrong kind.
    """
    record: dict[str, Any] = {}
    for role, column in columns.items():
        value = values[column]
        if role in ("text", "text_pair", "question", "context"):
            record[role] = text_of(value, where, column)
        elif role == "score" or (role == "label" and getattr(task, "problem", "") == "regression"):
            record[role] = number_of(value, where, column)
        elif role == "label" and getattr(task, "problem", "") == "multi-label":
            record[role] = labels_of(value, where, column, separator)
        elif role in ("tokens", "tags"):
            record[role] = words_of(value, where, column)
        elif role == "answers":
            record[role] = answers_of(value, record["context"], where, column)
        else:
            record[role] = text_of(value, where, column)
    if "tokens" in record and len(record["tokens"]) != len(record["tags"]):
        told = f"{where}: {len(record['tokens'])} tokens, but {len(record['tags'])} tags"
        raise DataError(told, "give one tag for each token")
    if "tags" in record:
        for tag in record["tags"]:
            check_tag(tag, where)
    if "id" in values and task.name == "question-answering":
        record["id"] = str(values["id"])
    record["line"] = line
    return record


def text_of(value: Any, where: str, column: str) -> str:
    """The value, if it is text that a tokenizer can be given."""
    if not isinstance(value, str):
        found = "nothing (null)" if value is None else f"{type(value).__name__} {str(value)[:40]}"
        raise DataError(f"{where}: {column!r} must be text, found {found}", f'write it in quotes: "{column}": "…"')
    if not value or value.isspace():
        raise DataError(f"{where}: {column!r} is empty", "remove the row, or write what is missing")
    if len(value) > MAX_TEXT_CHARS:
        told = f"{where}: {column!r} has {len(value)} characters, more than the {MAX_TEXT_CHARS} a text may have"
        raise DataError(told, "cut the text; models read a few hundred words of it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        told = f"{where}: {column!r} holds half a surrogate pair (U+{ord(value[error.start]):04X})"
        raise DataError(told, "remove it, or write the whole pair, such as \\ud83d\\ude00") from None
    return value


def number_of(value: Any, where: str, column: str) -> float:
    """A finite number, or the text of one."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: {column!r} must be a number, found {str(value)[:40]!r}", "such as 3.5")
    return number


def labels_of(value: Any, where: str, column: str, separator: str | None) -> list[str]:
    """Several labels: a list, or a cell in which `separator` divides them; none of them twice."""
    if separator is not None:
        value = [part.strip() for part in str(value).split(separator) if part.strip()]
    if not isinstance(value, list):
        raise DataError(f"{where}: {column!r} must be a list of labels", f'such as "{column}": ["first", "second"]')
    labels = [text_of(label, where, column) for label in value]
    if len(set(labels)) != len(labels):
        raise DataError(f"{where}: {column!r} names a label twice", "name each once")
    return sorted(labels)


def words_of(value: Any, where: str, column: str) -> list[str]:
    """A list of words, none of them empty."""
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: {column!r} must be a list of words", f'such as "{column}": ["Paris", "is", "big"]')
    return [text_of(word, where, column) for word in value]


def check_tag(tag: str, where: str) -> None:
    """Refuse what is neither `O` nor a prefix of BIO or BIOES, a hyphen and a type."""
    mark, hyphen, kind = tag.partition("-")
    if tag != "O" and (mark not in ("B", "I", "E", "S") or not hyphen or not kind):
        raise DataError(f"{where}: the tag {tag!r} is neither O nor B-, I-, E- or S- with a type", "such as B-person")


def answers_of(value: Any, context: str, where: str, column: str) -> list[dict[str, Any]]:
    """Answers as `{"text", "answer_start"}`, each of which stands in the context where it says."""
    if isinstance(value, Mapping):  # as the `datasets` package writes them
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise DataError(f"{where}: {column!r} must have as many texts as starts", "see docs/data.md")
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(f"{where}: {column!r} must be a list of answers", '[{"text": …, "answer_start": …}]')
    found = []
    for answer in value:
        try:
            text, start = answer["text"], answer["answer_start"]
        except (TypeError, KeyError):
            raise DataError(f"{where}: an answer lacks its text or answer_start", "see docs/data.md") from None
        text_of(text, where, column)
        if isinstance(start, bool) or not isinstance(start, int) or context[start : start + len(text)] != text:
            told = f"{where}: the answer {text[:40]!r} does not stand at character {start!r} of the context"
            raise DataError(told, "answer_start counts characters (Unicode code points) from 0")
        found.append({"text": text, "answer_start": start})
    return found
