"""The JSON Schema of a recipe says what `load_recipe` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from edgebert.errors import RecipeError
from edgebert.init import template
from edgebert.recipe import Recipe, parse_recipe, recipe_schema
from edgebert.recipe_yaml import read_yaml

SPLITS = "data: {train: {path: a.csv}, test: {path: b.csv}}\n"
GOOD = [
    "task: text-classification\nteacher: a\n" + SPLITS,
    "task: text-classification\nteacher: {base: a, epochs: 2, lr: 1e-4}\n" + SPLITS,
    "task: text-classification\nteacher: {scratch: {layers: 2}}\n" + SPLITS + "student: {layers: [0, 2]}",
    "task: text-classification\nteacher: a\n" + SPLITS + "gates: {max_p50_ms: 3, max_p90_ms: {local: 5}}",
    "task: text-classification\nteacher: a\n" + SPLITS + "student: {layers: null}\nlabels: [a, b]",
    "task: text-classification\nteacher: a\n"
    + SPLITS
    + "student: {init: random, config: {hidden_act: relu, use_cache: false}}",
    template("text-classification"),
]
BAD = [
    "teacher: a\n" + SPLITS,
    GOOD[0] + "distil: {}",
    GOOD[0] + "distill: {epochs: '3'}",
    GOOD[0] + "distill: {noise: 2}",
    GOOD[0] + "distill: {losses: {logit: 1}}",
    GOOD[0] + "student: {layers: all}",
    GOOD[0] + "student: {config: {hidden_act: [relu]}}",
    GOOD[0] + "lengths: []",
    GOOD[0] + "gates: {max_p90_ms: {local: fast}}",
]

_TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None),
    "boolean": bool,
}  # fmt: skip


def fits(value: Any, node: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """JSON Schema as far as the recipe's uses it; an unknown keyword fails the test."""
    notes = {"title", "description", "default", "examples", "$schema", "$id", "$defs", "version"}
    checks: dict[str, Callable[[Any], bool]] = {
        "$ref": lambda ref: fits(value, root["$defs"][ref.removeprefix("#/$defs/")], root),
        "type": lambda kind: isinstance(value, _TYPES[kind]) and not (isinstance(value, bool) and kind != "boolean"),
        "enum": lambda options: value in options,
        "const": lambda only: value == only,
        "oneOf": lambda options: sum(fits(value, option, root) for option in options) == 1,
        "anyOf": lambda options: any(fits(value, option, root) for option in options),
        "required": lambda keys: not isinstance(value, dict) or set(keys) <= set(value),
        "properties": lambda keys: (
            not isinstance(value, dict)
            or all(fits(item, keys[key], root) for key, item in value.items() if key in keys)
        ),
        "additionalProperties": lambda rest: (
            not isinstance(value, dict)
            or all(
                rest is not False and fits(item, rest, root)
                for key, item in value.items()
                if key not in node.get("properties", {})
            )
        ),
        "propertyNames": lambda names: not isinstance(value, dict) or all(fits(key, names, root) for key in value),
        "items": lambda item: not isinstance(value, list) or all(fits(entry, item, root) for entry in value),
        "minItems": lambda least: not isinstance(value, list) or len(value) >= least,
        "maxItems": lambda most: not isinstance(value, list) or len(value) <= most,
        "minLength": lambda least: not isinstance(value, str) or len(value) >= least,
        "minimum": lambda bound: not isinstance(value, int | float) or value >= bound,
        "maximum": lambda bound: not isinstance(value, int | float) or value <= bound,
        "exclusiveMinimum": lambda bound: not isinstance(value, int | float) or value > bound,
        "exclusiveMaximum": lambda bound: not isinstance(value, int | float) or value < bound,
    }
    return all(checks[word](told) for word, told in node.items() if word not in notes)


@pytest.mark.parametrize("text", GOOD)
def test_good_recipes_fit(text: str) -> None:
    parse_recipe(text)
    assert fits(read_yaml(text).data, recipe_schema(), recipe_schema())


@pytest.mark.parametrize("text", BAD)
def test_bad_recipes_do_not(text: str) -> None:
    with pytest.raises(RecipeError):
        parse_recipe(text)
    assert not fits(read_yaml(text).data, recipe_schema(), recipe_schema())


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], bool]]:
    for name, node in ({"Recipe": schema} | schema["$defs"]).items():
        for key, told in node["properties"].items():
            yield name, key, told, key in node.get("required", ())


def test_every_key_is_described_and_has_a_default_or_is_required() -> None:
    schema = recipe_schema()
    found = list(_properties(schema))
    assert len(found) > 50
    for name, key, told, required in found:
        assert told.get("description"), f"{name}.{key} has no description"
        assert required != ("default" in told), f"{name}.{key}"
    assert schema["required"] == ["task", "teacher", "data"]


def test_identity_of_the_schema() -> None:
    schema = recipe_schema()
    assert schema["$id"] == "urn:edgebert:recipe:1" and schema["version"] == 1


def test_a_whole_recipe_fits_its_own_schema() -> None:
    whole = parse_recipe(GOOD[3]).model_dump(mode="json")
    assert fits(whole, recipe_schema(), recipe_schema())
    assert Recipe.model_validate(whole) == parse_recipe(GOOD[3])
