"""A report as Markdown: what one pastes into a pull request."""

from __future__ import annotations

import re

from edgebert.gate import describe
from edgebert.report.model import Report
from edgebert.report.view import Row, figure_table, headline, metric_name, row, summary
from edgebert.report.view_runs import against, device_table

_SIGNS = {"pass": "✅ pass", "fail": "❌ fail", "unknown": "❔ unknown"}
_WORDS = {
    "faster": "🟢 faster",
    "slower": "🔴 slower",
    "no difference seen": "⚪ no difference seen",
    "too noisy": "❔ too noisy",
}
_COLUMNS = (
    "drop",
    "agreement",
    "flips",
    "p50",
    "p90",
    "p99",
    "faster",
    "size",
    "smaller",
    "RSS",
    "cold start",
)


def render_markdown(report: Report) -> str:
    """Headline, a table for each device, the reasons, the gates and the notes."""
    parts = [f"## edgebert: {headline(report)}"]
    if text := summary(report):
        parts.append(safe(text))
    parts += _across(report)
    for device in report.devices:
        rows = [row(result, report.results) for result in report.of_device(device)]
        if len(report.devices) > 1:
            parts.append(f"### {safe(device)}")
        parts.append(_table(rows, metric_name(report)))
        names, further = figure_table(report.of_device(device))
        if further:
            head = [_line(["model", *map(safe, names)]), "|:--|" + "--:|" * len(names)]
            parts.append("\n".join([*head, *(_line([safe(cells[0]), *cells[1:]]) for cells in further)]))
        if reasons := [f"- **{safe(r.name)}**: {safe(text)}" for r in rows for text in (*r.reasons, *r.marks)]:
            parts.append("\n".join(reasons))
    if report.gates:
        parts.append(f"Gates: {safe(', '.join(describe(*gate) for gate in report.gates.items()))}.")
    if report.notes:
        parts.append("\n".join(f"- {safe(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _across(report: Report) -> list[str]:
    """What stands above the tables of each device: failed devices, comparisons of runs, artifacts by device."""
    parts = []
    if report.failures:
        parts.append("\n".join(f"- ❌ **{safe(f.device)}** failed: {safe(f.message)}" for f in report.failures))
    if compared := against(report):
        lines = [_line(["latency of", "against", "verdict", "change (98 % interval)", "p50"]), "|:--|:--|:--|--:|--:|"]
        for each in compared:
            name = each.name if len(report.devices) == 1 else f"{each.name} on {each.device}"
            change = f"{each.ratio} ({each.interval})" if each.interval else each.ratio
            verdict = f"{_WORDS[each.verdict]}{': ' + safe(each.reason) if each.reason else ''}"
            lines.append(_line([safe(name), safe(each.base), verdict, change, each.times]))
        parts.append("\n".join(lines))
    if (table := device_table(report)) is not None:
        lines = [_line(["artifact", *map(safe, table.devices)]), "|:--|" + "--:|" * len(table.devices)]
        for name, cells, best in table.rows:
            lines.append(_line([safe(name), *(f"**{c}**" if b else c for c, b in zip(cells, best, strict=True))]))
        lines.append(_line(["best", *map(safe, table.best)]))
        parts.append("\n".join(lines))
    return parts


def _table(rows: list[Row], metric: str) -> str:
    head = ["model", safe(metric), *_COLUMNS, "verdict"]
    lines = [_line(head), "|:--|" + "--:|" * (len(head) - 2) + ":--|"]
    for r in rows:
        score = f"{r.metric} ({r.metric_interval})" if r.metric_interval else r.metric
        figures = (
            r.drop,
            r.agreement,
            r.flips,
            r.p50,
            r.p90,
            r.p99,
            r.faster,
            r.size,
            r.smaller,
            r.rss,
            r.cold_start,
        )
        marks = f" ({', '.join(mark.partition(':')[0] for mark in r.marks)})" if r.marks else ""
        verdict = _SIGNS[r.verdict] if r.role == "artifact" else f"({r.role})"
        lines.append(_line([safe(r.name), score, *figures, verdict + marks]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def safe(text: str) -> str:
    """Text that Markdown and the HTML inside it show as it stands, on one line."""
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
