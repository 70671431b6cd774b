"""The guide's performance table: images per second for every input shape, ratios of devices, and their summary."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from higherhrnet.artifacts.inputs import Shape
from higherhrnet.artifacts.perf import PERCENTILES
from higherhrnet.report.origin import Origin

SUMMARY = "avg/min/max"
FORMATS = ("text", "markdown", "csv", "json")


@dataclass(frozen=True)
class Column:
    """One device's figures, or the ratio of two columns."""

    label: str
    figures: Mapping[Shape, float]
    """Images per second, or a ratio, by shape (H, W)."""
    batch: int = 1
    published: bool = False
    """Whether others published the figures; their label says so."""
    of: tuple[str, str] | None = None
    """Of a ratio: the labels of dividend and divisor."""
    percentiles: Mapping[Shape, Mapping[int, float]] = field(default_factory=dict)
    """Milliseconds per batch, by shape and percentile, where they were measured."""
    origin: Origin | None = None
    """What the figures are of, where records say so."""

    @property
    def decimals(self) -> int:
        """None as in the guide, two of ratios; more of figures that would then say little."""
        if self.of is None:
            return 0 if min(self.figures.values()) >= 10 else 2
        return 2 if min(self.figures.values()) >= 0.1 else 4

    @property
    def avg_min_max(self) -> tuple[float, float, float]:
        """Plain mean, smallest and largest of the shapes' values: of a ratio those of the ratios, as in the guide."""
        values = list(self.figures.values())
        return sum(values) / len(values), min(values), max(values)


def ratio(dividend: Column, divisor: Column) -> Column | None:
    """The ratio of two columns over the shapes that both have; None where there are none."""
    common = [shape for shape in dividend.figures if shape in divisor.figures]
    if not common:
        return None
    return Column(
        f"{dividend.label}/{divisor.label}",
        {shape: dividend.figures[shape] / divisor.figures[shape] for shape in common},
        of=(dividend.label, divisor.label),
    )


def with_ratios(columns: Sequence[Column], pairs: Sequence[tuple[str, str]]) -> list[Column]:
    """The columns, each pair's ratio (dividend, divisor) right after the later of its two, as the guide places them.

    Raises KeyError: a pair that names no column.
    """
    by_label = {column.label: column for column in columns}
    place = {column.label: i for i, column in enumerate(columns)}
    result: list[Column] = []
    for i, column in enumerate(columns):
        result.append(column)
        for dividend, divisor in pairs:
            if max(place[dividend], place[divisor]) == i and (made := ratio(by_label[dividend], by_label[divisor])):
                result.append(made)
    return result


def guide_order(shapes: Sequence[Shape]) -> list[Shape]:
    """Sort shapes (H, W) as the guide's table lists them: the square, the two longest, then wide, then tall ones."""

    def rank(shape: Shape) -> tuple[int, Shape]:
        height, width = shape
        if height == width:
            return 0, shape
        if max(height, width) == 2 * min(height, width):
            return 1, shape
        return (2 if width > height else 3), shape

    return sorted(shapes, key=rank)


def table(columns: Sequence[Column]) -> list[list[str]]:
    """Rows of cells: a header, one row per shape in the guide's order, and the row ``avg/min/max``.

    Where a column lacks a shape, the cell is ``-``.
    """
    rows = [["Input Shape", *(column.label for column in columns)]]
    for shape in shapes_of(columns):
        cells = (f"{c.figures[shape]:.{c.decimals}f}" if shape in c.figures else "-" for c in columns)
        rows.append([f"({shape[0]},{shape[1]})", *cells])
    return [*rows, [SUMMARY, *("/".join(f"{v:.{c.decimals}f}" for v in c.avg_min_max) for c in columns)]]


def latencies(columns: Sequence[Column]) -> list[list[str]]:
    """Rows of milliseconds per batch, PERCENTILES of the columns that have them; [] where none has."""
    measured = [column for column in columns if column.percentiles]
    if not measured:
        return []
    rows = [["ms per batch", *(f"{column.label} p{percent}" for column in measured for percent in PERCENTILES)]]
    for shape in shapes_of(measured):
        found = (column.percentiles.get(shape, {}).get(percent) for column in measured for percent in PERCENTILES)
        rows.append([f"({shape[0]},{shape[1]})", *("-" if value is None else f"{value:.2f}" for value in found)])
    return rows


def shapes_of(columns: Sequence[Column]) -> list[Shape]:
    """The shapes that any of the columns has, in the guide's order."""
    return guide_order(sorted(set().union(*(column.figures for column in columns))))


def stages(seconds: Mapping[str, float], whole: float, images: int, *, limit: str) -> str:
    """The time of each stage of a run whose stages work side by side: seconds at work, images per second of these.

    ``whole`` is the run's time in seconds, ``limit`` the stage that the others wait for.
    """
    rows = [["stage", "seconds", "images/s"]]
    for stage, worked in seconds.items():
        rate = f"{images / worked:.2f}" if worked else "-"
        rows.append([stage + " (limits)" * (stage == limit), f"{worked:.1f}", rate])
    return as_text([*rows, ["run", f"{whole:.1f}", f"{images / whole:.2f}"]])


def formatted(columns: Sequence[Column], notes: Sequence[str], form: str, *, foot: str = "") -> str:
    """The table, the latencies where there are any, and the notes (csv has none), in one of FORMATS.

    ``foot`` is what the figures mean: the last line for a reader, none of the notes on single columns.
    """
    if form == "csv":
        return as_csv(columns)
    if form == "json":
        return as_json(columns, notes)
    rows, times = table(columns), latencies(columns)
    if form == "markdown":
        parts = [as_markdown(rows), as_markdown(times) if times else ""]
    else:
        parts = [as_text(rows), as_text(times, summary=False) if times else ""]
    said = [f"note: {note}" for note in notes]
    return "\n\n".join(filter(None, [*parts, "\n".join([*said, *[f"images per second: {foot}"] * bool(foot)])]))


def as_text(rows: Sequence[Sequence[str]], *, summary: bool = True) -> str:
    """Aligned columns with a rule under the header, and above the last row where that is a summary."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(f"{cell:>{w}}" if i else f"{cell:<{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    end = [rule, lines[-1]] if summary else [lines[-1]]
    return "\n".join([lines[0], rule, *lines[1:-1], *end])


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, as the guide prints it."""
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, "|" + "---|" * len(rows[0]), *body])


def as_csv(columns: Sequence[Column]) -> str:
    """One line per shape, figures of six digits, measured percentiles; then one line each for avg, min and max."""
    percentiles = [(c, p) for c in columns for p in sorted(set().union(*(c.percentiles.values())))]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["shape HxW", *(c.label for c in columns), *(f"{c.label} p{p} ms" for c, p in percentiles)])
    for shape in shapes_of(columns):
        figures = [c.figures.get(shape) for c in columns]
        times = [c.percentiles.get(shape, {}).get(p) for c, p in percentiles]
        cells = ("" if value is None else f"{value:.6g}" for value in (*figures, *times))
        writer.writerow([f"{shape[0]}x{shape[1]}", *cells])
    for i, name in enumerate(SUMMARY.split("/")):
        writer.writerow([name, *(f"{c.avg_min_max[i]:.6g}" for c in columns), *("" for _ in percentiles)])
    return stream.getvalue().rstrip("\n")


def as_json(columns: Sequence[Column], notes: Sequence[str]) -> str:
    """All there is, unrounded: a list of columns, shapes as HxW in the guide's order, and the notes."""
    content = [
        {
            "label": c.label,
            "kind": "ratio" if c.of else "published" if c.published else "measured",
            "of": c.of,
            "batch": c.batch,
            "figures": {_name(s): c.figures[s] for s in guide_order(list(c.figures))},
            "percentiles_ms": {_name(s): dict(c.percentiles[s]) for s in guide_order(list(c.percentiles))},
            **dict(zip(SUMMARY.split("/"), c.avg_min_max, strict=True)),
        }
        for c in columns
    ]
    return json.dumps({"columns": content, "notes": list(notes)}, indent=2, ensure_ascii=False)


def _name(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"
