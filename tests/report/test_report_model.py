"""report.json is a contract: its names, its versions, its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebert.errors import DataError
from edgebert.report import SCHEMA_VERSION, Report, Result, best_of, model, read_report, report_schema, write_report

Make = Callable[..., Report]

RESULT = [
    "name",
    "role",
    "format",
    "precision",
    "device",
    "emulated",
    "parameters",
    "metric",
    "drop",
    "agreement",
    "flips",
    "latency_ms",
    "engine_ms",
    "model_bytes",
    "folder_bytes",
    "peak_rss_bytes",
    "cold_start_ms",
    "threads",
    "facts",
    "verdict",
    "reasons",
    "samples_ms",
    "valid",
]
OPTIONAL = ["figures", "invalid", "attempts", "partial", "tokens", "over_time"]
REPORT = ["schema_version", "edgebert", "recipe", "task", "results", "gates", "verdict", "notes", "lineage", "best"]
OPTIONAL_OF_REPORT = ["comparisons", "failures", "about", "quantization"]


def test_field_names(report: Make) -> None:
    value = report().to_json()
    assert sorted(value) == sorted(REPORT + OPTIONAL_OF_REPORT)
    for result in value["results"]:
        assert sorted(result) == sorted(RESULT + OPTIONAL)
        assert sorted(result["metric"]) == ["high", "low", "name", "value"]
        assert sorted(result["latency_ms"]) == ["n", "p50", "p90", "p95", "p99"]
    assert sorted(value["lineage"][0]) == ["id", "metric", "name", "parent", "role"]
    assert value["best"] == {"local": "tflite-int8"}


def test_created_only_when_given(report: Make) -> None:
    assert "created" not in report().to_json()
    assert report(created="2026-01-31T12:00:00Z").to_json()["created"] == "2026-01-31T12:00:00Z"


def test_round_trip(report: Make, tmp_path: Path) -> None:
    before = report(created="2026-01-31")
    write_report(before, tmp_path)
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == Report.from_json(before.to_json())
    assert read_report(tmp_path).to_json() == before.to_json()


def test_nothing_measured_is_null(result: Callable[..., Result]) -> None:
    bare = result(metric=None, drop=None, agreement=None, flips=None, cold_start_ms=None, peak_rss_bytes=None)
    value = bare.to_json()
    assert value["metric"] is value["drop"] is value["flips"] is None
    assert Result.from_json(value) == bare


def test_unknown_fields_are_passed_over(report: Make) -> None:
    value = report().to_json()
    value["colour"] = value["results"][0]["colour"] = "blue"
    assert Report.from_json(value) == Report.from_json(report().to_json())


@pytest.mark.parametrize("name", REPORT[1:])
def test_missing_field(report: Make, name: str) -> None:
    value = report().to_json()
    del value[name]
    with pytest.raises(DataError, match=f"report.json has no '{name}'") as caught:
        Report.from_json(value)
    assert caught.value.hint


@pytest.mark.parametrize("name", RESULT)
def test_missing_field_of_a_result(report: Make, name: str) -> None:
    value = report().to_json()
    del value["results"][1][name]
    with pytest.raises(DataError, match=rf"results\[1\] has no '{name}'"):
        Report.from_json(value)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("name", 3, "results[0].name is 3, not a text"),
        ("role", "judge", "results[0].role is 'judge', not one of 'teacher', 'student', 'artifact'"),
        ("emulated", 0, "results[0].emulated is 0, not true or false"),
        ("flips", True, "results[0].flips is True, not a whole number"),
        ("flips", 1.5, "results[0].flips is 1.5, not a whole number"),
        ("drop", "1", "results[0].drop is '1', not a number"),
        ("drop", float("nan"), "results[0].drop is nan, not a finite number"),
        ("metric", [], "results[0].metric is [], not a mapping"),
        ("reasons", "none", "results[0].reasons is 'none', not a list"),
        ("samples_ms", [[1.0, None]], "results[0].samples_ms[0][1] is None, not a number"),
        ("engine_ms", {"16": "x"}, "results[0].engine_ms.16 is 'x', not a number"),
    ],
)
def test_wrong_type(report: Make, name: str, wrong: Any, said: str) -> None:
    value = report().to_json()
    value["results"][0][name] = wrong
    with pytest.raises(DataError) as caught:
        Report.from_json(value, "report.json")
    assert caught.value.message == f"report.json.{said}"


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, "1", None, True])
def test_other_versions_are_refused(report: Make, version: Any) -> None:
    value = report().to_json() | {"schema_version": version}
    with pytest.raises(DataError, match="schema version") as caught:
        Report.from_json(value)
    assert "run the recipe again" in caught.value.hint


def test_the_version_before_is_read(report: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    old = report().to_json()
    monkeypatch.setattr(model, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setattr(model, "_UPGRADES", {SCHEMA_VERSION: lambda value: value | {"task": "renamed"}})
    found = Report.from_json(old)
    assert (found.task, found.schema_version) == ("renamed", SCHEMA_VERSION + 1)


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no report: .*report\.json does not exist"):
        read_report(tmp_path)
    file = tmp_path / "report.json"
    for content in (b"{", b"\xff\xfe\x00"):
        file.write_bytes(content)
        with pytest.raises(DataError, match="is no JSON"):
            read_report(file)
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="holds no report"):
        read_report(file)


def test_best_is_the_quickest_that_counts(result: Callable[..., Result]) -> None:
    slow, quick = result(2, verdict="pass"), result(4, verdict="pass")
    assert best_of([slow, quick]) == {"local": quick.name}
    for doubt in ({"verdict": "fail"}, {"verdict": "unknown"}, {"valid": False}, {"emulated": True}):
        assert best_of([slow, result(4, **{"verdict": "pass"} | doubt)]) == {"local": slow.name}
    assert best_of([result(0, verdict="pass")]) == {"local": None}


def test_schema_describes_what_is_written(report: Make) -> None:
    schema = report_schema()
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert sorted(schema["required"]) == sorted(REPORT)
    item = schema["properties"]["results"]["items"]
    assert sorted(item["required"]) == sorted(RESULT)
    assert item["properties"]["verdict"]["enum"] == ["pass", "fail", "unknown"]
    assert all("description" in field for field in item["properties"].values())
    value = json.loads(json.dumps(report().to_json()))
    assert _complaints(schema, value) == []
    value["results"][0]["metric"]["low"] = "high"
    del value["results"][1]["device"]
    assert len(_complaints(schema, value)) == 2


def _complaints(schema: dict[str, Any], value: Any, where: str = "") -> list[str]:
    """As much of JSON Schema as ours uses."""
    if "anyOf" in schema:
        choices = [_complaints(choice, value, where) for choice in schema["anyOf"]]
        return [] if [] in choices else choices[0]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is not in the enum"]
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
                             "boolean": bool, "null": type(None)}  # fmt: skip
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{where}: {value!r} is no {schema['type']}"]
    found: list[str] = []
    if isinstance(value, dict):
        found += [f"{where}: no {name}" for name in schema.get("required", []) if name not in value]
        other = schema.get("additionalProperties", {})
        for name, item in value.items():
            found += _complaints(schema.get("properties", {}).get(name, other), item, f"{where}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _complaints(schema.get("items", {}), item, f"{where}[{index}]")
    return found
