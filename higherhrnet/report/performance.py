"""Where the performance table's columns come from: result directories, a measurement, the guide."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from higherhrnet.artifacts import atomic, inputs, models, perf
from higherhrnet.backends import select, trtexec
from higherhrnet.config.values import Config
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.report import published, tables
from higherhrnet.report.tables import Column
from higherhrnet.stages import measure, passes

BACKENDS = (select.ONNXRUNTIME, select.TORCH, trtexec.NAME)
_RESULT = Path("result")


@dataclass(frozen=True)
class _Source:
    """One origin of figures; a column for each batch size and device in it."""

    label: str | None
    figures: Sequence[perf.Perf]

    def columns(self) -> list[Column]:
        """Named by the label, and by batch size and device where that alone would name several."""
        groups: dict[tuple[int, int], list[perf.Perf]] = {}
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


def columns(args: argparse.Namespace, config: Config) -> tuple[list[Column], list[str]]:
    """All columns that the flags ask for, ratios among them, and remarks on them.

    Raises
    ------
    UserError : figures that are not there, labels that do not fit, or what measuring meets
    """
    results = args.result or ([] if args.backend else [_RESULT])
    labels = _labels(args, results)
    chips = {name: _chips(name, number) for name, number in args.chips_per_card or ()}
    guide = published.load()
    others = [guide.column(name) for name in args.published]
    notes: list[str] = []
    found: list[list[Column]] = []
    if args.backend:
        if not args.info:  # refused before anything is measured
            for column in others:
                _published(column, _shapes(args, config), guide.batch)
        made, name = _measure(args, config)
        found.append(_Source(labels[0] or name, made).columns())
        notes.append(f"{labels[0] or name}: measured on {'real' if args.info else 'random'} input")
    for label, directory in zip(labels[-len(results) :] if results else [], results, strict=True):
        found.append(_Source(label, perf.find(directory, batch=args.bs)).columns())
    own = [column for group in found for column in group]
    notes += [
        f"{column.label}: a card of {chips[column.label]} chips, {chips[column.label]} times the figures of one"
        for column in own
        if column.label in chips
    ]
    if unknown := set(chips) - {column.label for column in own}:
        raise UserError(f"--chips_per_card {unknown.pop()}: the columns are {', '.join(c.label for c in own)}")
    own = [_card(column, chips.get(column.label, 1)) for column in own]
    shapes = set().union(*(column.figures for column in own))
    every = [*own, *(_published(column, shapes, guide.batch) for column in others)]
    _check_names(every)
    pairs = _pairs(args, every, first=len(found[0]) if len(found) + len(others) > 1 else 0)
    return tables.with_ratios(every, pairs), [*notes, *_remarks(guide, every, pairs, shapes)]


def _published(column: published.Column, shapes: Container[tuple[int, int]], batch: int) -> Column:
    """A column of the guide over the shapes that there are own figures of: averages are then of the same shapes."""
    cells = {shape: value for shape, value in column.cells.items() if shape in shapes}
    if not cells:
        raise UserError(f"--published {column.name}: the guide has none of the shapes measured; leave it away")
    return Column(f"{column.name} ({published.MARK})", cells, batch=batch, published=True)


def _labels(args: argparse.Namespace, results: Sequence[Path]) -> list[str | None]:
    """A label a source, None where the columns' batch size and device name them well enough."""
    count = len(results) + bool(args.backend)
    if args.label:
        if len(args.label) != count:
            raise UserError(f"--label names {len(args.label)} of {count} sources of figures; give one for each")
        if unfit := [label for label in args.label if not label.isprintable()]:
            raise UserError(f"--label {unfit[0]!r}: expected characters that can be printed on a line")
        return list(args.label)
    measured: list[str | None] = [None] if args.backend else []
    alone = count == 1 and not args.published
    return measured + [None if alone else Path(os.path.realpath(directory)).name for directory in results]


def _chips(label: str, number: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", number) or int(number) < 1:
        raise UserError(f"--chips_per_card {label} {number[:40]}: expected a whole number of 1 to 999")
    return int(number)


def _card(column: Column, chips: int) -> Column:
    """A card's figures: its chips work side by side, so that only images a second grow, not latency."""
    return replace(column, figures={shape: chips * value for shape, value in column.figures.items()})


def _check_names(every: Sequence[Column]) -> None:
    names = [column.label for column in every]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two columns are called {name}; tell them apart with --label, or by --bs")


def _pairs(args: argparse.Namespace, every: Sequence[Column], *, first: int) -> list[tuple[str, str]]:
    """Which columns to divide: what --ratio says, or those of the first source by the others of equal batch size."""
    if not args.ratio:
        return [(a.label, b.label) for a in every[:first] for b in every[first:] if a.batch == b.batch]
    pairs = []
    for names in args.ratio:
        full = []
        for name in names:
            matching = [c.label for c in every if name in {c.label, c.label.removesuffix(f" ({published.MARK})")}]
            if len(matching) != 1:
                raise UserError(f"--ratio {' '.join(names)}: the columns are {', '.join(c.label for c in every)}")
            full += matching
        pairs.append((full[0], full[1]))
    return pairs


def _remarks(
    guide: published.Table,
    every: Sequence[Column],
    pairs: Sequence[tuple[str, str]],
    shapes: Container[tuple[int, int]],
) -> list[str]:
    """Where the guide's figures are from, and which of its ratio cells are not the ratios of its figures."""
    if not any(column.published for column in every):
        return []
    lines = [f"({published.MARK}): figures of the guide, not measured here"]
    slips = [slip for slip in published.slips(guide) if slip.shape in shapes]
    for ratio in guide.ratios:
        labels = tuple(f"{name} ({published.MARK})" for name in ratio.of)
        cells = [slip for slip in slips if slip.of == ratio.of]
        if labels in pairs and cells:
            said = ", ".join(f"{s.printed} for {s.computed} at ({s.shape[0]},{s.shape[1]})" for s in cells)
            lines.append(f"{'/'.join(ratio.of)}: the guide divided before it rounded, and prints {said}")
    return lines


def _measure(args: argparse.Namespace, config: Config) -> tuple[list[perf.Perf], str]:
    """The figures of all shapes and batch sizes, and what to call them."""
    if args.backend == trtexec.NAME:
        return _trtexec(args, config), trtexec.NAME
    files: dict[tuple[int, int], list[Path]] = {}
    dtype = inputs.FLOAT32
    if args.info:
        plain = passes.load(args.info, flip=False)
        files, dtype = dict(measure.of_pass(plain)), plain.dtype
    shapes = _shapes(args, config, list(files))
    sizes = args.bs or (1,)
    found = {batch: _model(args, batch) for batch in sizes}
    made, name = [], args.backend
    with tqdm(total=len(sizes) * len(shapes), desc="measure", unit="shape", disable=None) as bar:
        for batch, model in found.items():
            backend = select.in_process(
                args.backend,
                model,
                config.extra,
                heads=config.heads,
                batch=batch,
                threads=args.threads,
                providers=args.providers,
                precision=args.precision,
                device=args.device_id,
            )
            name = backend.name
            for shape in shapes:
                given = {"files": files.get(shape, ()), "dtype": dtype, "device": args.device_id}
                made.append(measure.measure(backend, shape, rounds=args.rounds, warm_up=args.warm_up, **given))
                bar.update()
    if args.save:
        atomic.make_directory(args.save)
        for figure in made:
            path = perf.path(args.save, figure.batch, figure.device, figure.shape)
            atomic.write_text(path, perf.execute_only(figure.images_per_second))
    return made, name


def _model(args: argparse.Namespace, batch: int) -> Path:
    if args.model:
        return args.model
    folder = Path("models")
    return models.find_checkpoint(folder) if args.backend == select.TORCH else models.find_onnx(folder, batch)


def _shapes(args: argparse.Namespace, config: Config, real: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """In the guide's order: those asked for, those of the real inputs, or the whole grid."""
    grid = geometry.shape_grid(config.plan.short_side)
    for shape in args.shapes or ():
        if shape not in grid or (real and shape not in real):
            known = ", ".join(f"{h}x{w}" for h, w in real or grid)
            whose = "those that --info lists" if real else f"those of DATASET.INPUT_SIZE {config.plan.short_side}"
            raise UserError(f"--shapes {shape[0]}x{shape[1]}: expected {whose}: {known}")
    return tables.guide_order(sorted(set(args.shapes or real or grid)))


def _trtexec_jobs(args: argparse.Namespace, config: Config) -> Iterator[tuple[Path, int, Path]]:
    """Model, batch size and folder of the logs."""
    if args.info or args.providers or args.precision:
        raise UserError(
            "--info, --providers and --precision are not for --backend trtexec: it runs --fp16, random input"
        )
    folder = args.save or _RESULT / trtexec.NAME
    for batch in args.bs or (1,):
        yield args.model or models.find_onnx(Path("models"), batch), batch, folder


def commands(args: argparse.Namespace, config: Config) -> list[str]:
    """The commands of trtexec as shell lines, each with its log.

    Raises
    ------
    UserError : another backend, or a model that is not there
    """
    if args.backend != trtexec.NAME:
        raise UserError("--print_commands prints trtexec's; give --backend trtexec")
    lines = []
    for model, batch, folder in _trtexec_jobs(args, config):
        shapes = _shapes(args, config)
        lines.append(f"mkdir -p {folder}")
        for command, log in trtexec.commands(model, shapes, batch=batch, device=args.device_id, folder=folder):
            lines.append(f"{command.shell()} > {log} 2>&1")
    return lines


def _trtexec(args: argparse.Namespace, config: Config) -> list[perf.Perf]:
    shapes = _shapes(args, config)
    jobs = list(_trtexec_jobs(args, config))
    with tqdm(total=len(jobs) * len(shapes), desc=trtexec.NAME, unit="shape", disable=None) as bar:
        for model, batch, folder in jobs:
            trtexec.run(
                model,
                shapes,
                batch=batch,
                device=args.device_id,
                folder=folder,
                timeout=args.timeout,
                done=lambda _shape: bar.update(),
            )
    sizes = {batch for _, batch, _ in jobs}
    return [f for f in perf.find(jobs[0][2], batch=sizes) if f.device == args.device_id and f.shape in shapes]
