"""matplotlib figures as inline SVG whose colours and typeface are the page's.

matplotlib knows no CSS variables, so figures are drawn in stand-in colours, which are exchanged in the text of
the SVG. Dark mode then reaches into the pictures. The same figure gives the same bytes: no date, no version,
and identifiers from a fixed salt.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgebert.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE, SURFACE = "#010101", "#010102", "#010103", "#010104"
FORMATS = {"torch": "#010105", "onnx": "#010106", "openvino": "#010107", "tflite": "#010108"}
OTHER = "#010109"

_CSS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    SURFACE: "var(--surface)",
    OTHER: "var(--other)",
    **{colour: f"var(--{name})" for name, colour in FORMATS.items()},
}
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "svg.hashsalt": "edgebert",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 9.5,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
}


@contextmanager
def style() -> Iterator[None]:
    """Our look, whatever the user's matplotlibrc says; draw and save inside."""
    require("matplotlib", "host")
    import matplotlib.style

    with matplotlib.style.context([_STYLE], after_reset=True), warnings.catch_warnings():
        # Names in other scripts: the browser has the glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, outside of pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=72)
    made.patch.set_visible(False)
    FigureCanvasAgg(made)  # measures text; the SVG is drawn by `inline`
    return made


def inline(made: Figure, *, name: str, label: str) -> str:
    """The figure as an `<svg>` element.

    Args:
        made: drawn inside `style()`.
        name: unique in the page; goes before every identifier, since several pictures share one page.
        label: what the picture shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {box.group(0) if box else ""} role="img" aria-label="{html.escape(label, quote=True)}">'
    body = re.sub(r"<[^>]+>", lambda tag: _restyled(tag.group(0), name), text[text.index(">") + 1 :])
    return re.sub(r"\s*\n\s*", "\n", head + body).strip()


def _restyled(tag: str, name: str) -> str:
    """One tag with the page's colours and typeface; what stands between tags, such as names, is left alone."""
    tag = re.sub(r'\sid="[^"]*_\d+"|\stransform="rotate\(-?0 [^"]*"', "", tag)  # axes_1: nothing points at it
    tag = re.sub(r"font(-family)?:([^;\"]*)", _font, tag)
    for stand_in, colour in _CSS.items():
        tag = tag.replace(stand_in, colour)
    tag = re.sub(r"\d+\.\d{3,}", lambda figure: f"{float(figure.group(0)):.2f}", tag)
    return re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", tag)


def _font(match: re.Match[str]) -> str:
    """`font: 9px 'DejaVu Sans'` -> `font-size: 9px`; the typeface is the page's."""
    if match.group(1):
        return "font-family: inherit"
    size = re.search(r"[\d.]+px", match.group(2))
    weight = re.search(r"\b(bold|[5-9]00)\b", match.group(2))
    return f"font-size: {size.group(0) if size else '9px'}" + (f"; font-weight: {weight.group(0)}" if weight else "")
