"""A report as one HTML page that needs nothing else: no network, no script, no font of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebert.comparison import MARGIN, RULED_OUT
from edgebert.errors import require
from edgebert.gate import GATES, Check, check, describe, shown
from edgebert.report.model import Report, Result
from edgebert.report.picture import Picture
from edgebert.report.plots import pictures
from edgebert.report.view import (
    NOTHING,
    Row,
    figure_table,
    flat,
    headline,
    megabytes,
    metric_name,
    milliseconds,
    percent,
    row,
    shared_facts,
    shrinkage,
    speed_up,
    summary,
    teacher_of,
    times,
    winner,
)
from edgebert.report.view_runs import against, device_table


@dataclass(frozen=True)
class DeviceSection:
    """What the page shows of one device."""

    name: str
    emulated: bool
    rows: list[Row]
    further: tuple[list[str], list[list[str]]]
    pictures: list[Picture]
    gates: list[tuple[str, list[tuple[str, str]]]]
    artifacts: list[str]
    facts: dict[str, str]
    own_facts: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Figure:
    """One of the large figures at the top."""

    value: str
    what: str
    note: str


def render_html(report: Report) -> str:
    """The page; the same report gives the same bytes.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    require("jinja2", "host")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgebert.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2").render(
        report=report,
        metric=metric_name(report),
        headline=headline(report),
        summary=summary(report),
        figures=_figures(report),
        devices=[_section(report, device, f"d{index}") for index, device in enumerate(report.devices)],
        across=device_table(report),
        against=against(report),
        gates=[describe(name, limit) for name, limit in report.gates.items()],
        method=method(report),
        recipe=flat(report.recipe),
        nothing=NOTHING,
        percent=percent,
    )


def method(report: Report) -> list[str]:
    """How the figures were measured, in plain words."""
    metric = metric_name(report)
    timed = [r for r in report.results if r.samples_ms and not r.emulated]
    launches = sorted({len(r.samples_ms) for r in timed if r.samples_ms})
    samples = sorted({r.latency_ms.n for r in timed})
    threads = sorted({r.threads for r in report.results})
    said = (
        []
        if not any(r.metric for r in report.results)
        else [
            f"The metric ({metric}) is measured on the test set, with the answers that each model gave on the device. "
            "Its interval holds the true figure in 95 of 100 cases.",
            "Drop is the teacher's metric minus this model's, in percentage points. Agreement is the share of answers "
            "equal to the FP32 student's; a flip is an answer that the student has right and this model has wrong.",
        ]
    )
    if timed:
        said.append(
            f"Latency is from text to answer, tokenization included, one text at a time, on real test texts. "
            f"Each model was started {_range(launches)} times in a process of its own, with {_range(samples)} timed "
            f"answers in all, after a warm-up, on {_range(threads)} thread{'' if threads == [1] else 's'}. "
            "p50 is the median: half of the answers came sooner; 99 of 100 came sooner than p99. "
            "A percentile that the sample is too small for is left out."
        )
    said.append(
        "Size is what the engine loads, in MB of 10⁶ bytes. Peak memory and cold start (from the start of the "
        "process to the first answer) are of a fresh process."
    )
    if report.comparisons:
        said.append(
            "Runs are compared launch by launch, texts of the same length with each other. A run is faster or slower "
            f"when the whole 98 % interval of the change lies beyond {100 * MARGIN:.0f} %; no difference is seen when "
            f"one of {100 * RULED_OUT:.0f} % is ruled out; else the measurement is too noisy to say."
        )
    if any(r.emulated for r in report.results):
        said.append("An emulator proves that answers are right. Its times are not a device's, so none are shown.")
    if not all(r.valid for r in report.results):
        said.append(
            "A measurement is invalid when the machine was throttled, changed its speed by more than 5 % while it ran, "
            "or had other work to do. Its times are shown, but neither compared nor judged."
        )
    return said


def _section(report: Report, device: str, prefix: str) -> DeviceSection:
    results = report.of_device(device)
    artifacts = [result for result in results if result.role == "artifact"]
    checks = [each for result in artifacts for each in check(result, report.gates)]
    common, own = shared_facts(results)
    return DeviceSection(
        name=device,
        emulated=all(result.emulated for result in results),
        rows=[row(result, report.results) for result in results],
        further=figure_table(results),
        pictures=pictures(
            results,
            max_drop=next((each.limit for each in checks if each.gate == "max_metric_drop"), None),
            prefix=prefix,
        ),
        gates=_gate_table(report, artifacts),
        artifacts=[result.name for result in artifacts],
        facts=common,
        own_facts=own,
    )


def _gate_table(report: Report, artifacts: Sequence[Result]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each gate its words, and for each artifact the verdict and the figure."""
    found = {result.name: {c.gate: c for c in check(result, report.gates)} for result in artifacts}
    table = []
    for name in GATES:
        if limits := [checks[name].limit for checks in found.values() if name in checks]:
            cells = [_cell(found[result.name].get(name)) for result in artifacts]
            table.append((describe(name, limits[0]), cells))
    return table


def _cell(found: Check | None) -> tuple[str, str]:
    if found is None:
        return "", NOTHING
    if found.figure is None or found.verdict == "unknown":
        return found.verdict, "unknown"
    return found.verdict, shown(found.gate, found.figure, found.limit)


def _figures(report: Report) -> list[Figure]:
    """Accuracy, latency, size and memory of the best artifact, beside the teacher's."""
    best = winner(report)
    if best is None:
        return []
    teacher = teacher_of(best, report.results)
    made: list[Figure] = []
    if best.metric:
        beside = f"teacher {percent(teacher.metric.value)}" if teacher and teacher.metric else ""
        made.append(Figure(percent(best.metric.value), best.metric.name, beside))
    made.append(
        Figure(
            milliseconds(best.latency_ms.p50),
            "median latency",
            _gain(speed_up(best, report.results), "faster"),
        )
    )
    made.append(Figure(megabytes(best.model_bytes), "model size", _gain(shrinkage(best, report.results), "smaller")))
    if best.peak_rss_bytes is not None:
        same = teacher is not None and teacher.device == best.device and teacher.peak_rss_bytes is not None
        beside = f"teacher {megabytes(teacher.peak_rss_bytes)}" if teacher and same else ""
        made.append(Figure(megabytes(best.peak_rss_bytes), "peak memory", beside))
    return made


def _gain(value: float | None, how: str) -> str:
    return "" if value is None else f"{times(value)} {how} than the teacher"


def _range(values: Sequence[Any]) -> str:
    if not values:
        return "several"
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
