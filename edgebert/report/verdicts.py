"""Runs held against the first of them: what can be said of each latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgebert.comparison import LAUNCHES, Timed, compare_latency
from edgebert.report.model import Report, Result
from edgebert.report.parts import Comparison


def comparisons(runs: Sequence[tuple[str, Report]]) -> tuple[Comparison, ...]:
    """One for each pair of results that belong together, of the first run and of each later one.

    The same model on the same device belongs together; where two runs share no such pair, the same model on another
    device, and where they share none of those either, the best artifacts of both on one device.

    Args:
        runs: names and reports, the first one to hold the others against.
    """
    first, *others = runs
    found = []
    for name, report in others:
        for base, result in _pairs(first[1], report):
            found.append(_compared(base, result, f"{first[0]}/{base.name}", f"{name}/{result.name}"))
    return tuple(found)


def _pairs(first: Report, second: Report) -> list[tuple[Result, Result]]:
    # An emulator's times are nobody's: they are not compared.
    timed = [[result for result in report.results if not result.emulated] for report in (first, second)]
    both = [(a, b) for b in timed[1] for a in timed[0] if a.name == b.name]
    if same := [(a, b) for a, b in both if a.device == b.device]:
        return same
    return both or list(_best(first, second))


def _best(first: Report, second: Report) -> Iterator[tuple[Result, Result]]:
    for device in second.devices:
        a, b = (
            next((r for r in report.of_device(device) if r.name == report.best.get(device)), None)
            for report in (first, second)
        )
        if a is not None and b is not None:
            yield a, b


def _compared(base: Result, result: Result, base_name: str, name: str) -> Comparison:
    reason = _doubt(base, base_name) or _doubt(result, name)
    found = None if reason else compare_latency(_timed(base), _timed(result))
    return Comparison(
        device=result.device,
        name=name,
        base=base_name,
        base_device=base.device,
        verdict=found.word if found else "too noisy",
        ratio=found.ratio if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        reason=reason,
    )


def _doubt(result: Result, name: str) -> str:
    """Why its times cannot be compared, or nothing."""
    if not result.valid:
        return f"{name} is invalid: {'; '.join(result.invalid) or 'the machine drifted or was throttled'}"
    if len(result.samples_ms) < LAUNCHES:
        return f"{name} has {len(result.samples_ms)} launches; it takes {LAUNCHES} to tell a difference from chance"
    return ""


def _timed(result: Result) -> Timed:
    return Timed(result.samples_ms, result.tokens or None)
