"""A report as a reader sees it: figures in words, compared with the teacher. The three forms share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebert.report.model import Report, Result
from edgebert.statistics import percentile_interval

NOTHING = "—"
_UNITS = {
    "cpu": "CPU",
    "c": "°C",
    "mhz": "MHz",
    "rss": "RSS",
    "id": "ID",
    "os": "OS",
    "mb": "MB",
    "isa": "ISA",
    "cpus": "CPUs",
}
NOT_A_DEVICE = "emulated: times are not a device's"
INVALID = "invalid: the machine drifted, was throttled or busy"


@dataclass(frozen=True)
class Row:
    """One line of the table; every figure as text, an em dash where there is none."""

    name: str
    kind: str
    weights: str
    role: str
    verdict: str
    marks: tuple[str, ...]
    reasons: tuple[str, ...]
    metric: str
    metric_interval: str
    drop: str
    agreement: str
    flips: str
    p50: str
    p50_interval: str
    p90: str
    p99: str
    faster: str
    size: str
    smaller: str
    rss: str
    cold_start: str


def row(result: Result, results: Sequence[Result]) -> Row:
    """The line of one result; `results` holds the teacher that it is compared with."""
    interval = None if result.emulated else percentile_interval(result.samples_ms, 50)
    time = (lambda value: NOTHING) if result.emulated else milliseconds
    metric = result.metric
    return Row(
        name=result.name,
        kind=f"{result.format} {result.precision}",
        weights=_weights(result.parameters),
        role=result.role,
        verdict=result.verdict,
        marks=marks(result),
        reasons=result.reasons,
        metric=percent(metric.value) if metric else NOTHING,
        metric_interval=f"{100 * metric.low:.1f} to {100 * metric.high:.1f}" if metric else "",
        drop=NOTHING if result.drop is None or result.role == "teacher" else signed(result.drop),
        agreement=NOTHING if result.agreement is None else percent(result.agreement),
        flips=NOTHING if result.flips is None else str(result.flips),
        p50=time(result.latency_ms.p50),
        p50_interval=f"{number(interval.low)} to {number(interval.high)}" if interval else "",
        p90=time(result.latency_ms.p90),
        p99=time(result.latency_ms.p99),
        faster=times(speed_up(result, results)),
        size=megabytes(result.model_bytes),
        smaller=times(shrinkage(result, results)),
        rss=NOTHING if result.emulated else megabytes(result.peak_rss_bytes),
        cold_start=time(result.cold_start_ms),
    )


def marks(result: Result) -> tuple[str, ...]:
    """What a reader must know before believing the times."""
    emulated = (NOT_A_DEVICE,) if result.emulated else ()
    if result.valid:
        return emulated
    return (*emulated, *(f"invalid: {reason}" for reason in result.invalid or (INVALID.partition(": ")[2],)))


def teacher_of(result: Result, results: Sequence[Result]) -> Result | None:
    """The teacher of the same run on the same device, else on any device."""
    teachers = [r for r in results if r.role == "teacher" and r.facts.get("run") == result.facts.get("run")]
    return min(teachers, key=lambda r: r.device != result.device, default=None)


def speed_up(result: Result, results: Sequence[Result]) -> float | None:
    """How many times lower the p50 is than the teacher's; None where one of the two does not count."""
    teacher = teacher_of(result, results)
    if result.role == "teacher" or teacher is None or teacher.device != result.device:
        return None
    if any(r.emulated or not r.valid for r in (result, teacher)):
        return None
    ours, its = result.latency_ms.p50, teacher.latency_ms.p50
    return its / ours if its and ours else None


def shrinkage(result: Result, results: Sequence[Result]) -> float | None:
    """How many times smaller the model is than the teacher's."""
    teacher = teacher_of(result, results)
    if result.role == "teacher" or teacher is None or not teacher.model_bytes or not result.model_bytes:
        return None
    return teacher.model_bytes / result.model_bytes


def metric_name(report: Report) -> str:
    """What the metric is called."""
    return next((result.metric.name for result in report.results if result.metric), "metric")


#: Figures that are a share of something: shown as per cent; the others are plain numbers.
_PLAIN = frozenset({"rmse", "spearman", "cosine_to_student"})


def figure_table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Further figures of the test set: their names, and for each model that has some its name and the figures."""
    names = sorted({name for result in results for name in result.figures})
    rows = []
    for result in results:
        if result.figures:
            cells = [
                NOTHING if (value := result.figures.get(name)) is None
                else f"{value:.4f}" if name in _PLAIN else percent(value)
                for name in names
            ]  # fmt: skip
            rows.append([result.name, *cells])
    return [name.replace("_", " ") for name in names], rows


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    failed = [failure.device for failure in report.failures]
    told = f"; {', '.join(failed)} failed" if failed else ""
    order = ("slower", "too noisy", "faster", "no difference seen")
    counts = {word: sum(c.verdict == word for c in report.comparisons) for word in order}
    compared = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"Latency: {compared}{told}" if compared else _judged(report) + told


def _judged(report: Report) -> str:
    judged = [r for r in report.results if r.role == "artifact"]
    if not judged:
        return "No artifact was judged"
    counts = {verdict: sum(r.verdict == verdict for r in judged) for verdict in ("pass", "fail", "unknown")}
    what = "artifact" if len(report.devices) == 1 else "check"
    total = f"{len(judged)} {what}{'' if len(judged) == 1 else 's'}"
    if counts["pass"] == len(judged):
        everything = {1: f"The {what} passes", 2: f"Both {what}s pass"}.get(len(judged), f"All {total} pass")
        return everything if report.gates else f"{total}, and no gate to judge {'it' if len(judged) == 1 else 'them'}"
    parts = [f"{counts['fail']} of {total} {'fails' if counts['fail'] == 1 else 'fail'}"] if counts["fail"] else []
    if counts["unknown"]:
        parts.append(
            f"{counts['unknown']} could not be judged"
            if parts
            else f"{counts['unknown']} of {total} could not be judged"
        )
    return ", ".join(parts)


def winner(report: Report) -> Result | None:
    """The best artifact of the first device that has one."""
    for device, name in report.best.items():
        for result in report.of_device(device):
            if result.name == name:
                return result
    return None


def summary(report: Report) -> str:
    """What the best artifact is worth, in one sentence; empty when none is best."""
    best = winner(report)
    if best is None:
        return ""
    text = (
        f"{best.name} is the quickest that passes on {best.device}: {milliseconds(best.latency_ms.p50)} at the median"
    )
    faster, smaller = speed_up(best, report.results), shrinkage(best, report.results)
    gains = ([f"{faster:.1f} times faster"] if faster else []) + ([f"{smaller:.1f} times smaller"] if smaller else [])
    if gains:
        text += f", {' and '.join(gains)} than the teacher"
    if best.drop is not None and abs(best.drop) < 0.005:
        text += f", with the same {metric_name(report)}"
    elif best.drop is not None:
        text += f", {abs(best.drop):.2f} points {'below' if best.drop >= 0 else 'above'} it"
    return text + "."


def number(value: float) -> str:
    """A figure of a measurement: two decimals below 10 (three below 0.1), one below 100."""
    size = abs(value)
    return f"{value:.{3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0}f}"


def milliseconds(value: float | None) -> str:
    """`0.42 ms`."""
    return NOTHING if value is None else f"{number(value)} ms"


def megabytes(value: float | None) -> str:
    """`7.31 MB`, of 10^6 bytes."""
    return NOTHING if value is None else f"{number(value / 1e6)} MB"


def percent(value: float) -> str:
    """`95.36 %` of a fraction."""
    return f"{100 * value:.2f} %"


def times(value: float | None) -> str:
    """`17.1 ×`."""
    return NOTHING if value is None else f"{value:.1f} ×"


def signed(value: float) -> str:
    """Points, with a true minus sign."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}").replace("\N{MINUS SIGN}0.00", "0.00")


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested facts as lines of text: `cpu_model` becomes `cpu model`, a list is joined by commas."""
    lines: dict[str, str] = {}
    for key, value in facts.items():
        name = prefix + " ".join(_UNITS.get(word, word) for word in str(key).split("_"))
        if isinstance(value, Mapping):
            lines |= flat(value, f"{name}, ")
        elif str(key).endswith("bytes") and isinstance(value, int):
            lines[name.removesuffix(" bytes")] = f"{value / 1e9:.1f} GB" if value >= 1e9 else megabytes(value)
        elif value is not None and value != "" and value != []:
            lines[name] = ", ".join(map(_fact, value)) if isinstance(value, list | tuple) else _fact(value)
    return lines


def shared_facts(results: Sequence[Result]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Facts that all results of a device have in common, and the others by result."""
    each = {result.name: flat(result.facts) for result in results}
    first = next(iter(each.values()), {})
    common = {k: v for k, v in first.items() if all(facts.get(k) == v for facts in each.values())}
    own = {name: {k: v for k, v in facts.items() if k not in common} for name, facts in each.items()}
    return common, {name: facts for name, facts in own.items() if facts}


def _weights(count: int) -> str:
    if not count:
        return ""
    return f"{number(count / 1e6)} M weights" if count >= 1e6 else f"{count / 1e3:.0f} k weights"


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)
