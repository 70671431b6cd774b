"""The guide's performance table: images a second for every input shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Shape = tuple[int, int]
"""(H, W)"""


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


def table(columns: Mapping[str, Mapping[Shape, float]]) -> list[list[str]]:
    """Rows of cells: a header, a row a shape in the guide's order, and the row ``avg/min/max``.

    ``columns`` maps a label to images a second by shape (H, W). A shape that a column lacks shows ``-`` there.
    """
    shapes = guide_order(sorted(set().union(*columns.values())))
    rows = [["Input Shape", *columns]]
    digits = {label: _digits(column.values()) for label, column in columns.items()}
    for shape in shapes:
        cells = (f"{column[shape]:.{digits[label]}f}" if shape in column else "-" for label, column in columns.items())
        rows.append([f"({shape[0]},{shape[1]})", *cells])
    summary = []
    for label, column in columns.items():
        values = list(column.values())
        three = (sum(values) / len(values), min(values), max(values))
        summary.append("/".join(f"{value:.{digits[label]}f}" for value in three))
    return [*rows, ["avg/min/max", *summary]]


def stages(seconds: Mapping[str, float], whole: float, images: int, *, limit: str) -> str:
    """Time a stage of a run whose stages work side by side: seconds it worked, and images a second in these.

    ``whole`` is the run's time in seconds, ``limit`` the stage that the others wait for.
    """
    rows = [["stage", "seconds", "images/s"]]
    for stage, worked in seconds.items():
        rate = f"{images / worked:.2f}" if worked else "-"
        rows.append([stage + " (limits)" * (stage == limit), f"{worked:.1f}", rate])
    return as_text([*rows, ["run", f"{whole:.1f}", f"{images / whole:.2f}"]])


def _digits(values) -> int:
    """Decimals of a column: none as in the guide, two where whole images a second would say little."""
    return 0 if min(values) >= 10 else 2


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns with a rule under the header and above the last row."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(f"{cell:>{w}}" if i else f"{cell:<{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, as the guide prints it."""
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, "|" + "---|" * len(rows[0]), *body])
