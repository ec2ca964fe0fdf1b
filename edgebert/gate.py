"""Gates: the limits of a recipe, and what they say of each result.

A verdict is `pass`, `fail` or `unknown`. Unknown means that the figure cannot be judged: it was not measured,
its measurement is invalid or emulated, or the sample is too small for the percentile. Gates judge artifacts;
the teacher and the student stand in the table for comparison and pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from edgebert.errors import DataError
from edgebert.statistics import MINIMUM_SAMPLES, percentile_interval

if TYPE_CHECKING:
    from edgebert.report.model import Result, Verdict

#: Limits are met when they are met but for rounding: 0.96 minus 0.95 is more than 0.01 to a computer.
_TOLERANCE = 1e-9

#: A percentile is certain enough to be judged by itself when its interval reaches no further than this share to either
#: side, the change of speed that makes a measurement invalid (`edgebert.drift`). One that is less certain is judged by
#: its interval.
_CERTAIN = 0.05


@dataclass(frozen=True)
class Gate:
    """One kind of limit.

    Args:
        what: the figure in words.
        unit: after the figure, with its leading space.
        bound: whether the limit is the most or the least that is allowed.
        figure: reads it off a result; None where it was not measured.
        of_machine: it says something about the device (time or memory), so that an emulator cannot tell.
        timed: it is a time, so that an invalid measurement cannot tell.
        percentile: the percentile that the figure is, or None.
    """

    what: str
    unit: str
    bound: Literal["most", "least"]
    figure: Callable[[Result], float | None]
    of_machine: bool = False
    timed: bool = False
    percentile: int | None = None


@dataclass(frozen=True)
class Check:
    """One gate on one result; `reason` is empty when it passed."""

    gate: str
    verdict: Verdict
    figure: float | None
    limit: float
    reason: str


def _percentile_gate(q: int) -> Gate:
    return Gate(f"p{q}", " ms", "most", lambda r: getattr(r.latency_ms, f"p{q}"), True, True, q)


GATES: Mapping[str, Gate] = MappingProxyType(
    {
        "max_metric_drop": Gate("drop", " points", "most", lambda r: r.drop),
        "min_metric": Gate("metric", "", "least", lambda r: r.metric.value if r.metric else None),
        "min_agreement": Gate("agreement", "", "least", lambda r: r.agreement),
        "max_size_mb": Gate("size", " MB", "most", lambda r: r.model_bytes / 1e6),
        **{f"max_p{q}_ms": _percentile_gate(q) for q in MINIMUM_SAMPLES},
        "max_rss_mb": Gate(
            "peak memory",
            " MB",
            "most",
            lambda r: None if r.peak_rss_bytes is None else r.peak_rss_bytes / 1e6,
            True,
        ),
        "max_cold_start_ms": Gate("cold start", " ms", "most", lambda r: r.cold_start_ms, True, True),
    }
)


def judge(result: Result, gates: Mapping[str, Any]) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict of all gates on one result, and a sentence for each gate that it does not pass.

    Args:
        result: a row of the report.
        gates: gate -> limit (None: no limit); the limit of a time is a number for all devices, or a mapping
            device -> number that leaves the other devices free.

    Raises:
        DataError: a gate of that name is not known, or its limit is no number.
    """
    checks = check(result, gates)
    return _worst([c.verdict for c in checks]), tuple(c.reason for c in checks if c.reason)


def judged(results: Sequence[Result], gates: Mapping[str, Any]) -> tuple[Result, ...]:
    """The results, each with its verdict and reasons."""
    pairs = ((result, judge(result, gates)) for result in results)
    return tuple(replace(result, verdict=verdict, reasons=reasons) for result, (verdict, reasons) in pairs)


def overall(results: Sequence[Result]) -> Verdict:
    """One verdict for all artifacts: fail if one fails, else unknown if one is or there are none, else pass."""
    verdicts = [result.verdict for result in results if result.role == "artifact"]
    return _worst(verdicts) if verdicts else "unknown"


def check(result: Result, gates: Mapping[str, Any]) -> tuple[Check, ...]:
    """Every gate that applies to a result, in the order of `GATES`; none to a teacher or student.

    Raises:
        DataError: a gate of that name is not known, or its limit is no number.
    """
    if unknown := sorted(set(gates) - set(GATES)):
        raise DataError(f"no such gate: {', '.join(unknown)}", f"the gates are {', '.join(GATES)}")
    if result.role != "artifact":
        return ()
    limits = {name: _limit(name, gates.get(name), result.device) for name in GATES}
    return tuple(_check(name, result, limit) for name, limit in limits.items() if limit is not None)


def describe(name: str, limit: Any) -> str:
    """A gate in words: `p90 at most 5.0 ms on local`."""
    gate = GATES[name]
    bound = f"{gate.what} at {gate.bound}"
    if isinstance(limit, Mapping):
        return ", ".join(f"{bound} {value}{gate.unit} on {device}" for device, value in limit.items())
    return f"{bound} {limit}{gate.unit}"


def unmatched_devices(results: Sequence[Result], gates: Mapping[str, Any]) -> tuple[str, ...]:
    """Devices that a gate names and no result has: `max_p90_ms: {locl: 5}` would judge nothing."""
    named = {device for limit in gates.values() if isinstance(limit, Mapping) for device in limit}
    return tuple(sorted(named - {result.device for result in results}))


def _limit(name: str, given: Any, device: str) -> float | None:
    limit = given.get(device) if isinstance(given, Mapping) else given
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise DataError(f"the limit of {name} is {limit!r}, not a number", f"write for example {name}: 5")
    return float(limit)


def _check(name: str, result: Result, limit: float) -> Check:
    gate = GATES[name]
    figure = gate.figure(result)
    doubt = _doubt(gate, figure, result)
    doubt = doubt or (_noise(gate, figure, limit, result) if figure is not None else "")
    if doubt or figure is None:
        return Check(name, "unknown", figure, limit, doubt)
    slack = _TOLERANCE * max(1.0, abs(limit))
    if gate.bound == "most" and figure > limit + slack:
        return Check(
            name, "fail", figure, limit, f"{gate.what} {shown(name, figure, limit)} is above the {limit} allowed"
        )
    if gate.bound == "least" and figure < limit - slack:
        return Check(
            name, "fail", figure, limit, f"{gate.what} {shown(name, figure, limit)} is below the {limit} required"
        )
    return Check(name, "pass", figure, limit, "")


def _doubt(gate: Gate, figure: float | None, result: Result) -> str:
    """Why the figure cannot be judged, or nothing."""
    if gate.of_machine and result.emulated:
        return f"{gate.what} is unknown: {result.device} is emulated, and its figures are not a device's"
    if gate.timed and not result.valid:
        why = "; ".join(result.invalid) or "the machine drifted or was throttled"
        return f"{gate.what} is unknown: the measurement is invalid ({why})"
    if gate.percentile is not None:
        needed, there = MINIMUM_SAMPLES[gate.percentile], result.latency_ms.n
        if there < needed:
            return f"{gate.what} is unknown: it needs at least {needed} samples, and there are {there}"
    if figure is None:
        return f"{gate.what} is unknown: it was not measured"
    return ""


def _noise(gate: Gate, figure: float, limit: float, result: Result) -> str:
    """Why a percentile that is less than certain may lie on either side of its limit, or nothing."""
    interval = percentile_interval(result.samples_ms, gate.percentile) if gate.percentile else None
    if interval is None or not interval.low <= limit <= interval.high:
        return ""
    if max(figure - interval.low, interval.high - figure) <= _CERTAIN * figure:
        return ""
    return (
        f"{gate.what} is unknown: the machine was too noisy to tell {interval.low:.3g} to {interval.high:.3g} ms from "
        f"the {limit} allowed"
    )


def shown(name: str, figure: float, limit: float) -> str:
    """A figure with its unit, and with as many digits as tell it from its limit."""
    gate = GATES[name]
    fewest = 2 if gate.unit else 4  # a fraction needs more of them than a figure with a unit
    digits = fewest if figure == limit else next(d for d in range(fewest, 18) if round(figure, d) != limit or d == 17)
    return f"{figure:.{digits}f}{gate.unit}"


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    if "fail" in verdicts:
        return "fail"
    return "unknown" if "unknown" in verdicts else "pass"
