"""The performance table as a bar chart: one group of bars per shape, one color per device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from higherhrnet.artifacts import atomic, outputs
from higherhrnet.errors import UserError
from higherhrnet.report.tables import Column, shapes_of
from higherhrnet.system import packages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "a chart of images per second"
# Okabe and Ito's palette (Color Universal Design, 2008); black last, as it hides its edges.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_HATCHES = ("", "///")  # measured here, published by others
DPI = 120
"""Dots an inch, of charts as they are saved."""
_MOST_WIDTH = 14.0  # inches: at page width the text of a wider picture is too small
_VALUE_WIDTH = 0.32  # inches that a bar needs for its value above it
_LEGEND_WIDTH = 5.5  # inches that an entry needs


def require() -> None:
    """Raise UserError unless matplotlib is installed: before anything is measured for a chart."""
    if not packages.is_installed("matplotlib"):
        raise UserError("--chart needs matplotlib, which is not installed; pip install 'matplotlib>=3.8,<4'")


def check(path: Path, kind: str, *, overwrite: bool) -> None:
    """Refuse to draw over what is no chart of that kind of this program's. Raises UserError."""
    outputs.check(path, "--chart", ours=outputs.marked(kind), overwrite=overwrite)


def draw(columns: Sequence[Column], path: Path, check: Callable[[], object] = lambda: None) -> None:
    """Write a PNG of the columns of images per second; ratios are left to the table. ``check`` as of atomic.writing.

    Raises UserError: matplotlib is not installed, more columns than there are colors, or a path that cannot be written.
    """
    require()
    devices = [column for column in columns if column.of is None]
    if len(devices) > len(COLORS):
        raise UserError(f"--chart: {len(devices)} columns, at most {len(COLORS)} can be told apart; omit some")
    save(figure(devices), path, KIND, check)


def save(made: Figure, path: Path, kind: str, check: Callable[[], object]) -> None:
    """Write a chart as a PNG with the mark of its kind; ``check`` as of atomic.writing."""
    with atomic.writing(path, check) as partial:
        made.savefig(str(partial), format="png", dpi=DPI, metadata={"Software": outputs.mark(kind)})


def figure(devices: Sequence[Column]) -> Figure:
    """The chart, on a canvas of its own."""
    # Imported here: a table needs none of it. Without pyplot: no state of the process's changes.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    shapes = shapes_of(devices)
    width = min(_MOST_WIDTH, max(7.0, 2.2 + len(shapes) * (0.35 + 0.35 * len(devices))))
    made = Figure(figsize=(width, 6.5), layout="constrained", dpi=DPI)
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    thickness = 0.84 / len(devices)
    for i, column in enumerate(devices):
        places = [j + (i - (len(devices) - 1) / 2) * thickness for j, s in enumerate(shapes) if s in column.figures]
        heights = [column.figures[s] for s in shapes if s in column.figures]
        style = {"color": COLORS[i], "edgecolor": "white", "linewidth": 0.5, "hatch": _HATCHES[column.published]}
        bars = axes.bar(places, heights, thickness, label=_label(column), **style)  # type: ignore[arg-type]
        if thickness * (width - 1) / len(shapes) >= _VALUE_WIDTH:
            axes.bar_label(bars, [f"{v:.{column.decimals}f}" for v in heights], fontsize=9, padding=2)
    axes.set_xticks(
        range(len(shapes)), [f"{h}x{w}" for h, w in shapes], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_xlim(-0.6, len(shapes) - 0.4)
    axes.set_xlabel("input shape, height x width", fontsize=12)
    axes.set_ylabel("images per second, higher is better", fontsize=12)
    axes.set_title("HigherHRNet, images per second of the network alone", fontsize=14)
    axes.grid(axis="y", color="0.85")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.06)
    axes.set_ylim(bottom=0)
    columns_beside = max(1, min(len(devices), int(width / _LEGEND_WIDTH)))
    made.legend(loc="outside lower center", ncols=columns_beside, frameon=False, fontsize=11)
    return made


def _label(column: Column) -> str:
    average, smallest, largest = (f"{value:.{column.decimals}f}" for value in column.avg_min_max)
    return f"{column.label}: {average} on average, {smallest} to {largest}"
