"""Tables across devices and across runs, as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgebert.report.model import Report, Result
from edgebert.report.parts import Comparison
from edgebert.report.view import NOTHING, milliseconds, percent


@dataclass(frozen=True)
class Against:
    """One comparison in words."""

    name: str
    device: str
    base: str
    verdict: str
    kind: str
    times: str
    ratio: str
    interval: str
    reason: str


def against(report: Report) -> list[Against]:
    """Every comparison of the report, in words."""
    return [_against(comparison, report.results) for comparison in report.comparisons]


def _against(comparison: Comparison, results: Sequence[Result]) -> Against:
    medians = [
        next((r.latency_ms.p50 for r in results if (r.name, r.device) == key), None)
        for key in ((comparison.base, comparison.base_device), (comparison.name, comparison.device))
    ]
    apart = comparison.base_device != comparison.device
    known = comparison.ratio is not None and comparison.low is not None and comparison.high is not None
    return Against(
        name=comparison.name,
        device=comparison.device,
        base=f"{comparison.base} on {comparison.base_device}" if apart else comparison.base,
        verdict=comparison.verdict,
        kind={"faster": "pass", "slower": "fail", "too noisy": "unknown"}.get(comparison.verdict, "same"),
        times=NOTHING if comparison.reason else " → ".join(milliseconds(value) for value in medians),
        ratio=change(comparison.ratio) if comparison.ratio is not None else NOTHING,
        interval=f"{change(comparison.low or 0)} to {change(comparison.high or 0)}" if known else "",
        reason=comparison.reason,
    )


def change(ratio: float) -> str:
    """`+10.2 %` of a ratio of 1.102, with a true minus sign."""
    text = f"{100 * (ratio - 1):+.1f} %"
    return text.replace("-", "\N{MINUS SIGN}").replace("\N{MINUS SIGN}0.0", "0.0").replace("+0.0", "0.0")


@dataclass(frozen=True)
class DeviceTable:
    """Models down, devices across; `cells` and `best` are in the order of `devices`."""

    devices: list[str]
    rows: list[tuple[str, list[str], list[bool]]]
    best: list[str]


def device_table(report: Report) -> DeviceTable | None:
    """What each artifact does on each device, and which is best there; None for a report of one device.

    An artifact that no device but one could measure has dashes in the other columns; a device that failed has a
    column of its own.
    """
    failed = [] if report.comparisons else [failure.device for failure in report.failures]
    devices = [*report.devices, *(device for device in failed if device not in report.devices)]
    names = list(dict.fromkeys(result.name for result in report.results if result.role == "artifact"))
    if len(devices) < 2 or not names:
        return None
    found = {(result.name, result.device): result for result in report.results}
    rows = []
    for name in names:
        cells = [_cell(found.get((name, device)), device in failed) for device in devices]
        rows.append((name, cells, [report.best.get(device) == name for device in devices]))
    best = ["failed" if device in failed else report.best.get(device) or NOTHING for device in devices]
    return DeviceTable(devices, rows, best)


def _cell(result: Result | None, failed: bool) -> str:
    """`1.28 ms · 95.29 %`; an emulator's times are left out, an invalid one's are told as such."""
    if result is None:
        return "failed" if failed else NOTHING
    time = "emulated" if result.emulated else milliseconds(result.latency_ms.p50) if result.valid else "invalid"
    return f"{time} · {percent(result.metric.value)}" if result.metric else time
