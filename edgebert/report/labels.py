"""Names beside points and lines in a picture, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgebert.report import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

_SIZE = 9.0  # points


@dataclass(frozen=True)
class Named:
    """A point in data coordinates, and how it looks."""

    x: float
    y: float
    name: str
    colour: str
    marker: str = ""


# Where a name may stand, best first: offset in points and alignment. Far places get a leader line.
_NEAR = [(9, 0, "left"), (-9, 0, "right"), (0, 12, "center"), (0, -12, "center")]
_FAR = [
    (dx, dy, "left" if dx > 0 else "right")
    for distance in (16, 28, 42, 58, 76, 96, 118)
    for dx in (14, -14, 40, -40)
    for dy in (distance, -distance)
]


def place(axes: Axes, points: Sequence[Named], avoid: Sequence[Text] = ()) -> None:
    """Write each point's name where it covers no marker and no other name; where that fails, a legend.

    Args:
        axes: with its limits and scales set.
        points: those to name.
        avoid: other texts of the axes.
    """
    from matplotlib.transforms import Bbox

    spots = [axes.transData.transform((point.x, point.y)) for point in points]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in spots] + [_extent(axes, text) for text in avoid]
    chosen: list[tuple[Named, tuple[int, int, str]]] = []
    # From the left, so that crowded neighbours are pushed to the same side and leader lines do not cross.
    for index in sorted(range(len(points)), key=lambda i: tuple(spots[i])):
        width, height = _size(axes, points[index].name)
        for offset in [*_NEAR, *_FAR]:
            box = _box(spots[index], offset, width, height)
            if _free(box, [*taken[:index], *taken[index + 1 :]], axes.bbox):
                taken.append(box)
                chosen.append((points[index], offset))
                break
        else:
            _legend(axes, points)
            return
    for point, offset in chosen:
        _write(axes, point, offset[:2], offset[2], leader=offset not in _NEAR)


def remark(axes: Axes, height: float, words: str, points: Sequence[tuple[float, float]]) -> None:
    """Write about a horizontal line, beside it, at the end and on the side where it covers no marker.

    Args:
        axes: with its limits and scales set, except for the vertical one's last change.
        height: of the line, in data coordinates.
        words: what it means.
        points: in data coordinates.
    """
    spots = [axes.transData.transform(point) for point in points]
    text = None
    for end, offset in ((1, 7), (1, -8), (0, 7), (0, -8), (1, 7)):
        if text is not None:
            text.remove()
        text = axes.annotate(
            words, (end, height), xycoords=("axes fraction", "data"), xytext=(2 - 4 * end, offset),
            textcoords="offset points", ha="right" if end else "left", va="center", color=svg.MUTED, fontsize=8.5,
        )  # fmt: skip
        box = _extent(axes, text).padded(7)
        if not any(box.contains(x, y) for x, y in spots):
            return


def widest(axes: Axes, names: Sequence[str], size: float = _SIZE) -> float:
    """Width of the widest name, in points."""
    return max(_size(axes, name, size)[0] for name in names)


def _write(axes: Axes, point: Named, offset: tuple[float, float], side: str, *, leader: bool) -> None:
    line = {"arrowstyle": "-", "color": point.colour, "lw": 0.7, "shrinkA": 1, "shrinkB": 4}
    axes.annotate(
        point.name, (point.x, point.y), xytext=offset, textcoords="offset points", ha=side, va="center",
        color=svg.INK, fontsize=_SIZE, annotation_clip=False,
        arrowprops={**line, "relpos": (0 if side == "left" else 1, 0.5)} if leader else None,
    )  # fmt: skip


def _legend(axes: Axes, points: Sequence[Named]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=p.colour, marker=p.marker, ls="", ms=6, label=p.name) for p in points]
    axes.legend(handles=handles, frameon=False, fontsize=_SIZE, labelcolor=svg.INK, loc="best")


def _size(axes: Axes, name: str, size: float = _SIZE) -> tuple[float, float]:
    text = axes.text(0, 0, name, fontsize=size)
    box = _extent(axes, text)
    text.remove()
    return box.width, box.height


def _extent(axes: Axes, text: Text) -> Bbox:
    canvas: Any = axes.get_figure(root=True).canvas  # type: ignore[union-attr]
    return text.get_window_extent(canvas.get_renderer())


def _box(spot: Any, offset: tuple[int, int, str], width: float, height: float) -> Bbox:
    from matplotlib.transforms import Bbox

    dx, dy, side = offset
    left = spot[0] + dx - {"left": 0.0, "center": width / 2, "right": width}[side]
    return Bbox.from_bounds(left, spot[1] + dy - height / 2, width, height)


def _free(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> bool:
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 and frame.y0 <= box.y0 and box.y1 <= frame.y1 + 4
    return inside and not any(box.overlaps(other) for other in taken)


def spread(axes: Axes, ends: Sequence[Named], gap: float = 11.0) -> None:
    """Write names to the right of the axes at the height of their lines' ends, `gap` points apart at least.

    Args:
        axes: with its limits and scales set.
        ends: the last point of each line.
        gap: between the middles of two names.
    """
    order = sorted(ends, key=lambda end: end.y)
    starts = [axes.transData.transform((end.x, end.y)) for end in order]
    heights = _apart([float(start[1]) for start in starts], gap)
    shift = min(0.0, axes.bbox.y1 - heights[-1])
    for end, start, height in zip(order, starts, heights, strict=True):
        _write(axes, end, (axes.bbox.x1 + 12 - start[0], height + shift - start[1]), "left", leader=True)


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved as little as keeps neighbours `gap` apart: runs that touch share their mean."""
    runs: list[list[float]] = []
    for height in wanted:
        runs.append([height])
        while len(runs) > 1 and _bottom(runs[-1], gap) < _top(runs[-2], gap) + gap:
            runs[-2:] = [runs[-2] + runs[-1]]
    return [_bottom(run, gap) + gap * index for run in runs for index in range(len(run))]


def _bottom(run: Sequence[float], gap: float) -> float:
    return sum(run) / len(run) - gap * (len(run) - 1) / 2


def _top(run: Sequence[float], gap: float) -> float:
    return sum(run) / len(run) + gap * (len(run) - 1) / 2
