"""The table of AP against speed, a row for each backend and precision, and its chart."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from higherhrnet.artifacts.inputs import Shape
from higherhrnet.report import chart, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SQUARE: Shape = (512, 512)
KIND = "a chart of AP and images per second"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LEAST_RANGE = 0.04  # of AP, on the axis
MEANING = (
    "AP over {images} images. Images per second: of the network alone on a batch, at 512x512 and the mean of the "
    "shapes; end to end both passes, from inputs on disk to people. People changed: moved by more than {distance:g} "
    "pixels, gone or new, of those of the first row. Peak memory is the process's"
)
"""What the columns are, to be filled in."""


@dataclass(frozen=True)
class Row:
    """What was measured of a backend and precision."""

    name: str
    runtime: str
    ap: float
    loss: float
    """What the first row's AP is higher by."""
    rates: Mapping[Shape, float]
    """Images per second of the network alone, by shape (H, W)."""
    end_to_end: float
    """Images per second, from inputs to people."""
    memory: float
    """MB."""
    size: float
    """MB."""
    changed: int
    """People that are not those of the first row."""
    people: int

    @property
    def square(self) -> float | None:
        """Images per second at SQUARE, None where no input has that shape."""
        return self.rates.get(SQUARE)

    @property
    def grid(self) -> float:
        """The plain mean of the shapes' images per second, as the guide averages."""
        return sum(self.rates.values()) / len(self.rates)


_HEADER = ("backend", "AP", "loss", "512x512 /s", "all shapes /s", "end to end /s", "peak MB", "model MB", "changed")


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Cells, the header first."""
    return [list(_HEADER), *(_cells(row) for row in rows)]


def _cells(row: Row) -> list[str]:
    square = "-" if row.square is None else f"{row.square:.2f}"
    rates = (square, f"{row.grid:.2f}", f"{row.end_to_end:.2f}")
    changed = f"{row.changed} of {row.people}"
    return [row.name, f"{row.ap:.4f}", f"{row.loss:+.4f}", *rates, f"{row.memory:.0f}", f"{row.size:.1f}", changed]


def formatted(rows: Sequence[Row], notes: Sequence[str], form: str, *, foot: str) -> str:
    """The table, notes and what the columns are, in one of tables.FORMATS; csv has no notes."""
    if form == "csv":
        return _as_csv(rows)
    if form == "json":
        content = [{**asdict(row), "rates": {f"{h}x{w}": rate for (h, w), rate in row.rates.items()}} for row in rows]
        return json.dumps({"rows": content, "notes": [*notes, foot]}, indent=2, ensure_ascii=False)
    cells = table(rows)
    shown = tables.as_markdown(cells) if form == "markdown" else tables.as_text(cells, summary=False)
    return "\n\n".join([shown, "\n".join([*(f"note: {note}" for note in notes), foot])])


def _as_csv(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    shapes = tables.guide_order(sorted(set().union(*(row.rates for row in rows))))
    header = ["backend", "runtime", "AP", "loss", *(f"{h}x{w} images/s" for h, w in shapes)]
    writer.writerow([*header, "end to end images/s", "peak MB", "model MB", "people changed", "people"])
    for row in rows:
        rates = [f"{row.rates[shape]:.6g}" if shape in row.rates else "" for shape in shapes]
        figures = (f"{value:.6g}" for value in (row.end_to_end, row.memory, row.size))
        writer.writerow(
            [row.name, row.runtime, f"{row.ap:.6f}", f"{row.loss:.6f}", *rates, *figures, row.changed, row.people]
        )
    return stream.getvalue().rstrip("\n")


def draw(rows: Sequence[Row], path: Path, check: Callable[[], object] = lambda: None) -> None:
    """Write a PNG of AP against images per second; ``check`` as of atomic.writing.

    Raises UserError without matplotlib.
    """
    chart.require()
    chart.save(figure(rows), path, KIND, check)


def figure(rows: Sequence[Row]) -> Figure:
    """The chart, on a canvas of its own."""
    # Imported here: a table needs none of it. Without pyplot: no state of the process's changes.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    made = Figure(figsize=(9.0, 6.0), layout="constrained", dpi=chart.DPI)
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    for i, row in enumerate(rows):  # in a legend: float32's points lie on each other
        label = f"{row.name}: AP {row.ap:.3f}, {row.grid:.1f} images/s"
        style = {"marker": _MARKERS[i % len(_MARKERS)], "color": chart.COLORS[i % len(chart.COLORS)]}
        axes.plot(row.grid, row.ap, linestyle="none", markersize=11, alpha=0.9, label=label, **style)  # type: ignore[arg-type]
    axes.set_xlabel("images per second of the network alone, mean of the shapes: further right is faster", fontsize=12)
    axes.set_ylabel("AP", fontsize=12)
    axes.set_title("HigherHRNet, accuracy against speed", fontsize=14)
    axes.grid(color="0.85")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(left=0)
    axes.margins(x=0.1)
    low, high = (function(row.ap for row in rows) for function in (min, max))
    room = max(_LEAST_RANGE - (high - low), 0.2 * (high - low)) / 2  # a thousandth must not look like a fall
    axes.set_ylim(low - room, high + room)
    made.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    return made
