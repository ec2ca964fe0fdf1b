"""Dataclasses to JSON values and back, and their JSON Schema: three readings of the same type hints."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgebert.errors import DataError

T = TypeVar("T")
_PLAIN: dict[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_HINT = "let edgebert write the report again (edgebert run), or repair the file by hand"


def encode(value: Any) -> Any:
    """Dataclasses, mappings and sequences as what `json.dumps` takes; an absent optional field is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((f, getattr(value, f.name)) for f in fields(value))
        return {f.name: encode(item) for f, item in pairs if not (optional(f) and item is None)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], value: Any, where: str) -> T:
    """A JSON value as an instance of the dataclass `kind`, every field checked; unknown fields are passed over.

    Raises:
        DataError: a field is missing or of another type; the message names its place below `where`.
    """
    result: T = _decode(kind, value, where)
    return result


def optional(item: Field[Any]) -> bool:
    """Whether a field may be absent in JSON."""
    return bool(item.metadata.get("optional"))


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a type; the text of `Annotated` describes a field."""
    if kind is Any:
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if is_dataclass(kind):
        return _object_schema(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return schema(arguments[0]) | {"description": arguments[1]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(choice) for choice in arguments]}
    if origin is tuple:
        return {"type": "array", "items": schema(arguments[0])}
    return {"type": "object", "additionalProperties": schema(arguments[1])}


def _object_schema(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    properties = {f.name: schema(hints[f.name]) for f in fields(kind)}
    required = [f.name for f in fields(kind) if not optional(f)]
    return {"type": "object", "properties": properties, "required": required}


def _decode(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind in _PLAIN:
        return _plain(kind, value, where)
    if is_dataclass(kind):
        return _object(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise DataError(f"{where} is {value!r}, not one of {', '.join(map(repr, arguments))}", _HINT)
        return value
    if origin in (Union, types.UnionType):
        others = [choice for choice in arguments if choice is not type(None)]
        return None if value is None else _decode(others[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a list", value)
        return tuple(_decode(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        raise _wrong(where, "a mapping", value)
    return {str(key): _decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}


def _object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(where, "a mapping", value)
    hints, found = get_type_hints(kind), {}
    for item in fields(kind):
        if item.name in value:
            found[item.name] = _decode(hints[item.name], value[item.name], f"{where}.{item.name}")
        elif not optional(item) or (item.default is MISSING and item.default_factory is MISSING):
            raise DataError(f"{where} has no {item.name!r}", _HINT)
    return kind(**found)


def _plain(kind: Any, value: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        if not math.isfinite(value):
            raise DataError(f"{where} is {value}, not a finite number", _HINT)
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise _wrong(where, {bool: "true or false", int: "a whole number", str: "a text"}.get(kind, "a number"), value)


def _wrong(where: str, wanted: str, value: Any) -> DataError:
    shown = repr(value)
    return DataError(f"{where} is {shown if len(shown) < 60 else shown[:57] + '...'}, not {wanted}", _HINT)
