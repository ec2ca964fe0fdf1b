"""The picture of how a measurement went on: latency, and below it temperature or frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgebert.drift import DRIFT
from edgebert.report import svg
from edgebert.report.labels import Named, spread, widest
from edgebert.report.model import Result
from edgebert.report.parts import Moment
from edgebert.report.picture import HEIGHT, WIDTH, Picture
from edgebert.report.view import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Name, colour and marker.
Look = tuple[str, str, str]

#: Points of a line in the picture; more would be one smear.
_POINTS = 240

_MINUTES = 180.0  # seconds from which on the axis counts minutes


def over_time(results: Sequence[Result], looks: Sequence[Look], name: str) -> list[Picture]:
    """Latency over time of each result, in per cent of its own median; draw inside `svg.style()`.

    Args:
        results: of one device, each with moments.
        looks: name, colour and marker of each.
        name: unique in the page.
    """
    below = _panel(results)
    made = svg.figure(WIDTH, HEIGHT)
    bottom = 0.44 if below else 0.14
    axes = made.add_axes((0.11, bottom, 0.5, 0.96 - bottom))
    right = (widest(axes, [look[0] for look in looks]) + 16) / (72 * WIDTH)
    axes.set_position((0.13, bottom, 0.86 - right, 0.96 - bottom))
    longest = max(moment.seconds for result in results for moment in result.over_time)
    unit, per = ("minutes", 60.0) if longest > _MINUTES else ("seconds", 1.0)
    axes.axhspan(100 * (1 - DRIFT), 100 * (1 + DRIFT), color=svg.RULE, alpha=0.5, lw=0)
    ends, every = [], []
    for result, (label, colour, _) in zip(results, looks, strict=True):
        times, level = _levels(result.over_time, per)
        axes.plot(times, level, "-", lw=1.2, color=colour)
        lone = [i for i in range(len(times)) if _lonely(level, i)]
        axes.plot(np.array(times)[lone], np.array(level)[lone], "o", ms=3, mew=0, color=colour)
        known = [(x, y) for x, y in zip(times, level, strict=True) if np.isfinite(y)]
        ends.append(Named(*known[-1], label, colour))
        every += [y for _, y in known]
    axes.set_ylim(min(90.0, np.percentile(every, 1) - 3), max(110.0, np.percentile(every, 99) + 3))
    axes.set_xlim(0, longest / per * 1.01)
    axes.set_ylabel("latency, % of median")
    axes.grid(axis="y")
    inside = axes.get_ylim()
    spread(axes, [Named(e.x, min(max(e.y, inside[0]), inside[1]), e.name, e.colour) for e in ends])
    if below:
        lower = made.add_axes((0.13, 0.14, 0.86 - right, 0.24), sharex=axes)
        _lower(lower, results, looks, below, per)
        axes.tick_params(labelbottom=False)
        lower.set_xlabel(unit)
    else:
        axes.set_xlabel(unit)
    caption = (
        f"Median of some samples in a row, texts of other lengths made comparable; a line for each launch. "
        f"The band is {100 * DRIFT:.0f} % around the median. Drift is a lasting change of more than that in the floor, "
        "the level that a fifth of the samples stay below; where only the median moves, something else ran beside."
        + (f" Below: {below[1].partition(',')[0]}." if below else "")
    )
    spoken = "; ".join(_spoken(result, look[0]) for result, look in zip(results, looks, strict=True))
    return [Picture("Latency over time", caption, svg.inline(made, name=name, label=spoken))]


def _levels(moments: Sequence[Moment], per: float) -> tuple[list[float], list[float]]:
    """Times and per cent of the median, with a gap between launches."""
    middle = float(np.median([moment.ms for moment in moments]))
    times: list[float] = []
    level: list[float] = []
    step = max(1, len(moments) // _POINTS)
    for launch in sorted({moment.launch for moment in moments}):
        own = [moment for moment in moments if moment.launch == launch]
        for start in range(0, len(own), step):
            part = own[start : start + step]
            times.append(part[-1].seconds / per)
            level.append(100 * float(np.median([moment.ms for moment in part])) / middle)
        times.append(times[-1])
        level.append(float("nan"))
    return times, level


def _lonely(level: Sequence[float], index: int) -> bool:
    """Whether a point has no neighbour to draw a line to."""
    return all(not 0 <= i < len(level) or not np.isfinite(level[i]) for i in (index - 1, index + 1))


def _panel(results: Sequence[Result]) -> tuple[str, str] | None:
    """What the lower panel shows: temperature where it is known, else frequency where it changed; or nothing."""
    for field, words in (("temperature_c", "temperature, °C"), ("mhz", "frequency, MHz"), ("watts", "power, W")):
        values = [getattr(moment, field) for result in results for moment in result.over_time]
        known = {value for value in values if value is not None}
        if len(known) > 1 or (field == "temperature_c" and known):
            return field, words
    return None


def _lower(axes: Axes, results: Sequence[Result], looks: Sequence[Look], panel: tuple[str, str], per: float) -> None:
    for result, (_, colour, _) in zip(results, looks, strict=True):
        known = [(m.seconds / per, value) for m in result.over_time if (value := getattr(m, panel[0])) is not None]
        if known:
            axes.plot(*zip(*known, strict=True), "-", lw=1.1, color=colour)
    axes.set_ylabel(panel[1].replace(", ", ",\n"))
    axes.grid(axis="y")
    axes.margins(y=0.15)


def _spoken(result: Result, name: str) -> str:
    values = [moment.ms for moment in result.over_time]
    return f"{name}: {number(min(values))} to {number(max(values))} ms"
