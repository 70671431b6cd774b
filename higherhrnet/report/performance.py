"""The performance table's columns: measured figures, the guide's beside them, and ratios of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from higherhrnet.artifacts.inputs import Shape
from higherhrnet.artifacts.perf import Perf
from higherhrnet.errors import UserError
from higherhrnet.report import published
from higherhrnet.report.published import MARK, Guide, GuideColumn
from higherhrnet.report.tables import Column, shapes_of, with_ratios


@dataclass(frozen=True)
class Source:
    """One origin of figures: a result directory or a measurement. Has a column for each batch size and device."""

    label: str | None
    """None where batch size and device name the columns well enough."""
    figures: Sequence[Perf]
    note: str = ""
    """What the table's notes say of it, after its label."""

    def columns(self) -> list[Column]:
        """Named by the label, and by batch size and device where that alone would name several."""
        groups: dict[tuple[int, int], list[Perf]] = {}
        for figure in self.figures:
            groups.setdefault((figure.batch, figure.device), []).append(figure)
        several_devices = len({device for _, device in groups}) > 1
        result = []
        for (batch, device), figures in groups.items():
            if self.label is None:
                label = f"bs{batch} device {device}"
            else:
                label = self.label + f" bs{batch}" * (len(groups) > 1) + f" device {device}" * several_devices
            percentiles = {f.shape: f.percentiles for f in figures if f.percentiles}
            rates = {f.shape: f.images_per_second for f in figures}
            result.append(Column(label, rates, batch=batch, percentiles=percentiles))
        return result


def columns(
    sources: Sequence[Source],
    guide: Guide,
    beside: Sequence[GuideColumn] = (),
    *,
    chips: Mapping[str, int],
    ratios: Sequence[Sequence[str]],
) -> tuple[list[Column], list[str]]:
    """All columns of the table, ratios among them, and notes on them.

    Parameters
    ----------
    beside : columns of ``guide`` to show over the shapes of the sources
    chips : the number of chips on a card, by column label; other columns stay as they are
    ratios : labels of dividend and divisor; without any, columns of the first source are divided by all others of
        equal batch size

    Raises
    ------
    UserError : a label that names no column or two, or a column of the guide without any of the shapes
    """
    first, *rest = (source.columns() for source in sources)
    own = _as_cards([*first, *(column for group in rest for column in group)], chips)
    shapes = shapes_of(own)
    every = [*own, *from_guide(guide, beside, shapes)]
    _check_labels(every)
    if ratios:
        pairs = [_pair(names, every) for names in ratios]
    else:
        pairs = [(a.label, b.label) for a in own[: len(first)] for b in every[len(first) :] if a.batch == b.batch]
    notes = [f"{source.label}: {source.note}" for source in sources if source.note]
    notes += [
        f"{column.label}: a card of {chips[column.label]} chips, {chips[column.label]} times the figures of one"
        for column in own
        if column.label in chips
    ]
    if beside:
        notes += [f"{MARK}: figures of the guide, not measured here", *_slips(guide, pairs, shapes)]
    return with_ratios(every, pairs), notes


def from_guide(guide: Guide, beside: Sequence[GuideColumn], shapes: Collection[Shape]) -> list[Column]:
    """Columns of the guide over those shapes only: averages are then of the same shapes as the columns beside them.

    Raises
    ------
    UserError : a column that has none of the shapes
    """
    result = []
    for column in beside:
        cells = {shape: value for shape, value in column.cells.items() if shape in shapes}
        if not cells:
            raise UserError(f"--published {column.name}: the guide has none of the shapes measured; omit it")
        result.append(Column(published.label(column.name), cells, batch=guide.batch, published=True))
    return result


def _as_cards(own: Sequence[Column], chips: Mapping[str, int]) -> list[Column]:
    """Figures of whole cards: the chips of one work side by side, so that the rate grows and the latency does not."""
    labels = [column.label for column in own]
    if unknown := set(chips).difference(labels):
        raise UserError(f"--chips_per_card {min(unknown)}: the columns are {', '.join(labels)}")
    return [
        replace(column, figures={shape: chips.get(column.label, 1) * rate for shape, rate in column.figures.items()})
        for column in own
    ]


def _check_labels(every: Sequence[Column]) -> None:
    labels = [column.label for column in every]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UserError(f"two columns are called {twice[0]}; tell them apart with --label, or by --bs")


def _pair(names: Sequence[str], every: Sequence[Column]) -> tuple[str, str]:
    """The labels of the two columns to divide; a column of the guide may be named without its mark."""
    found = []
    for name in names:
        matching = [c.label for c in every if name in {c.label, c.label.removesuffix(f" {MARK}")}]
        if len(matching) != 1:
            raise UserError(f"--ratio {' '.join(names)}: the columns are {', '.join(c.label for c in every)}")
        found += matching
    return found[0], found[1]


def _slips(guide: Guide, pairs: Sequence[tuple[str, str]], shapes: Collection[Shape]) -> list[str]:
    """Which of the guide's own ratios differ from those of its figures, which the table shows."""
    lines = []
    for ratio in guide.ratios:
        cells = [
            f"{slip.printed} for {slip.computed} at ({slip.shape[0]},{slip.shape[1]})"
            for slip in published.slips(guide)
            if slip.of == ratio.of and slip.shape in shapes
        ]
        if cells and tuple(map(published.label, ratio.of)) in pairs:
            lines.append(f"{'/'.join(ratio.of)}: the guide divided before it rounded, and prints {', '.join(cells)}")
    return lines
