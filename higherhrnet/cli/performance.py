"""Stage 6: the guide's performance table: from the benchmark stage's figures, or measured here.

    python3 HigherHRNet_performance.py
    python3 HigherHRNet_performance.py --result a b --label 310P T4 --chart performance.png
    python3 HigherHRNet_performance.py --backend torch --bs 1,8 --rounds 50 --published 310P_tuned T4
    python3 HigherHRNet_performance.py --compare result/dumpOutput_device0_bs1 result/dumpOutput_device0_bs8

Images per second of the network call alone, for every input shape (H,W) that was measured, with average, smallest and
largest, and the ratios of devices. --compare is for accuracy: two dump directories, with _flip beside them; its exit
status is 1 where they differ by more than the tolerances.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from higherhrnet.artifacts import figures, inputs, models, perf, seen
from higherhrnet.artifacts.inputs import Shape
from higherhrnet.backends import choices, factory, model_file, trtexec
from higherhrnet.cli import benchmark, decoding, flags, terminal, uses
from higherhrnet.cli import inference as inference_flags
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.report import chart, performance, published, tables
from higherhrnet.stages import compare, measure, passes
from higherhrnet.system import workers

_BACKENDS = (choices.ONNXRUNTIME, choices.TORCH, trtexec.NAME, choices.OPENVINO)
_RESULT = Path("result")
_LOGS = _RESULT / trtexec.NAME


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, or the comparison."""
    args, config = flags.parse(_parser(), argv)
    uses.check("performance", argv, backend=args.backend or "")
    if args.compare:
        _compare(args, config)
        return
    if args.benchmark == "True":
        _benchmark(args)
    if args.chart:
        chart.require()
        chart.check(args.chart, chart.KIND, overwrite=args.overwrite)
    if args.print_commands:
        print("\n".join(measure.trtexec_lines(_job(args, config), args.save or _LOGS)))
        return
    columns, notes = _columns(args, config)
    foot = perf.MEANING if any(column.origin is not None for column in columns) else ""
    print(tables.formatted(columns, notes, args.format, foot=foot))
    if args.chart:
        chart.draw(columns, args.chart, partial(chart.check, args.chart, chart.KIND, overwrite=args.overwrite))


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "performance")
    add = parser.add_argument_group("table").add_argument
    add("--result", type=Path, nargs="+", metavar="DIR", help="folders of performance files; by default result")
    add("--label", nargs="+", metavar="NAME", help="names, of what is measured and then of each --result")
    add("--bs", type=flags.batch_sizes, metavar="N[,N...]", help="only these batch sizes; to measure, by default 1")
    add("--published", nargs="+", default=(), metavar="NAME", help="add these columns of the guide, marked as such")
    ratio = "divide the first column by the second; by default the first source by all others"
    add("--ratio", nargs=2, action="append", metavar="LABEL", help=ratio)
    chips = "count a card of N chips: 4 for the 310, of which a run uses one; the 310P and others need none"
    add("--chips_per_card", nargs=2, action="append", default=[], metavar=("LABEL", "N"), help=chips)
    add("--format", choices=tables.FORMATS, default="text", help="of the table")
    add("--chart", type=Path, metavar="FILE.png", help="draw the table as a bar chart too; needs matplotlib")
    group = parser.add_argument_group("measuring here")
    add = group.add_argument
    run = "run HigherHRNet_benchmark.py on the plain inputs first, as the guide's original does"
    add("--benchmark", choices=("True", "False"), help=run)
    add("--backend", choices=_BACKENDS, help="measure with this backend")
    add("--rounds", type=flags.count, default=30, metavar="N", help="timed batches per shape")
    add("--warm_up", type=flags.count_or_none, default=3, metavar="N", help="untimed batches per shape before them")
    add("--model", type=Path, metavar="FILE", help=".onnx or, for torch, .pth; by default the one in models/")
    add("--info", metavar="NAME", help="measure on the inputs that NAME_HxW.info list; by default on random ones")
    add("--shapes", type=shapes, default=[], metavar="HxW,...", help="only these shapes; by default all")
    add("--device_id", type=flags.device_id, metavar="D", help="number of the GPU; 0 without it")
    add("--threads", type=flags.thread_count, default=0, metavar="N", help="of the CPU; 0 leaves it to the backend")
    inference_flags.add_in_process(group)
    add("--save", type=Path, metavar="DIR", help="keep the figures there as performance files")
    add("--overwrite", action="store_true", help="replace performance files of other work and other programs there")
    add("--timeout", type=flags.non_negative, default=0, metavar="S", help="seconds of one trtexec run; 0 is no limit")
    add("--print_commands", action="store_true", help="print trtexec's commands and run none")
    add = parser.add_argument_group("accuracy").add_argument
    add("--compare", type=Path, nargs=2, metavar="DIR", help="compare dump directories: the reference and another")
    tolerance = "allowed difference of outputs, relative to the largest value; for float16 about 0.02"
    add("--tolerance", type=flags.non_negative, default=1e-3, metavar="T", help=tolerance)
    add("--ap_tolerance", type=flags.non_negative, default=0.005, metavar="T", help="allowed difference of AP")
    add("--distance", type=flags.non_negative, default=0.1, metavar="PX", help="pixels that a keypoint may move")
    changed = "name at most so many of the people who changed, those of the highest scores; 0 names none"
    add("--changed", type=flags.count_or_none, default=20, metavar="N", help=changed)
    add("--workers", type=flags.process_count, default=workers.cores(), metavar="N", help="processes that decode")
    flags.add_config(parser)
    return parser


def shapes(text: str) -> list[tuple[int, int]]:
    """An argparse type: shapes (H, W), as in 512x512,512x704."""
    if not re.fullmatch(r"[0-9]{1,9}x[0-9]{1,9}(,[0-9]{1,9}x[0-9]{1,9})*", text):
        raise argparse.ArgumentTypeError(f"{text[:40]} is no list of shapes like 512x512,512x704")
    return [(int(h), int(w)) for h, w in re.findall(r"(\d+)x(\d+)", text)]


def _benchmark(args: argparse.Namespace) -> None:
    """The guide's original measures with the benchmark tool, plain inputs alone, and then makes the table."""
    if args.backend or args.result:
        raise UserError("--benchmark True measures into result; call it apart from --backend and --result")
    sizes = ",".join(map(str, args.bs or (1,)))
    benchmark.main(["--bs", sizes, "--cfg", str(args.cfg), *args.opts, "TEST.FLIP_TEST", "False"])


def _columns(args: argparse.Namespace, config: Config) -> tuple[list[tables.Column], list[str]]:
    """The table's columns and notes, of a measurement, result directories and the guide."""
    results = args.result or ([] if args.backend else [_RESULT])
    labels = _labels(args, results)
    named = [label for label, _ in args.chips_per_card]
    if twice := [label for label in named if named.count(label) > 1]:
        raise UserError(f"--chips_per_card names {twice[0]} {len(twice)} times; give each label one number")
    chips = {label: _chips(label, number) for label, number in args.chips_per_card}
    guide = published.load()
    beside = [guide.column(name) for name in args.published]
    sources = []
    if args.backend:
        job = _job(args, config)
        if not args.info:
            performance.from_guide(guide, beside, job.shapes)  # refused before anything is measured
        name, measured = _measured(args, config, job)
        note = f"measured on {'real' if args.info else 'random'} input"
        sources.append(performance.Source(labels.pop(0) or name, measured, note))
    left_out = []
    for label, directory in zip(labels, results, strict=True):
        found, faults = performance.plausible(perf.find(directory, batch=args.bs), directory)
        sources.append(performance.Source(label, found))
        left_out += faults
    columns, notes = performance.columns(sources, guide, beside, chips=chips, ratios=args.ratio)
    return columns, [*left_out, *notes]


def _labels(args: argparse.Namespace, results: Sequence[Path]) -> list[str | None]:
    """One label per source, None where the backend's name, or batch size and device, name it well enough."""
    count = len(results) + bool(args.backend)
    if args.label:
        if len(args.label) != count:
            raise UserError(f"--label names {len(args.label)} of {count} sources of figures; give one for each")
        if unfit := [label for label in args.label if not label.isprintable()]:
            raise UserError(f"--label {unfit[0]!r}: expected characters that can be printed on a line")
        return list(args.label)
    if count == 1 and not args.published:
        return [None]
    return [None] * bool(args.backend) + [Path(os.path.realpath(directory)).name for directory in results]


def _chips(label: str, number: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", number) or int(number) < 1:
        raise UserError(f"--chips_per_card {label} {number[:40]}: expected a whole number of 1 to 999")
    return int(number)


def _job(args: argparse.Namespace, config: Config) -> measure.MeasureJob:
    """What to measure. The model of each batch size is found before any is measured."""
    real = passes.load(args.info, flip=False) if args.info else None
    files = {group.shape: [entry.path for entry in group.entries] for group in real.groups} if real else {}
    chosen = _shapes(args, config, list(files))
    found = {batch: _model(args, config, batch) for batch in args.bs or (1,)}
    data, dataset = figures.RANDOM, ""
    if real:
        known = real.made is not None and bool(real.made.pictures)
        stamps = "" if known else seen.digest(real.stamps)
        data, dataset = figures.data_of(real.made, stamps)
    return measure.MeasureJob(
        found,
        chosen,
        _device(args),
        rounds=args.rounds,
        warm_up=args.warm_up,
        files=files,
        dtype=real.dtype if real else inputs.FLOAT32,
        stamps=real.stamps if real else {},
        data=data,
        dataset=dataset,
        threads=0 if args.backend == trtexec.NAME else args.threads,
        precision=args.precision if args.backend == trtexec.NAME else None,
        tuned=args.tuned and args.backend == trtexec.NAME,
    )


def _device(args: argparse.Namespace) -> int:
    """The number of the GPU, which --device names too."""
    return inference_flags.options(args, batch=1).device


def _shapes(args: argparse.Namespace, config: Config, real: Sequence[Shape]) -> list[Shape]:
    """In the guide's order: those asked for, those of the real inputs, or the whole grid."""
    grid = geometry.shape_grid(config.plan.short_side)
    for shape in args.shapes:
        if shape not in grid or (real and shape not in real):
            known = ", ".join(f"{h}x{w}" for h, w in real or grid)
            whose = "those that --info lists" if real else f"those of DATASET.INPUT_SIZE {config.plan.short_side}"
            raise UserError(f"--shapes {shape[0]}x{shape[1]}: expected {whose}: {known}")
    return tables.guide_order(sorted(set(args.shapes or real or grid)))


def _model(args: argparse.Namespace, config: Config, batch: int) -> Path:
    if args.backend == choices.TORCH:
        path = model_file.checkpoint_of(args.model, config)
        if path.is_file():  # which the backend says otherwise
            model_file.check_checkpoint(path, config)
        return path
    path = args.model or models.find_onnx(choices.MODELS, batch)
    if path.is_file():
        model_file.check_onnx(path, config)
    return path


def _measured(args: argparse.Namespace, config: Config, job: measure.MeasureJob) -> tuple[str, list[perf.Perf]]:
    """The backend's name and what was measured."""
    by_trtexec = args.backend == trtexec.NAME
    desc = trtexec.NAME if by_trtexec else "measure"
    with tqdm(total=len(job.models) * len(job.shapes), desc=desc, unit="shape", disable=None) as bar:
        if by_trtexec:
            found = measure.with_trtexec(
                job, args.save or _LOGS, timeout=args.timeout, done=bar.update, overwrite=args.overwrite
            )
            return trtexec.NAME, found
        make = partial(
            factory.in_process,
            args.backend,
            extra=config.extra,
            heads=config.heads,
            threads=args.threads,
            providers=args.providers,
            precision=args.precision,
            device=job.device,
            run_on=args.run_on[0],
            tuned=args.tuned,
            largest=inputs.largest(job.shapes),
        )
        return measure.in_process(job, make, save=args.save, done=bar.update, overwrite=args.overwrite)


def _compare(args: argparse.Namespace, config: Config) -> None:
    config.require_plain()
    dataset = coco.load(config.location.annotations, config.protocol)
    decoding.prepare(terminal.say)
    with workers.Pool(args.workers) as pool:
        if pool.remark:
            print(f"note: {pool.remark}")
        found = compare.run(
            dataset,
            *args.compare,
            short_side=config.plan.short_side,
            heads=config.heads,
            options=config.options,
            names=config.joints.names,
            protocol=config.protocol,
            pool=pool,
            distance=args.distance,
            named=args.changed,
        )
    print(compare.text(found, distance=args.distance), flush=True)
    if beyond := compare.problems(found, tolerance=args.tolerance, ap_tolerance=args.ap_tolerance):
        raise UserError(f"{args.compare[1]} is not {args.compare[0]}: {'; '.join(beyond)}")
