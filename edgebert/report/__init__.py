"""The report: what a run found, as JSON for programs, Markdown for pull requests, and one HTML page for people.

`model` is the contract (`report.json`), `view` puts its figures into words, and `render_*` lay them out.
"""

from __future__ import annotations

from edgebert.report.compare import compare
from edgebert.report.model import (
    REPORT,
    SCHEMA_VERSION,
    Latency,
    LineageStep,
    Metric,
    Report,
    Result,
    best_of,
    read_report,
    report_schema,
)
from edgebert.report.parts import Comparison, Failure, Moment
from edgebert.report.render_markdown import render_markdown
from edgebert.report.render_terminal import comparison_lines, device_lines, summary_table
from edgebert.report.write import assemble, write_junit, write_report

__all__ = [
    "REPORT",
    "SCHEMA_VERSION",
    "Comparison",
    "Failure",
    "Latency",
    "LineageStep",
    "Metric",
    "Moment",
    "Report",
    "Result",
    "assemble",
    "best_of",
    "compare",
    "comparison_lines",
    "device_lines",
    "read_report",
    "render_markdown",
    "report_schema",
    "summary_table",
    "write_junit",
    "write_report",
]
