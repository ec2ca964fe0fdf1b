"""What pydantic found wrong, in the words of the recipe: line, key, what is wrong, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edgebert.errors import RecipeError
from edgebert.recipe_yaml import Path, Problem, Source, dotted

# What pydantic puts into the place of an error when a value may be of several kinds; no key looks like that.
NUMBER, TEXT, LIST, MAPPING, NOTHING = "<number>", "<text>", "<list>", "<mapping>", "<nothing>"
_NOT_KEYS = {NUMBER, TEXT, LIST, MAPPING, NOTHING, "[key]"}

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "none_required": "nothing",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'epochs'?`, or nothing when no known word is close."""
    known = list(known)
    close = difflib.get_close_matches(word.lower(), known, n=1) or [k for k in known if word and k.startswith(word)][:1]
    return f"did you mean {close[0]!r}?" if close else ""


def recipe_error(name: str, problems: Iterable[Problem]) -> RecipeError:
    """All problems of the recipe file `name` as one error, a line each, in the order of the file."""
    problems = sorted(set(problems))
    lines = [f"{name}:{p.line}: {p.key}: {p.what}" if p.key else f"{name}:{p.line}: {p.what}" for p in problems]
    hint = "`edgebert schema recipe` describes every key"
    if len(problems) == 1:
        return RecipeError(lines[0], problems[0].hint or hint)
    return RecipeError("\n".join(lines), f"{len(problems)} things to mend; {hint}")


def translate(errors: Iterable[Mapping[str, Any]], source: Source, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Pydantic's `errors()` as problems with lines; `schema` (JSON Schema) knows the keys to suggest."""
    errors = list(errors)
    places = [error["loc"] for error in errors]
    for error in errors:
        path: Path = tuple(part for part in error["loc"] if part not in _NOT_KEYS)
        within = any(place[: len(error["loc"])] == error["loc"] != place for place in places)
        if path in source.unreadable or (error["type"] == "too_short" and within):
            continue  # told already; and pydantic counts the valid items only
        what, hint = _told(error, path, source, schema)
        yield Problem(source.line_of(path), dotted(path), what, hint)


def _told(error: Mapping[str, Any], path: Path, source: Source, schema: Mapping[str, Any]) -> tuple[str, str]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "is missing", ""
    if kind == "extra_forbidden":
        return _unknown_key(path, schema)
    if kind == "value_error":
        told = context["error"]
        return str(told.args[0]), str(told.args[1]) if len(told.args) > 1 else ""
    if kind in _EXPECTED:
        found, hint = _found(value, source.spelled.get(path), kind)
        return f"expected {_EXPECTED[kind]}, found {found}", hint
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        fraction = bound == "le" and context[bound] == 1 < value <= 100
        hint = f"a fraction of 1: write {value / 100:g} for {value:g} %" if fraction else ""
        return f"must be {words} {context[bound]:g}, found {value:g}", hint
    if kind == "literal_error":
        known = [word.strip().strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        guess = did_you_mean(str(value), known)
        return f"{_found(value, None, '')[0]} is not known here" + (f"; {guess}" if guess else ""), (
            f"known: {', '.join(known)}"
        )
    if kind in ("too_short", "string_too_short"):
        least = context["min_length"]
        return ("must not be empty" if least == 1 else f"needs at least {least} entries, found {len(value)}"), ""
    return str(error["msg"]), ""


def _unknown_key(path: Path, schema: Mapping[str, Any]) -> tuple[str, str]:
    key, parent = str(path[-1]), path[:-1]
    known = _keys_at(schema, parent)
    guess = did_you_mean(key, known)
    elsewhere = list(dict.fromkeys(map(dotted, _places(schema, key)))) if not guess else []
    if elsewhere:
        guess = f"it belongs in {' or '.join(elsewhere)}"
    hint = f"keys of {dotted(parent) or 'a recipe'}: {', '.join(known)}" if known else ""
    return "unknown key" + (f"; {guess}" if guess else ""), hint


def _found(value: Any, spelled: str | None, kind: str) -> tuple[str, str]:
    """How to name a value of the wrong type, and the hint: YAML's own readings are the usual cause."""
    if value is None:
        return "nothing", 'write a value, or "" for empty text' if kind == "string_type" else "write a value"
    if isinstance(value, Mapping):
        return "a mapping (key: value)", ""
    if isinstance(value, list | tuple):
        return "a list", ""
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:40] + "…"
        hint = "write the number without quotes" if kind in ("int_type", "float_type") and _numeric(value) else ""
        return f"the text {shown!r}", hint
    spelled = spelled if spelled is not None else str(value).lower()
    hint = f'write "{spelled}", in quotes' if kind == "string_type" else ""
    if isinstance(value, bool):
        return f"{spelled}, which YAML reads as {str(value).lower()}", hint
    return f"the number {spelled}", hint


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _branches(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The object schemas that may stand at `node`, references followed, alternatives opened."""
    if "$ref" in node:
        yield from _branches(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    for option in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        yield from _branches(schema, option)
    if "properties" in node:
        yield node


def _keys_at(schema: Mapping[str, Any], path: Path) -> list[str]:
    nodes = list(_branches(schema, schema))
    for part in path:
        below = [node["properties"][part] for node in nodes if part in node["properties"]]
        nodes = [branch for node in below for branch in _branches(schema, node)]
    return [key for node in nodes for key in node["properties"]]


def _places(schema: Mapping[str, Any], key: str, at: Path = ()) -> Iterator[Path]:
    """The mappings of a recipe that have a key of this name."""
    for name in _keys_at(schema, at):
        if name == key and at:
            yield at
        yield from _places(schema, key, (*at, name))
