"""The performance table's columns: measured figures, the guide's beside them, and ratios of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from higherhrnet.artifacts.inputs import Shape
from higherhrnet.artifacts.perf import Perf
from higherhrnet.errors import UserError
from higherhrnet.report import origin, published
from higherhrnet.report.origin import Origin
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
        """Named by the label, and by batch size and device where that alone would name several.

        Figures of different work, of another kind of hardware, or that no record says the work of, are columns of
        their own, named by what differs.
        """
        places: dict[tuple[int, int], dict[Origin | None, list[Perf]]] = {}
        for figure in self.figures:
            by_origin = places.setdefault((figure.batch, figure.device), {})
            by_origin.setdefault(Origin.of(figure.made), []).append(figure)
        several_devices = len({device for _, device in places}) > 1
        has_records = any(figure.made is not None for figure in self.figures)
        result = []
        for (batch, device), by_origin in places.items():
            if self.label is None:
                label = f"bs{batch} device {device}"
            else:
                label = self.label + f" bs{batch}" * (len(places) > 1) + f" device {device}" * several_devices
            words = origin.labels(list(by_origin)) if has_records else [""]
            for (made, figures), word in zip(by_origin.items(), words, strict=True):
                percentiles = {f.shape: f.percentiles for f in figures if f.percentiles}
                rates = {f.shape: f.images_per_second for f in figures}
                name = f"{label} {word}" if word else label
                result.append(Column(name, rates, batch=batch, percentiles=percentiles, origin=made))
        return result

    def notes(self) -> list[str]:
        """What a reader must know of the columns beside their figures."""
        found = [f"{self.label}: {self.note}"] if self.note else []
        for column in self.columns():
            hosts = sorted({f.made.facts.host for f in self.figures if f.made and Origin.of(f.made) == column.origin})
            if len(hosts) > 1:
                found.append(f"{column.label}: measured on {len(hosts)} hosts, {', '.join(hosts)}")
        return found


def plausible(found: Sequence[Perf], directory: Path) -> tuple[list[Perf], list[str]]:
    """The figures that a device can have, and a note on the others. Raises UserError: none of them is left."""
    good = [figure for figure in found if not figure.fault]
    bad = [f"{figure.file} ({figure.fault})" for figure in found if figure.fault]
    if not bad:
        return good, []
    left_out = f"{directory}: no plausible figures: {', '.join(bad)}"
    if not good:
        raise UserError(f"{left_out}; run HigherHRNet_benchmark.py again")
    return good, [f"{left_out}; left out of the table and its averages"]


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

    Raises UserError: a label that names no column or two, or a column of the guide without any of the shapes.
    """
    groups = [source.columns() for source in sources]
    first = groups[0]
    own = _as_cards([column for group in groups for column in group], chips)
    shapes = shapes_of(own)
    every = [*own, *from_guide(guide, beside, shapes)]
    _check_labels(every)
    if ratios:
        pairs = [_pair(names, every) for names in ratios]
    else:
        pairs = [(a.label, b.label) for a in own[: len(first)] for b in every[len(first) :] if a.batch == b.batch]
    notes = [note for source in sources for note in source.notes()]
    notes += [
        f"{column.label}: a card of {chips[column.label]} chips, {chips[column.label]} times the figures of one"
        for column in own
        if column.label in chips
    ]
    if beside:
        notes += [f"{MARK}: figures of the guide, not measured here", *_slips(guide, pairs, shapes)]
    result = with_ratios(every, pairs)
    return result, [*notes, *_differences(sources, groups), *_unequal_shapes(result)]


def _differences(sources: Sequence[Source], groups: Sequence[Sequence[Column]]) -> list[str]:
    """In what the work of each source's columns differs from that of the first column, of the same batch size if any.

    Batch sizes that one command has measured have models of their own: these are what it was told.
    """
    lines: list[str] = []
    seen: dict[int, Column] = {}
    if not any(column.origin for group in groups for column in group):
        return lines
    for source, group in zip(sources, groups, strict=True):
        for column in group:
            if column.origin is None:
                lines.append(f"{column.label}: no record says what these figures are of")
                continue
            first = seen.get(column.batch) or next(iter(seen.values()), column)
            seen.setdefault(column.batch, column)
            different = column.origin.differing(first.origin) if first.origin is not None else []
            if any(first is other for other in group) and column.batch != first.batch:
                different = [] if source.note else [d for d in different if d.name != "batch"]  # which the label says
            if different:
                lines.append(f"{column.label} is not of the work of {first.label}: {', '.join(map(str, different))}")
    return lines


def _unequal_shapes(columns: Sequence[Column]) -> list[str]:
    """Over how many shapes the averages are, where these are not the same."""
    if len({frozenset(column.figures) for column in columns}) <= 1:
        return []
    counts = ", ".join(f"{column.label} over {len(column.figures)}" for column in columns)
    return [f"the averages are not over the same shapes: {counts}"]


def from_guide(guide: Guide, beside: Sequence[GuideColumn], shapes: Collection[Shape]) -> list[Column]:
    """Columns of the guide over those shapes only: averages are then of the same shapes as the columns beside them.

    Raises UserError: a column that has none of the shapes.
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
