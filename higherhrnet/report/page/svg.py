"""Matplotlib's figures as SVG that stands inside a page: in the page's colors and type, with ids of its own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.0
"""Inches of 72 units: as wide as a phone, where a unit of the drawing is then about a pixel."""

# Stand-ins that no drawing has otherwise; the page gives them its own colors, light or dark.
COLORS = {
    "#0a0000": "--ink",
    "#0a0001": "--muted",
    "#0a0002": "--grid",
    "#0a0003": "--blue",
    "#0a0004": "--orange",
    "#0a0005": "--green",
    "#0a0006": "--pink",
    "#0a0007": "--sky",
    "#0a0008": "--red",
}
INK, MUTED, GRID, BLUE, ORANGE, GREEN, PINK, SKY, RED = COLORS

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # texts stay texts, to be found, read aloud and set in the page's type
    "text.parse_math": False,  # a name may hold dollars
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}


def draw(name: str, title: str, height: float, paint: Callable[[Axes], None]) -> Markup:
    """A chart of WIDTH and ``height`` inches, titled for those who cannot see it.

    Parameters
    ----------
    name : unique in the page, of letters
    paint : draws on the axes; every text that it gives is escaped
    """
    # Imported here: only a page needs them. Without pyplot, and settings only meanwhile: no state changes.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        with warnings.catch_warnings():
            # Texts stay texts, in the reader's own fonts; matplotlib's only measures them.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            return _inline(figure, name, title)


def _inline(figure: Figure, name: str, title: str) -> Markup:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    size = re.search(r'viewBox="([^"]*)"', body)
    assert size, "matplotlib writes a viewBox"
    body = body[body.index(">") + 1 :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="|url\()#', rf"\1#{name}-", body)
    for color, variable in COLORS.items():
        body = body.replace(color, f"var({variable})")
    head = f'<svg class="chart" role="img" aria-labelledby="{name}-title" viewBox="{size[1]}">'
    return Markup(f'{head}<title id="{name}-title">{escape(title)}</title>{body}')
