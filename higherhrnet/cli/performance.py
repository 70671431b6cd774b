"""Stage 6: the guide's performance table: from the benchmark stage's figures, or measured here.

    python3 HigherHRNet_performance.py
    python3 HigherHRNet_performance.py --result a b --label 310P T4 --chart performance.png
    python3 HigherHRNet_performance.py --backend torch --bs 1,8 --rounds 50 --published 310P_tuned T4
    python3 HigherHRNet_performance.py --compare result/dumpOutput_device0_bs1 result/dumpOutput_device0_bs8

Images a second of the network call alone, for every input shape (H,W) that was measured, with average, smallest and
largest, and the ratios of devices. --compare is for accuracy: two dump directories, with _flip beside them; its exit
status is 1 where they differ by more than the tolerances.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from higherhrnet import decode
from higherhrnet.cli import flags
from higherhrnet.cli import inference as inference_flags
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.report import chart, performance, tables
from higherhrnet.stages import compare
from higherhrnet.system import workers

_FORMATS = ("text", "markdown", "csv", "json")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, or the comparison."""
    args, config = flags.parse(_parser(), argv)
    if args.compare:
        _compare(args, config)
        return
    if args.chart:
        chart.require()
    if args.print_commands:
        for line in performance.commands(args, config):
            print(line)
        return
    columns, notes = performance.columns(args, config)
    print(_formatted(columns, notes, args.format))
    if args.chart:
        chart.draw(columns, args.chart)


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "performance")
    table = parser.add_argument_group("table")
    table.add_argument("--result", type=Path, nargs="+", metavar="DIR", help="where figures are; result without it")
    table.add_argument("--label", nargs="+", metavar="NAME", help="of what is measured, then of each --result")
    table.add_argument("--bs", type=flags.batch_sizes, metavar="N[,N...]", help="these batch sizes; all without it")
    table.add_argument("--published", nargs="+", default=(), metavar="NAME", help="columns of the guide, marked so")
    table.add_argument(
        "--ratio", nargs=2, action="append", metavar="LABEL", help="divide two columns; the first by others without it"
    )
    table.add_argument(
        "--chips_per_card",
        nargs=2,
        action="append",
        metavar=("LABEL", "N"),
        help="count a card of N chips: 4 for the 310, of which a run uses one; 310P and others need none",
    )
    table.add_argument("--format", choices=_FORMATS, default="text", help="of the table")
    table.add_argument("--chart", type=Path, metavar="FILE.png", help="draw it too; needs matplotlib")
    measure = parser.add_argument_group("measuring here")
    measure.add_argument("--backend", choices=performance.BACKENDS, help="measure with this one")
    measure.add_argument("--rounds", type=flags.count, default=30, metavar="N", help="batches a shape that count")
    measure.add_argument(
        "--warm_up", type=flags.count_or_none, default=3, metavar="N", help="batches before them that do not"
    )
    measure.add_argument("--model", type=Path, metavar="FILE", help=".onnx or, for torch, .pth; found in models/")
    measure.add_argument("--info", metavar="NAME", help="real inputs, NAME_HxW.info; random ones without it")
    measure.add_argument("--shapes", type=shapes, metavar="HxW,...", help="only these shapes; all without it")
    measure.add_argument("--device_id", type=flags.device_id, default=0, metavar="D", help="which GPU")
    measure.add_argument(
        "--threads", type=flags.thread_count, default=0, metavar="N", help="of the CPU; 0 leaves it to the backend"
    )
    inference_flags.add_in_process(measure)
    measure.add_argument("--save", type=Path, metavar="DIR", help="keep the figures as performance files there")
    measure.add_argument(
        "--timeout", type=flags.non_negative, default=0, metavar="S", help="limit of one run of trtexec; 0 is none"
    )
    measure.add_argument("--print_commands", action="store_true", help="print trtexec's commands, run none")
    accuracy = parser.add_argument_group("accuracy")
    accuracy.add_argument("--compare", type=Path, nargs=2, metavar="DIR", help="reference and other dump directory")
    accuracy.add_argument(
        "--tolerance",
        type=flags.non_negative,
        default=1e-3,
        metavar="T",
        help="of the largest value; for float16 about 0.02",
    )
    accuracy.add_argument("--ap_tolerance", type=flags.non_negative, default=0.005, metavar="T", help="of AP")
    accuracy.add_argument(
        "--distance", type=flags.non_negative, default=0.1, metavar="PX", help="a keypoint may move, in pixels"
    )
    accuracy.add_argument("--workers", type=flags.process_count, default=workers.cores(), metavar="N", help="processes")
    flags.add_config(parser)
    return parser


def shapes(text: str) -> list[tuple[int, int]]:
    """An argparse type: shapes (H, W), as in 512x512,512x704."""
    if not re.fullmatch(r"[0-9]{1,9}x[0-9]{1,9}(,[0-9]{1,9}x[0-9]{1,9})*", text):
        raise argparse.ArgumentTypeError(f"{text[:40]} is no list of shapes like 512x512,512x704")
    return [(int(h), int(w)) for h, w in re.findall(r"(\d+)x(\d+)", text)]


def _formatted(columns: Sequence[tables.Column], notes: Sequence[str], form: str) -> str:
    if form == "csv":
        return tables.as_csv(columns)
    if form == "json":
        return tables.as_json(columns, notes)
    rows, times = tables.table(columns), tables.latencies(columns)
    if form == "markdown":
        parts = [tables.as_markdown(rows), *([tables.as_markdown(times)] if times else [])]
    else:
        parts = [tables.as_text(rows), *([tables.as_text(times, summary=False)] if times else [])]
    said = "\n".join(f"note: {note}" for note in notes)
    return "\n\n".join([*parts, *([said] if said else [])])


def _compare(args: argparse.Namespace, config: Config) -> None:
    if args.backend or args.result or args.published or args.chart:
        raise UserError("--compare makes no table; call it apart from --backend, --result, --published and --chart")
    config.require_plain()
    dataset = coco.load(config.location.annotations, coco.COCO)
    if not decode.is_compiled():
        decode.compile()
    with workers.Pool(args.workers) as pool:
        found = compare.run(
            dataset,
            *args.compare,
            short_side=config.plan.short_side,
            heads=config.heads,
            options=config.options,
            pool=pool,
            distance=args.distance,
        )
    print(compare.text(found, distance=args.distance), flush=True)
    if beyond := compare.problems(found, tolerance=args.tolerance, ap_tolerance=args.ap_tolerance):
        raise UserError(f"{args.compare[1]} is not {args.compare[0]}: {'; '.join(beyond)}")
