"""What the command line asks models, and how it shows their answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import click

from edgebert import cli_output
from edgebert.errors import DataError, UsageError


def pairs(option: str, written: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` options as a mapping; values are read as YAML would. Raises UsageError."""
    found = {}
    for item in written:
        key, sign, value = item.partition("=")
        if not sign or not key or not value:
            raise UsageError(f"{option} {item!r} is not KEY=VALUE", f"such as {option} problem=multi-label")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def threads(written: str) -> int | Literal["auto"]:
    """`--threads` of one model: a number, or `auto`. Raises UsageError."""
    if written == "auto":
        return "auto"
    try:
        (found,) = cli_output.numbers("--threads", written)
    except (UsageError, ValueError) as error:
        told = f"--threads {written!r} is neither a positive number nor auto"
        raise UsageError(told, "such as --threads 2, or --threads auto") from error
    return found


def lines_of_stdin() -> Iterator[str]:
    """Texts from stdin, one a line; empty lines are passed over. Raises DataError for bytes that are not UTF-8."""
    if sys.stdin.isatty():
        click.echo("reading texts from the terminal, one a line; end with Ctrl-D", err=True)
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"stdin, line {number}: not UTF-8 (byte {error.start})", "convert it to UTF-8") from error
        if text.strip():
            yield text


def columns(text: str, label: str, named: Sequence[str]) -> dict[str, str]:
    """Role -> column of a data file."""
    return {"text": text, "label": label} | {role: str(name) for role, name in pairs("--column", named).items()}


def question(text: str, roles: Sequence[str]) -> Any:
    """What `Model.predict` takes for a text of the command line.

    Raises:
        DataError: a task of several roles, and the text is neither a JSON object nor divided by tabs.
    """
    if len(roles) == 1:
        return text
    parts = text.split("\t")
    if len(parts) == len(roles):
        return dict(zip(roles, parts, strict=True))
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        wanted = ", ".join(f'"{role}": …' for role in roles)
        raise DataError(
            f"this artifact reads {' and '.join(roles)}, found {text[:60]!r}", f"give {{{wanted}}}, or both with a tab"
        )
    return {role: given[role] for role in roles if role in given}


def answer(found: Any) -> str:
    """An answer of any task in a few words."""
    plain = found.to_json()
    if "spans" in plain:
        return "; ".join(f"{s['label']}: {s['text']} ({s['start']}-{s['end']})" for s in plain["spans"]) or "no spans"
    if "labels" in plain:
        return ", ".join(f"{n} {s:.4f}" for n, s in zip(plain["labels"], plain["scores"], strict=True)) or "no labels"
    if "vector" in plain:
        shown = " ".join(f"{value:.4f}" for value in plain["vector"][:4])
        return f"{len(plain['vector'])} numbers: {shown} …"
    if "value" in plain:
        return f"{plain['value']:.4f}"
    if "start" in plain:
        return f"{plain['text'] or 'no answer'}\t{plain['score']:.4f}"
    return f"{plain['label']}\t{plain['score']:.4f}"


def answer_json(given: Any, found: Any) -> dict[str, Any]:
    """What was asked, and the answer: side by side, or under `answer` where it has a `text` of its own."""
    asked = given if isinstance(given, dict) else {"text": given}
    plain = found.to_json()
    return asked | ({"answer": plain} if "text" in plain else plain)
