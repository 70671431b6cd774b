"""Published figures to compare with: the guide's table, in guide.json. None of them was measured by this project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts.inputs import Shape
from higherhrnet.errors import UserError

MARK = "(published)"
"""Ends the labels of such figures."""
_FILE = Path(__file__).with_name("guide.json")


@dataclass(frozen=True)
class GuideColumn:
    """One device's column of the guide: images per second by shape, in batches of one."""

    name: str
    about: str
    cells: dict[Shape, float]
    avg_min_max: str
    """As printed."""


@dataclass(frozen=True)
class GuideRatio:
    """A ratio column as the guide prints it."""

    of: tuple[str, str]
    """Names of the columns divided, the dividend first."""
    cells: dict[Shape, float]
    avg_min_max: str


@dataclass(frozen=True)
class Guide:
    """The guide's table."""

    batch: int
    columns: dict[str, GuideColumn]
    ratios: tuple[GuideRatio, ...]

    def column(self, name: str) -> GuideColumn:
        """A column by its name. Raises UserError for another name."""
        if name not in self.columns:
            raise UserError(f"--published {name}: the guide's columns are {', '.join(self.columns)}")
        return self.columns[name]


@dataclass(frozen=True)
class Slip:
    """A cell of a ratio column that is not the ratio of the figures printed beside it, both rounded to 0.01."""

    of: tuple[str, str]
    shape: Shape
    printed: str
    computed: str


def label(name: str) -> str:
    """What the table calls a column of the guide."""
    return f"{name} {MARK}"


def load() -> Guide:
    """Read the guide's table."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    columns = [GuideColumn(c["name"], c["about"], _cells(c["cells"]), c["avg_min_max"]) for c in content["columns"]]
    ratios = [GuideRatio((r["of"][0], r["of"][1]), _cells(r["cells"]), r["avg_min_max"]) for r in content["ratios"]]
    return Guide(content["batch"], {c.name: c for c in columns}, tuple(ratios))


def _cells(values: dict[str, float]) -> dict[Shape, float]:
    cells = {}
    for name, value in values.items():
        height, width = map(int, name.split("x"))
        cells[height, width] = float(value)
    return cells


def slips(guide: Guide) -> list[Slip]:
    """Where the guide's own arithmetic is off. It divided before it rounded: its figures allow every cell it prints."""
    found = []
    for ratio in guide.ratios:
        dividend, divisor = (guide.column(name).cells for name in ratio.of)
        for shape, printed in ratio.cells.items():
            computed = f"{dividend[shape] / divisor[shape]:.2f}"
            if computed != f"{printed:.2f}":
                found.append(Slip(ratio.of, shape, f"{printed:.2f}", computed))
    return found
