"""What a report holds: the contract behind `report.json`, which other tools read.

A field that is added must be optional; one that is renamed, removed or means something else raises
`SCHEMA_VERSION`, and `_UPGRADES` then says how a report of the version before is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from edgebert.errors import DataError
from edgebert.report import codec
from edgebert.report.parts import Comparison, Failure, Moment

SCHEMA_VERSION = 1
REPORT = "report.json"

Verdict = Literal["pass", "fail", "unknown"]
Role = Literal["teacher", "student", "artifact"]

#: Version before -> how its JSON becomes that of the version after. Version 1 is the first.
_UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The task's metric on the test set, with its 95 % interval."""

    name: Annotated[str, "such as accuracy"]
    value: Annotated[float, "a fraction, 0 to 1"]
    low: Annotated[float, "lower end of the 95 % interval"]
    high: Annotated[float, "upper end of the 95 % interval"]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Text in, answer out, batch 1, real test texts; milliseconds. None where the sample cannot carry it."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    n: int = 0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model on one device."""

    name: Annotated[str, "unique for each device: teacher, student, onnx-int8 …"]
    role: Annotated[Role, "what it is in the flow"]
    format: Annotated[str, "torch, onnx, openvino or tflite"]
    precision: Annotated[str, "fp32, int8 …"]
    device: Annotated[str, "as the recipe names it: local, ssh:HOST …"]
    emulated: Annotated[bool, "run by an emulator: right or wrong is proven, times are not a device's"]
    parameters: Annotated[int, "weights, counted before quantization"]
    metric: Annotated[Metric | None, "null when no labelled data was given"]
    drop: Annotated[float | None, "points of the metric, teacher minus this"]
    agreement: Annotated[float | None, "share of answers equal to the FP32 student's, 0 to 1"]
    flips: Annotated[int | None, "answers right in the student and wrong here"]
    latency_ms: Annotated[Latency, "text in, answer out, batch 1, real test texts, milliseconds"]
    engine_ms: Annotated[Mapping[str, float], "sequence length in tokens -> median of the engine alone, milliseconds"]
    model_bytes: Annotated[int, "what the engine loads"]
    folder_bytes: Annotated[int, "everything in the folder"]
    peak_rss_bytes: Annotated[int | None, "peak resident memory of a fresh process"]
    cold_start_ms: Annotated[float | None, "process start to first answer, milliseconds"]
    threads: Annotated[int, "of the engine"]
    facts: Annotated[Mapping[str, Any], "of the machine and the engine"]
    verdict: Annotated[Verdict, "of the gates"] = "unknown"
    reasons: Annotated[tuple[str, ...], "one sentence for each gate that is not passed"] = ()
    samples_ms: Annotated[tuple[tuple[float, ...], ...], "raw latency samples, one list for each launch"] = ()
    valid: Annotated[bool, "false when the machine drifted or was throttled: its times do not count"] = True
    figures: Annotated[Mapping[str, float], "other figures of the test set: ece, exact_match …"] = field(
        default_factory=dict, metadata={"optional": True}
    )
    invalid: Annotated[tuple[str, ...], "why its times do not count"] = field(default=(), metadata={"optional": True})
    attempts: Annotated[
        tuple[Mapping[str, Any], ...], "earlier measurements that came out invalid: why, and their p50; not used"
    ] = field(default=(), metadata={"optional": True})
    partial: Annotated[
        tuple[Mapping[str, Any], ...],
        "launches of earlier measurements that were cut: latency_ms and engine_ms, kept, never pooled",
    ] = field(default=(), metadata={"optional": True})
    tokens: Annotated[tuple[tuple[int, ...], ...], "text lengths of samples_ms, in tokens"] = field(
        default=(), metadata={"optional": True}
    )
    over_time: Annotated[tuple[Moment, ...], "how the measurement went on"] = field(
        default=(), metadata={"optional": True}
    )
    millijoules: Annotated[
        float | None, "of the whole machine for one answer, idle power included; null without a counter"
    ] = field(default=None, metadata={"optional": True})

    def to_json(self) -> dict[str, Any]:
        """As `json.dumps` takes it."""
        encoded: dict[str, Any] = codec.encode(self)
        return encoded

    @classmethod
    def from_json(cls, value: Any, where: str = "result") -> Result:
        """Of a JSON value.

        Raises:
            DataError: a field is missing or of the wrong type.
        """
        return codec.decode(cls, value, where)


@dataclass(frozen=True, kw_only=True)
class LineageStep:
    """One model of the chain teacher → student → artifact."""

    name: Annotated[str, "the name in the results"]
    role: Annotated[Role, "what it is in the flow"]
    id: Annotated[str, "SHA-256 of its content, in hex; an artifact's artifact_id"]
    parent: Annotated[str | None, "name of the model it was made from"]
    metric: Annotated[float | None, "of the task on the test set, a fraction, 0 to 1"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a run has to say."""

    schema_version: Annotated[int, "of this layout"]
    edgebert: Annotated[str, "the version of edgebert that wrote it"]
    recipe: Annotated[Mapping[str, Any], "as it was run, defaults filled in"]
    task: Annotated[str, "such as text-classification"]
    results: Annotated[tuple[Result, ...], "one for each model and device"]
    gates: Annotated[Mapping[str, Any], "gate -> limit"]
    verdict: Annotated[Verdict, "fail when one result fails, pass when all pass"]
    notes: Annotated[tuple[str, ...], "what a reader should know"]
    lineage: Annotated[tuple[LineageStep, ...], "teacher, student, artifacts"]
    best: Annotated[Mapping[str, str | None], "device -> the passing artifact with the lowest p50"]
    created: Annotated[str | None, "when, ISO 8601; left out when nobody asked for it"] = field(
        default=None, metadata={"optional": True}
    )
    comparisons: Annotated[tuple[Comparison, ...], "of several runs, each held against the first"] = field(
        default=(), metadata={"optional": True}
    )
    failures: Annotated[tuple[Failure, ...], "devices on which nothing could be measured"] = field(
        default=(), metadata={"optional": True}
    )
    quantization: Annotated[
        Mapping[str, Any], "artifact -> what went back to float, since INT8 lost too much: fallback, sensitivity"
    ] = field(default_factory=dict, metadata={"optional": True})
    about: Annotated[Mapping[str, Any], "for the model card: licence, labels, records of each split"] = field(
        default_factory=dict, metadata={"optional": True}
    )

    def to_json(self) -> dict[str, Any]:
        """As `json.dumps` takes it."""
        encoded: dict[str, Any] = codec.encode(self)
        return encoded

    @classmethod
    def from_json(cls, value: Any, where: str = REPORT) -> Report:
        """Of a JSON value of this schema version or the one before.

        Raises:
            DataError: another version, or a field is missing or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise DataError(f"{where} holds no report", f"give the {REPORT} of a run")
        version = value.get("schema_version")
        if version in _UPGRADES and version == SCHEMA_VERSION - 1:
            value = _UPGRADES[version](dict(value)) | {"schema_version": SCHEMA_VERSION}
        elif isinstance(version, bool) or version != SCHEMA_VERSION:
            readable = " and ".join(str(v) for v in [*_UPGRADES, SCHEMA_VERSION])
            raise DataError(
                f"{where} has schema version {version!r}; this edgebert reads version {readable}",
                "install the edgebert that wrote it, or run the recipe again",
            )
        return codec.decode(cls, value, where)

    def of_device(self, device: str) -> tuple[Result, ...]:
        """The results of one device, in the order of the report."""
        return tuple(result for result in self.results if result.device == device)

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device of the results, in the order of the report."""
        return tuple(dict.fromkeys(result.device for result in self.results))


def best_of(results: Sequence[Result]) -> dict[str, str | None]:
    """Device -> name of the passing artifact with the lowest p50, None where no artifact passes with one.

    Emulated devices have no latency, hence no best.
    """
    best: dict[str, str | None] = {}
    for device in dict.fromkeys(result.device for result in results):
        candidates = [
            (r.latency_ms.p50, r.name)
            for r in results
            if r.device == device and r.role == "artifact" and r.verdict == "pass" and r.valid and not r.emulated
            if r.latency_ms.p50 is not None
        ]
        best[device] = min(candidates)[1] if candidates else None
    return best


def read_report(path: Path) -> Report:
    """Read a `report.json`, or that of a run's folder.

    Raises:
        DataError: it is not there, no JSON, of another version, or incomplete.
    """
    file = path / REPORT if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"no report: {file} does not exist", f"give the folder of a finished run, or its {REPORT}")
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is no JSON: {error}", "let edgebert write it again (edgebert run)") from error
    return Report.from_json(value, str(file))


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `report.json`."""
    body = codec.schema(Report)
    body["properties"]["schema_version"] |= {"const": SCHEMA_VERSION}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgebert report"}
    return head | body
