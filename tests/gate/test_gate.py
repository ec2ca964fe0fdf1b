"""Each gate below, at and above its limit, and where its figure cannot be judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgebert.errors import DataError
from edgebert.gate import GATES, check, describe, judge, judged, overall, unmatched_devices
from edgebert.report import Latency, Metric, Result

BASE = Result(
    name="onnx-int8",
    role="artifact",
    format="onnx",
    precision="int8",
    device="local",
    emulated=False,
    parameters=7_300_000,
    metric=Metric(name="accuracy", value=0.95, low=0.94, high=0.96),
    drop=1.0,
    agreement=0.99,
    flips=3,
    latency_ms=Latency(p50=1.0, p90=2.0, p95=3.0, p99=4.0, n=1000),
    engine_ms={},
    model_bytes=8_000_000,
    folder_bytes=9_000_000,
    peak_rss_bytes=100_000_000,
    cold_start_ms=250.0,
    threads=1,
    facts={},
)
# gate, its figure in BASE, and one sentence when the limit is a tenth tighter
AT = [
    ("max_metric_drop", 1.0, "drop 1.00 points is above the 0.9 allowed"),
    ("min_metric", 0.95, "metric 0.9500 is below the 1.045 required"),
    ("min_agreement", 0.99, "agreement 0.9900 is below the 1.089 required"),
    ("max_size_mb", 8.0, "size 8.00 MB is above the 7.2 allowed"),
    ("max_p50_ms", 1.0, "p50 1.00 ms is above the 0.9 allowed"),
    ("max_p90_ms", 2.0, "p90 2.00 ms is above the 1.8 allowed"),
    ("max_p95_ms", 3.0, "p95 3.00 ms is above the 2.7 allowed"),
    ("max_p99_ms", 4.0, "p99 4.00 ms is above the 3.6 allowed"),
    ("max_rss_mb", 100.0, "peak memory 100.00 MB is above the 90.0 allowed"),
    ("max_cold_start_ms", 250.0, "cold start 250.00 ms is above the 225.0 allowed"),
]
TIMED = ["max_p50_ms", "max_p90_ms", "max_p95_ms", "max_p99_ms", "max_cold_start_ms"]


def test_every_gate_is_in_the_table() -> None:
    assert [name for name, _, _ in AT] == list(GATES)


@pytest.mark.parametrize(("gate", "figure", "sentence"), AT)
def test_below_at_and_above(gate: str, figure: float, sentence: str) -> None:
    tighter, looser = (0.9, 1.1) if gate.startswith("max") else (1.1, 0.9)
    assert judge(BASE, {gate: figure * looser}) == ("pass", ())
    assert judge(BASE, {gate: figure}) == ("pass", ())
    assert judge(BASE, {gate: round(figure * tighter, 6)}) == ("fail", (sentence,))


@pytest.mark.parametrize(("gate", "figure", "_"), AT)
def test_emulated(gate: str, figure: float, _: str) -> None:
    verdict, reasons = judge(replace(BASE, emulated=True), {gate: figure})
    assert verdict == ("unknown" if gate in [*TIMED, "max_rss_mb"] else "pass")
    assert all("is unknown: local is emulated" in reason for reason in reasons)


@pytest.mark.parametrize(("gate", "figure", "_"), AT)
def test_invalid(gate: str, figure: float, _: str) -> None:
    verdict, reasons = judge(replace(BASE, valid=False), {gate: figure / 100})
    assert verdict == ("unknown" if gate in TIMED else "pass" if gate.startswith("min") else "fail")
    assert len(reasons) == (verdict != "pass")


@pytest.mark.parametrize(
    ("q", "n", "verdict"),
    [(50, 8, "pass"), (50, 7, "unknown"), (90, 64, "pass"), (90, 63, "unknown"), (95, 130, "pass"),
     (95, 129, "unknown"), (99, 662, "pass"), (99, 661, "unknown")],
)  # fmt: skip
def test_samples_carry_the_percentile(q: int, n: int, verdict: str) -> None:
    found, reasons = judge(replace(BASE, latency_ms=replace(BASE.latency_ms, n=n)), {f"max_p{q}_ms": 9})
    assert found == verdict
    if verdict == "unknown":
        assert reasons == (f"p{q} is unknown: it needs at least {n + 1} samples, and there are {n}",)


@pytest.mark.parametrize(
    ("gate", "change"),
    [("max_metric_drop", {"drop": None}), ("min_metric", {"metric": None}), ("min_agreement", {"agreement": None}),
     ("max_p50_ms", {"latency_ms": Latency(n=100)}), ("max_rss_mb", {"peak_rss_bytes": None}),
     ("max_cold_start_ms", {"cold_start_ms": None})],
)  # fmt: skip
def test_not_measured(gate: str, change: dict[str, Any]) -> None:
    assert judge(replace(BASE, **change), {gate: 1}) == (
        "unknown",
        (f"{GATES[gate].what} is unknown: it was not measured",),
    )


def test_rounding_does_not_fail_a_limit_that_is_met() -> None:
    drop = 100 * (0.96 - 0.95)
    assert drop > 1.0
    assert judge(replace(BASE, drop=drop), {"max_metric_drop": 1.0})[0] == "pass"


def test_a_figure_just_above_is_told_from_its_limit() -> None:
    _, reasons = judge(replace(BASE, drop=1.0004), {"max_metric_drop": 1.0})
    assert reasons == ("drop 1.0004 points is above the 1.0 allowed",)


def test_limits_by_device() -> None:
    gates = {"max_p90_ms": {"local": 5, "ssh:pi": 1}}
    assert judge(BASE, gates) == ("pass", ())
    assert judge(replace(BASE, device="ssh:pi"), gates) == ("fail", ("p90 2.00 ms is above the 1.0 allowed",))
    assert judge(replace(BASE, device="android", latency_ms=Latency()), gates) == ("pass", ())
    assert unmatched_devices([BASE], gates) == ("ssh:pi",)
    assert describe("max_p90_ms", gates["max_p90_ms"]) == "p90 at most 5 ms on local, p90 at most 1 ms on ssh:pi"


def test_fail_outweighs_unknown() -> None:
    verdict, reasons = judge(replace(BASE, valid=False), {"max_p50_ms": 9, "max_size_mb": 1})
    assert verdict == "fail"
    assert len(reasons) == 2


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_only_artifacts_are_judged(role: Any) -> None:
    assert judge(replace(BASE, role=role, valid=False), {"max_size_mb": 0.1, "max_p50_ms": 0.1}) == ("pass", ())


def test_no_limit() -> None:
    assert judge(BASE, {}) == ("pass", ())
    assert judge(BASE, dict.fromkeys(GATES)) == ("pass", ())
    assert check(BASE, {"max_p90_ms": {}}) == ()


def test_bad_gates() -> None:
    with pytest.raises(DataError, match="no such gate: max_sise_mb"):
        judge(BASE, {"max_sise_mb": 1})
    with pytest.raises(DataError, match="the limit of max_size_mb is 'small'"):
        judge(BASE, {"max_size_mb": "small"})


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "unknown"], "unknown"),
        (["unknown", "fail", "pass"], "fail"),
        ([], "unknown"),
    ],
)
def test_overall(verdicts: list[Any], expected: str) -> None:
    teacher = replace(BASE, role="teacher", verdict="pass")
    assert overall([teacher, *(replace(BASE, verdict=verdict) for verdict in verdicts)]) == expected


def test_judged_keeps_everything_else() -> None:
    (result,) = judged([BASE], {"max_size_mb": 1})
    assert replace(result, verdict="unknown", reasons=()) == BASE
    assert (result.verdict, len(result.reasons)) == ("fail", 1)


def test_a_percentile_that_is_too_uncertain_is_judged_by_its_interval() -> None:
    """Launches at 1.0 and at 1.5 ms: nobody can say on which side of 1.2 the median lies, but of 2 and of 0.9."""
    noisy = replace(BASE, samples_ms=tuple((level,) * 100 for level in (1.0, 1.0, 1.5, 1.5, 1.5)))
    noisy = replace(noisy, latency_ms=Latency(p50=1.5, p90=1.5, p95=1.5, p99=None, n=500))
    verdict, (reason,) = judge(noisy, {"max_p50_ms": 1.2})
    assert verdict == "unknown"
    assert reason == "p50 is unknown: the machine was too noisy to tell 1 to 1.5 ms from the 1.2 allowed"
    assert judge(noisy, {"max_p50_ms": 2.0}) == ("pass", ())
    assert judge(noisy, {"max_p50_ms": 0.9})[0] == "fail"
    steady = replace(BASE, samples_ms=tuple((level,) * 100 for level in (0.98, 0.99, 1.0, 1.01, 1.02)))
    assert judge(steady, {"max_p50_ms": 1.0})[0] == "pass", "certain to 5 %: the figure itself is judged"
