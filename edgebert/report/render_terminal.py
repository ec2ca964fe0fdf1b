"""A report as a table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgebert.report.model import Report
from edgebert.report.view import metric_name, row
from edgebert.report.view_runs import against

if TYPE_CHECKING:
    from rich.table import Table

_VERDICT = {"pass": ("pass", "green"), "fail": ("fail", "bold red"), "unknown": ("unknown", "yellow")}


def summary_table(report: Report) -> Table:
    """One line for each model and device; names are shown as they are, never read as markup."""
    from rich.table import Table
    from rich.text import Text

    several = len(report.devices) > 1
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True)
    if several:
        table.add_column("device")
    for heading in (metric_name(report), "drop", "p50", "p90", "faster", "size", "smaller"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    for result in report.results:
        line = row(result, report.results)
        word, style = _VERDICT[result.verdict] if result.role == "artifact" else ("", "")
        doubts = [mark.partition(":")[0] for mark in line.marks]
        verdict = Text.assemble((word, style), *([(f" ({', '.join(doubts)})", "dim")] if doubts else []))
        figures = (line.metric, line.drop, line.p50, line.p90, line.faster, line.size, line.smaller)
        place = [Text(result.device)] if several else []
        table.add_row(Text(result.name), *place, *map(Text, figures), verdict)
    return table


def comparison_lines(report: Report) -> list[str]:
    """One line for each comparison with another run."""
    lines = []
    for each in against(report):
        figures = f"{each.ratio} ({each.interval})" if each.interval else each.reason
        lines.append(f"{each.name} on {each.device}: {each.verdict} than {each.base}: {figures}")
    return [line.replace(" seen than ", " seen from ").replace("noisy than ", "noisy to tell from ") for line in lines]


def device_lines(report: Report) -> list[str]:
    """The best artifact for each device, where there are several, and each device that failed."""
    lines = [f"{failure.device} failed: {failure.message}" for failure in report.failures]
    if len(report.devices) > 1:
        lines += [f"best on {device}: {name or 'none'}" for device, name in report.best.items()]
    return lines
