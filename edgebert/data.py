"""Examples from CSV, TSV, JSONL, CoNLL and SQuAD files as records; a row is read as it is, or refused.

A record is a mapping from role to value (`{"text": …, "label": …, "line": …}`); which column plays which role
is said by the recipe. Nothing is repaired and nothing is skipped: whatever cannot be read is a `DataError`
that names the file and the line. Only empty lines at the very end of a file are no rows.

CSV is RFC 4180 (a cell in double quotes may hold commas, doubled quotes and line breaks). TSV is the same
with tabs, save that a quoted cell ends on its own line: else a stray quote would swallow the rows after it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgebert.data_conll import read_conll
from edgebert.data_records import record_of, text_of
from edgebert.data_rows import READERS, lines_of, numbered
from edgebert.data_squad import read_squad
from edgebert.data_stream import Unlabelled
from edgebert.errors import DataError
from edgebert.tasks import Record, Task

__all__ = [
    "Record",
    "Split",
    "Unlabelled",
    "check_labels",
    "labels_of",
    "read_records",
    "read_split",
    "read_task_records",
    "read_texts",
    "read_unlabelled",
    "split_off",
]

FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".conll": "conll", ".json": "squad", ".txt": "txt",
}  # fmt: skip


class Split(Protocol):
    """What `read_split` needs to know of a file; `SplitSpec` of the recipe is one."""

    @property
    def path(self) -> str:
        """Where the file lies."""
        ...

    @property
    def format(self) -> str | None:
        """How it is written; None: as its suffix says."""
        ...

    @property
    def encoding(self) -> str:
        """Its character encoding."""
        ...

    @property
    def separator(self) -> str:
        """What divides several labels in a cell."""
        ...

    def columns(self, task: Task) -> Mapping[str, str]:
        """Role -> column, for the roles of a task."""
        ...


def read_split(split: Split, folder: Path, task: Task) -> list[Record]:
    """All records of a split whose path is relative to `folder`.

    Raises:
        DataError: as `read_task_records`, and for a file without rows.
    """
    path = folder / Path(split.path).expanduser()
    records = read_task_records(
        path, task, split.columns(task), format=split.format, encoding=split.encoding, separator=split.separator
    )
    if not records:
        raise DataError(f"{path}: no rows", "every split needs at least one example")
    return records


def read_unlabelled(split: Split, folder: Path, task: Task) -> Unlabelled:
    """Records of what a model reads, without answers: a table of the task's roles, or texts one a line.

    Raises:
        DataError: as `read_records`.
    """
    path = folder / Path(split.path).expanduser()
    columns = split.columns(task)
    roles = {role: columns.get(role, role) for role in task.roles}

    def read() -> Iterator[Record]:
        if _format(path, split.format) == "txt" and task.roles == ("text",):
            return ({"text": text} for text in read_texts(path, format="txt", encoding=split.encoding))
        return read_records(path, roles, format=split.format, encoding=split.encoding)

    return Unlabelled(path, read)


def read_task_records(
    path: Path,
    task: Task,
    columns: Mapping[str, str],
    *,
    format: str | None = None,
    encoding: str = "utf-8",
    separator: str = ";",
) -> list[Record]:
    """All records of a file as a task wants them (`docs/data.md`).

    Args:
        path: CSV, TSV, JSONL, CoNLL or SQuAD.
        task: whose roles are read.
        columns: role -> column, where it is not the role's own name.
        format: `csv`, `tsv`, `jsonl`, `conll` or `squad`; by default what the suffix says.
        encoding: the file's character encoding.
        separator: between several labels in a cell of CSV or TSV.

    Raises:
        DataError: what is wrong, with file and line.
    """
    kind = _format(path, format)
    named = {role: columns.get(role, role) for role in task.columns}
    named |= {role: columns[role] for role in ("text_pair", "score") if role in columns and task.name == "embeddings"}
    if kind == "conll":
        _only_for(path, task, "token-classification", kind)
        return list(read_conll(path, lines_of(path, encoding)))
    if kind == "squad":
        _only_for(path, task, "question-answering", kind)
        return list(read_squad(path, encoding))
    if kind == "txt" and task.columns == ("text",):
        return [{"text": text} for text in read_texts(path, format="txt", encoding=encoding)]
    if kind not in READERS:
        raise DataError(
            f"{path}: {kind or path.suffix or 'no suffix'!r} is no known format for {task.name}",
            "formats: jsonl, csv, tsv; conll for token-classification, squad for question-answering",
        )
    table = kind in ("csv", "tsv")
    rows = READERS[kind](path, lines_of(path, encoding), named)
    return [
        record_of(task, values, named, f"{path}:{line}", line, separator if table else None) for line, values in rows
    ]


def _only_for(path: Path, task: Task, name: str, kind: str) -> None:
    if task.name != name:
        raise DataError(f"{path}: {kind} files are for {name}, not for {task.name}", "formats here: jsonl, csv, tsv")


def _format(path: Path, given: str | None) -> str | None:
    return given or FORMATS.get(path.suffix.lower())


def read_records(
    path: Path, columns: Mapping[str, str], *, format: str | None = None, encoding: str = "utf-8"
) -> Iterator[Record]:
    """Stream the records of one file, in its order.

    Args:
        path: a CSV or TSV file with a header, or a file with one JSON object a line.
        columns: role -> column, such as `{"text": "utterance", "label": "intent"}`.
        format: `csv`, `tsv` or `jsonl`; by default what the suffix says.
        encoding: the file's character encoding; a byte order mark at the start is no text.

    Yields:
        A dict with the roles of `columns` (str, not empty) and `line`: where the row starts, from 1.

    Raises:
        DataError: no such file; bytes that are not of the encoding; a row of too few or too many cells; JSON
            that is none; a missing column; a value that is no text, is empty, is too long or holds half a
            surrogate pair.
    """
    kind = _format(path, format)
    if kind not in READERS:
        raise DataError(
            f"{path}: {kind or path.suffix or 'no suffix'!r} is no known format", "formats: csv, tsv, jsonl"
        )
    rows = READERS[kind]
    for line, values in rows(path, lines_of(path, encoding), columns):
        record: dict[str, Any] = {}
        for role, column in columns.items():
            record[role] = text_of(values[column], f"{path}:{line}", column)
        record["line"] = line
        yield record


def read_texts(
    path: Path, *, column: str = "text", format: str | None = None, encoding: str = "utf-8"
) -> Iterator[str]:
    """Stream texts alone: one a line from a `.txt` file (or `format="txt"`), else one column of a table.

    Raises:
        DataError: as `read_records`.
    """
    if (format or path.suffix.lower().removeprefix(".")) == "txt":
        for line, text in numbered(path, lines_of(path, encoding)):
            yield text_of(text, f"{path}:{line}", "text")
    else:
        for record in read_records(path, {"text": column}, format=format, encoding=encoding):
            yield record["text"]


def labels_of(records: Iterable[Record], task: Task) -> list[str]:
    """The labels that occur, sorted; of tags `O` first; none for a task without labels."""
    if not task.labelled:
        return []
    found = {label for record in records for label in _labels(record, task)}
    found.discard(getattr(task, "out_of_scope", None) or "")
    return sorted(found, key=lambda label: (task.per_token and label != "O", label))


def _labels(record: Record, task: Task) -> Sequence[str]:
    value = record.get(task.target, ())
    return (value,) if isinstance(value, str) else value


def check_labels(records: Iterable[Record], labels: Sequence[str], where: str | Path, task: Task) -> None:
    """Refuse labels that are not among `labels`, all of them at once.

    Raises:
        DataError: each unknown label with its number of rows, its first line and the nearest known label.
    """
    if not task.labelled:
        return
    known = {*labels, getattr(task, "out_of_scope", None)}
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    for record in records:
        for label in _labels(record, task):
            if label not in known:
                counts[label] += 1
                first.setdefault(label, record.get("line", 0))
    if not counts:
        return
    told = []
    for label, count in sorted(counts.items(), key=lambda item: first[item[0]])[:20]:
        close = difflib.get_close_matches(label, labels, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        told.append(f"{where}:{first[label]}: unknown label {label!r} ({count} row{'s' * (count > 1)}{guess})")
    if len(counts) > len(told):
        told.append(f"{where}: and {len(counts) - len(told)} more unknown labels")
    few = ", ".join(sorted(labels)[:8]) + (", …" if len(labels) > 8 else "")
    raise DataError("\n".join(told), f"the {len(labels)} known labels are: {few}")


def split_off(records: Sequence[Record], fraction: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Divide records in two, the same way every time: about 1 - `fraction` of each label, and the rest.

    The choice hangs on the seed and on what the records say, not on their place in the file. A label keeps at
    least one example in the first part; both parts keep the order of the file.

    Args:
        records: with a `label`, or without (then they count as one label).
        fraction: share of the second part, above 0 and below 1.
        seed: another seed gives another choice.

    Raises:
        DataError: too few records to leave something in both parts.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, found {fraction}")
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        label = record.get("label", "")
        groups.setdefault(label if isinstance(label, str) else "", []).append(index)
    chosen: set[int] = set()
    owed = 0.0  # what rounding has held back so far, so that small labels add up to the fraction too
    for label in sorted(groups):
        members = groups[label] = sorted(groups[label], key=lambda index: (_draw(records[index], seed), index))
        owed += fraction * len(members)
        take = min(round(owed), len(members) - 1, math.ceil(fraction * len(members)))
        owed -= take
        chosen.update(members[:take])
    largest = max((groups[label] for label in sorted(groups)), key=len, default=[])
    if not chosen and len(largest) > 1 and fraction * len(records) >= 1:  # all of it was owed by labels of one example
        chosen.add(largest[0])
    if not chosen or len(chosen) == len(records):
        raise DataError(
            f"{len(records)} examples are too few to split off {fraction:.0%} of them",
            "give a validation file of its own in the recipe",
        )
    rest = [record for index, record in enumerate(records) if index not in chosen]
    return rest, [records[index] for index in sorted(chosen)]


def _draw(record: Record, seed: int) -> bytes:
    said = json.dumps({k: v for k, v in record.items() if k != "line"}, sort_keys=True)
    return hashlib.sha256(f"{seed}\n{said}".encode()).digest()
