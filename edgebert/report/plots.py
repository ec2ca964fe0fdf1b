"""The pictures of a report, as inline SVG: accuracy against latency, latency, engine time by length, over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.report import svg
from edgebert.report.labels import Named, place, remark, spread, widest
from edgebert.report.model import Result
from edgebert.report.picture import HEIGHT as _HEIGHT
from edgebert.report.picture import WIDTH as _WIDTH
from edgebert.report.picture import Picture
from edgebert.report.plots_time import over_time
from edgebert.report.view import number
from edgebert.statistics import MINIMUM_SAMPLES, percentile_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "oD^svPX<>"
_LINES = 5  # of latency over time that one can tell apart


def pictures(results: Sequence[Result], *, max_drop: float | None = None, prefix: str = "p") -> list[Picture]:
    """The pictures of one device that its results can fill; none of an emulated one.

    Args:
        results: of one device.
        max_drop: points below the teacher that the gates allow, drawn as a line.
        prefix: unique in the page, for identifiers.
    """
    timed = [result for result in results if not result.emulated]
    drawn = []
    with svg.style():
        if sum(_point(result) is not None for result in timed) > 1:
            drawn.append(_accuracy_latency(timed, max_drop, f"{prefix}-accuracy"))
        if sampled := [r for r in timed if sum(map(len, r.samples_ms)) >= MINIMUM_SAMPLES[50]]:
            drawn.append(_distribution(sampled, f"{prefix}-latency"))
        if swept := [r for r in timed if len(r.engine_ms) > 1]:
            drawn.append(_engine(swept, f"{prefix}-engine"))
        if watched := [r for r in timed if len(r.over_time) > 1]:
            if len(watched) > _LINES:  # the reference models make way
                watched = [r for r in watched if r.role == "artifact"] or watched
            looks = [(_named(r), *_look(r, timed)) for r in watched]
            drawn += over_time(watched, looks, f"{prefix}-time")
    return drawn


def _accuracy_latency(results: Sequence[Result], max_drop: float | None, name: str) -> Picture:
    made = svg.figure(_WIDTH, _HEIGHT)
    axes = made.add_axes((0.125, 0.14, 0.85, 0.82))
    shown = [(result, point) for result in results if (point := _point(result)) is not None]
    for result, (x, y) in shown:
        colour, marker = _look(result, results)
        interval = percentile_interval(result.samples_ms, 50)
        if result.metric:
            axes.plot([x, x], [100 * result.metric.low, 100 * result.metric.high], color=colour, lw=1.2, alpha=0.35)
        if interval:
            axes.plot([interval.low, interval.high], [y, y], color=colour, lw=1.2, alpha=0.4, zorder=1)
        axes.plot(x, y, marker, ms=7, mfc=colour if result.valid else "none", mec=colour, mew=1.2, zorder=3)
    if len(front := _front([(x, y) for result, (x, y) in shown if result.valid])) > 1:
        axes.step(*zip(*front, strict=True), where="post", color=svg.MUTED, lw=0.9, alpha=0.7, zorder=0)
    teacher = next((result for result in results if result.role == "teacher" and result.metric), None)
    _log_axis(axes, [x for _, (x, _) in shown], 1.7)
    axes.set_xlabel("median latency, ms — text in, answer out")
    axes.set_ylabel(f"{shown[0][0].metric.name if shown[0][0].metric else 'metric'}, %")
    axes.grid(axis="y")
    axes.margins(y=0.16)
    if teacher and teacher.metric and max_drop is not None:
        floor = 100 * teacher.metric.value - max_drop
        axes.axhline(floor, color=svg.MUTED, lw=0.9, ls=(0, (4, 3)))
        words = f"{max_drop:g} point{'' if max_drop == 1 else 's'} below the teacher"
        remark(axes, floor, words, [point for _, point in shown])
    place(axes, [Named(x, y, _named(r), *_look(r, results)) for r, (x, y) in shown], avoid=axes.texts)
    caption = (
        "Up and to the left is better. Lines are 95 % intervals; the steps join what nothing else beats in both; "
        "the horizontal axis is logarithmic."
    )
    return Picture("Accuracy against latency", caption, svg.inline(made, name=name, label=_spoken(shown)))


def _distribution(results: Sequence[Result], name: str) -> Picture:
    rows = len(results)
    height = max(_HEIGHT, 0.62 + 0.44 * rows)
    made = svg.figure(_WIDTH, height)
    axes = made.add_axes((0.3, 0.44 / height, 0.5, 1 - 0.5 / height))
    left = (widest(axes, [_named(result) for result in results], 9.5) + 8) / (72 * _WIDTH)
    axes.set_position((left, 0.44 / height, 0.89 - left, 1 - 0.5 / height))
    for index, result in enumerate(results):
        base, colour = float(rows - 1 - index), _look(result, results)[0]
        launches = [np.asarray(launch) for launch in result.samples_ms if len(launch)]
        samples = np.concatenate(launches)
        x, density = _density(samples)
        axes.fill_between(x, base, base + 0.74 * density, color=colour, lw=0, alpha=0.28 if result.valid else 0.1)
        axes.plot(x, base + 0.74 * density, color=colour, lw=1.2, ls="-" if result.valid else (0, (2, 2)))
        axes.plot([np.median(launch) for launch in launches], [base - 0.09] * len(launches), "o", ms=2.6,
                  color=colour, mew=0, alpha=0.8, clip_on=False)  # fmt: skip
        for q, length in ((50, 0.74), (90, 0.3), (99, 0.3)):
            value = getattr(result.latency_ms, f"p{q}")
            if value is not None:
                axes.plot([value, value], [base, base + length], color=colour, lw=1.6 if q == 50 else 1.1)
        text = "" if result.latency_ms.p50 is None else number(result.latency_ms.p50)
        axes.annotate(text, (1.02, base + 0.1), xycoords=("axes fraction", "data"), color=svg.INK, va="bottom")
    everything = [value for r in results for launch in r.samples_ms for value in launch]
    _log_axis(axes, everything, 1.06)
    axes.set_ylim(-0.3, rows - 0.08)
    axes.set_yticks([rows - 1 - i + 0.22 for i in range(rows)], [_named(result) for result in results])
    axes.tick_params(axis="y", length=0, labelcolor=svg.INK)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("latency, ms (logarithmic)")
    medians = "; ".join(f"{r.name} {number(r.latency_ms.p50)} ms" for r in results if r.latency_ms.p50 is not None)
    caption = (
        "Every sample of every launch. Tall line and figure: the median; short lines: p90 and p99, where the "
        "sample carries them. Dots: the median of each launch."
    )
    return Picture("How latency is spread", caption, svg.inline(made, name=name, label=f"Median latency: {medians}"))


def _engine(results: Sequence[Result], name: str) -> Picture:
    made = svg.figure(_WIDTH, _HEIGHT)
    axes = made.add_axes((0.11, 0.14, 0.5, 0.82))
    right = (widest(axes, [_named(result) for result in results]) + 16) / (72 * _WIDTH)
    axes.set_position((0.11, 0.14, 0.88 - right, 0.82))
    ends: list[Named] = []
    for result in results:
        colour, marker = _look(result, results)
        lengths = sorted(map(int, result.engine_ms))
        times = [result.engine_ms[str(length)] for length in lengths]
        axes.plot(lengths, times, "-", marker=marker, ms=4.5, lw=1.4, color=colour, mew=0)
        ends.append(Named(lengths[-1], times[-1], _named(result), colour))
    every = sorted({int(length) for result in results for length in result.engine_ms})
    _log_axis(axes, [t for result in results for t in result.engine_ms.values()], 1.15, axis="y")
    axes.set_xscale("log", base=2)
    axes.set_xticks(every, [str(length) for length in every])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("sequence length, tokens")
    axes.set_ylabel("engine alone, ms")
    axes.grid(axis="y")
    spread(axes, ends)
    caption = "Median time of the engine alone, without tokenization, at fixed lengths. Both axes are logarithmic."
    spoken = "; ".join(
        f"{r.name}: " + ", ".join(f"{n} {number(t)} ms" for n, t in r.engine_ms.items()) for r in results
    )
    return Picture("Engine time against sequence length", caption, svg.inline(made, name=name, label=spoken))


def _point(result: Result) -> tuple[float, float] | None:
    """Latency (ms) and metric (percent), where both are known."""
    if result.metric is None or result.latency_ms.p50 is None or result.latency_ms.p50 <= 0:
        return None
    return result.latency_ms.p50, 100 * result.metric.value


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both latency (lower is better) and metric (higher is), from the quickest."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def _look(result: Result, results: Sequence[Result]) -> tuple[str, str]:
    """Colour by format, marker by the place among the results of that format."""
    same = [other for other in results if other.format == result.format]
    return svg.FORMATS.get(result.format, svg.OTHER), _MARKERS[same.index(result) % len(_MARKERS)]


def _named(result: Result, most: int = 24) -> str:
    """The name as it fits into a picture: shortened in the middle, where two runs' names differ least."""
    half = (most - 1) // 2
    printable = " ".join("".join(c if c.isprintable() else " " for c in result.name).split())
    name = printable if len(printable) <= most else f"{printable[:half]}…{printable[-half:]}"
    return name if result.valid else f"{name} (invalid)"


def _spoken(shown: Sequence[tuple[Result, tuple[float, float]]]) -> str:
    return "; ".join(f"{result.name}: {y:.2f} % at {number(x)} ms" for result, (x, y) in shown)


def _log_axis(axes: Axes, values: Sequence[float], room: float, axis: str = "x") -> None:
    """A logarithmic axis around the values, with `room` as a factor at both ends, and plain numbers on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = (max(value, 1e-6) for value in (min(values) / room, max(values) * room))
    decades = np.log10(high / low)
    steps = (1.0,) if decades > 3.5 else (1.0, 3.0) if decades > 1.8 else (1.0, 2.0, 5.0)
    target: Any = axes.xaxis if axis == "x" else axes.yaxis
    getattr(axes, f"set_{axis}scale")("log")
    getattr(axes, f"set_{axis}lim")(low, high)
    target.set_major_locator(LogLocator(base=10, subs=steps))
    target.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    target.set_minor_locator(NullLocator())
    target.set_minor_formatter(NullFormatter())


def _density(samples: NDArray[np.float64], points: int = 120) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian kernel density of log latency (bandwidth: Silverman 1986, eq. 3.31), its top at 1.

    Args:
        samples: milliseconds, positive.
        points: where it is evaluated.
    """
    logs = np.sort(np.log(np.maximum(samples, 1e-6)))
    lower, upper = np.percentile(logs, [25, 75])
    width = min(float(logs.std()), float(upper - lower) / 1.34) or float(logs.std()) or 0.01
    width = max(0.9 * width * logs.size**-0.2, 1e-3)
    grid = np.linspace(logs[0] - 2 * width, logs[-1] + 2 * width, points)
    curve = np.exp(-0.5 * ((grid[:, None] - logs[None, :]) / width) ** 2).sum(axis=1)
    return np.exp(grid), curve / curve.max()
