"""The report of `compress.py`: tables in Markdown, size and latency against the metric as SVG."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from edgebert.statistics import Interval

Found = Mapping[str, Any]


def write_report(found: Sequence[Found], has: Mapping[str, bool], total: int, folder: Path, command: str) -> list[Path]:
    """Write `compress.md` and two figures for each data set; gives back their paths.

    Args:
        found: the cells' results, of whatever parts there are.
        has: ingredient -> whether the base has it.
        total: how many cells were wanted.
        folder: for the files.
        command: that made them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    lines = [
        "# What each choice of compression brings",
        "",
        f"Made by `{command}`: {len(found)} of {total} cells. Every figure is of an INT8 file, measured on one computer"
        f" ({_all(found, 'cpu')}; {_all(found, 'engine')}); intervals are 95 %.",
    ]
    for name in sorted({cell["data"] for cell in found}):
        cells = [cell for cell in found if cell["data"] == name]
        lines += ["", f"## {name}", ""]
        for axis, title in (("model_bytes", "file, MB"), ("engine_ms", "engine alone, ms (median)")):
            path = folder / f"compress-{name}-{'size' if axis == 'model_bytes' else 'latency'}.svg"
            if _draw(cells, axis, title, path):
                lines += [f"![{name}: {title} against the metric]({path.name})", ""]
                written.append(path)
        lines += [*_grid(cells), *_levels(cells), *_ablation(cells, has)]
        if any(cell["invalid"] for cell in cells):
            lines += ["", "Times in italics were taken while other work went on, and say little."]
    page = folder / "compress.md"
    page.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    return [page, *written]


def difference(with_it: Mapping[str, float], without: Mapping[str, float]) -> Interval | None:
    """The mean difference over the seeds that both have, with Student's t interval; None for fewer than two.

    Args:
        with_it: seed -> metric.
        without: likewise.
    """
    from scipy.stats import t

    pairs = [with_it[seed] - without[seed] for seed in sorted(with_it.keys() & without.keys())]
    if len(pairs) < 2:
        return None
    mean, half = fmean(pairs), float(t.ppf(0.975, len(pairs) - 1)) * stdev(pairs) / math.sqrt(len(pairs))
    return Interval(mean, mean - half, mean + half)


def engine(cell: Found) -> tuple[str, float] | None:
    """The shortest sequence length, and the engine's median milliseconds at it."""
    known = {length: taken for length, taken in cell["engine_ms"].items() if taken is not None}
    if not known:
        return None
    length = min(known, key=int)
    return length, float(known[length])


def _grid(cells: Sequence[Found]) -> Iterator[str]:
    shown = [cell for cell in cells if cell["part"] in ("teacher", "grid")]
    if not shown:
        return
    at = next((length for cell in shown if (taken := engine(cell)) for length in [taken[0]]), "?")
    factors = list(next((cell["levels"] for cell in shown if cell["part"] == "grid"), {}))
    name = shown[0]["metric"]["name"]
    yield from _table([*factors, "MB", f"ms at {at} tokens", f"{name}, %", "interval"])
    for cell in sorted(shown, key=lambda cell: (cell["part"] != "teacher", -cell["model_bytes"])):
        figure, taken = cell["metric"], engine(cell)
        levels = ["the teacher", *[""] * (len(factors) - 1)]
        if cell["part"] == "grid":
            levels = [cell["levels"][factor] for factor in factors]
        time = "" if taken is None else f"*{taken[1]:.2f}*" if cell["invalid"] else f"{taken[1]:.2f}"
        yield _row([
            *levels, f"{cell['model_bytes'] / 1e6:.2f}", time, f"{100 * figure['value']:.2f}",
            f"{100 * figure['low']:.2f} to {100 * figure['high']:.2f}",
        ])  # fmt: skip


def _levels(cells: Sequence[Found]) -> Iterator[str]:
    """The means over all cells of the grid that share a level."""
    grid = [cell for cell in cells if cell["part"] == "grid"]
    if len(grid) < 2:
        return
    yield from ("", "Means over the cells with each level:", "")
    yield from _table(["factor", "level", "cells", "MB", "ms", "metric, %"])
    for factor in grid[0]["levels"]:
        for level in dict.fromkeys(cell["levels"][factor] for cell in grid):
            chosen = [cell for cell in grid if cell["levels"][factor] == level]
            times = [taken[1] for cell in chosen if (taken := engine(cell))]
            size = fmean(cell["model_bytes"] for cell in chosen) / 1e6
            figure = 100 * fmean(cell["metric"]["value"] for cell in chosen)
            time = f"{fmean(times):.2f}" if times else ""
            yield _row([factor, level, str(len(chosen)), f"{size:.2f}", time, f"{figure:.2f}"])


def _ablation(cells: Sequence[Found], has: Mapping[str, bool]) -> Iterator[str]:
    """What each ingredient brings: the metric with it less the metric without, seed by seed."""
    figures: dict[str, dict[str, float]] = defaultdict(dict)
    for cell in cells:
        if cell["part"] == "ablation":
            figures[cell["levels"]["changed"]][cell["levels"]["seed"]] = 100 * cell["metric"]["value"]
    base = figures.pop("", {})
    if not base or not figures:
        return
    yield from ("", f"What each ingredient brings, over {len(base)} seeds (paired; Student's t):", "")
    yield from _table(["ingredient", "with, %", "without, %", "difference, points", "interval", ""])
    for ingredient, changed in figures.items():
        with_it, without = (base, changed) if has[ingredient] else (changed, base)
        found = difference(with_it, without)
        told = ["", "", "one seed says nothing"]
        if found is not None:
            verdict = "helps" if found.low > 0 else "harms" if found.high < 0 else "no effect seen"
            told = [f"{found.value:+.2f}", f"{found.low:+.2f} to {found.high:+.2f}", verdict]
        yield _row([ingredient, f"{fmean(with_it.values()):.2f}", f"{fmean(without.values()):.2f}", *told])


def _draw(cells: Sequence[Found], axis: str, title: str, path: Path) -> bool:
    """Metric against size or time, a mark for each cell of the grid; whether there was something to draw."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    shown = [cell for cell in cells if cell["part"] in ("teacher", "grid") and (axis == "model_bytes" or engine(cell))]
    if not shown:
        return False
    with matplotlib.rc_context({"svg.hashsalt": "edgebert", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        looks: dict[tuple[str, str], list[Found]] = defaultdict(list)
        for cell in shown:
            is_grid = cell["part"] == "grid"
            depth, losses = (cell["levels"]["layers"], cell["levels"]["losses"]) if is_grid else ("", "")
            looks[(depth, losses)].append(cell)
        depths = sorted({depth for depth, _ in looks if depth})
        kinds = sorted({losses for _, losses in looks if losses})
        for (depth, losses), group in sorted(looks.items()):
            x = [
                cell["model_bytes"] / 1e6 if axis == "model_bytes" else (engine(cell) or ("", 0.0))[1] for cell in group
            ]
            y = [100 * cell["metric"]["value"] for cell in group]
            spread = [[100 * (cell["metric"]["value"] - cell["metric"]["low"]) for cell in group],
                      [100 * (cell["metric"]["high"] - cell["metric"]["value"]) for cell in group]]  # fmt: skip
            mark = "osD^v"[kinds.index(losses) % 5] if depth else "*"
            colour = f"C{depths.index(depth)}" if depth else "black"
            label = f"{depth} layers, {losses}" if depth else "the teacher, INT8"
            axes.errorbar(x, y, yerr=spread, fmt=mark, color=colour, label=label, ms=7 if depth else 10,
                          elinewidth=0.8, alpha=0.85)  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(title)
        axes.set_ylabel(f"{shown[0]['metric']['name']}, %")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8, framealpha=0.8)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return True


def _table(names: Sequence[str]) -> Iterator[str]:
    yield _row(names)
    yield _row(["---"] * len(names))


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"


def _all(found: Sequence[Found], key: str) -> str:
    return ", ".join(sorted({str(cell[key]) for cell in found if cell.get(key)})) or "unknown"
