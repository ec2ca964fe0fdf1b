"""A report as Markdown: what one pastes into a pull request."""

from __future__ import annotations

import re

from edgebert.gate import describe
from edgebert.report.model import Report
from edgebert.report.view import Row, figure_table, headline, metric_name, row, summary

_SIGNS = {"pass": "✅ pass", "fail": "❌ fail", "unknown": "❔ unknown"}
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
        parts.append(_safe(text))
    for device in report.devices:
        rows = [row(result, report.results) for result in report.of_device(device)]
        if len(report.devices) > 1:
            parts.append(f"### {_safe(device)}")
        parts.append(_table(rows, metric_name(report)))
        names, further = figure_table(report.of_device(device))
        if further:
            head = [_line(["model", *map(_safe, names)]), "|:--|" + "--:|" * len(names)]
            parts.append("\n".join([*head, *(_line([_safe(cells[0]), *cells[1:]]) for cells in further)]))
        if reasons := [f"- **{_safe(r.name)}**: {_safe(text)}" for r in rows for text in (*r.reasons, *r.marks)]:
            parts.append("\n".join(reasons))
    if report.gates:
        parts.append(f"Gates: {_safe(', '.join(describe(*gate) for gate in report.gates.items()))}.")
    if report.notes:
        parts.append("\n".join(f"- {_safe(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _table(rows: list[Row], metric: str) -> str:
    head = ["model", _safe(metric), *_COLUMNS, "verdict"]
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
        lines.append(_line([_safe(r.name), score, *figures, verdict + marks]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """Text that Markdown and the HTML inside it show as it stands, on one line."""
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
