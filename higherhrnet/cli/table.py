"""AP against images per second: a row for each backend and precision that can run here, measured in one run.

    higherhrnet table --model models/X_bs1_dynamic.onnx --info ./prep_bin --info_flip ./prep_bin_flip --chart table.png

The INT8 model is the one that higherhrnet quantize made beside --model. The first row, float32 in ONNX Runtime, is what
the others' people are compared with.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from higherhrnet.artifacts import models
from higherhrnet.backends import choices, select
from higherhrnet.cli import decoding, flags, terminal, uses
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, evaluation
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, origin, quantized
from higherhrnet.model.fingerprint import Seen
from higherhrnet.report import accuracy as report
from higherhrnet.report import chart, tables
from higherhrnet.stages import accuracy, passes
from higherhrnet.stages import table as stage
from higherhrnet.system import hardware

_BACKENDS = (choices.ONNXRUNTIME, choices.OPENVINO, choices.TORCH)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all rows, and print the table."""
    args, config = flags.parse(_parser(), argv)
    uses.check("table", argv)
    config.require_plain()
    evaluation.require()
    _check_used(args)
    if args.chart:
        chart.require()
        chart.check(args.chart, report.KIND, overwrite=args.overwrite)
    model = args.model or models.find_onnx(choices.MODELS, args.bs)
    int8 = args.int8 or model.with_name(f"{model.stem}_int8.onnx")
    if args.int8 and not int8.is_file():
        raise UserError(f"--int8 {int8} does not exist; make it with higherhrnet quantize")
    found = _of_one_network(model, int8 if int8.is_file() else None, args.weights)
    wanted, notes = stage.variants(model, int8 if int8.is_file() else None, args.weights, args.backends)
    if not wanted:
        raise UserError(f"nothing to measure ({'; '.join(notes)}); install a backend, or give other --backends")
    for variant in wanted:  # refused before any is measured
        if variant.model.suffix == ".onnx":
            select.Inference(
                choices.InferenceOptions(backend=variant.backend, model=variant.model, batch=args.bs), config
            )
    job = _job(args, config)
    decoding.prepare(terminal.say)
    with tqdm(total=len(wanted), desc="measure", unit="row", disable=None) as bar:
        rows = stage.measure(job, wanted, done=bar.update)
    for one in found:  # each row loads its model itself
        one.check("rows were measured")
    notes.insert(0, f"{hardware.cpu()}, {', '.join(dict.fromkeys(row.runtime for row in rows))}")
    if calibrated := max(row.calibrated_on for row in rows):
        notes.insert(0, f"int8 was calibrated on {calibrated} of these images: its figures flatter it")
    first = rows[0]
    shown = [_row(first, row, args, config.options.sigmas) for row in rows]
    foot = report.MEANING.format(images=first.found.images, distance=args.distance)
    print(report.formatted(shown, notes, args.format, foot=foot))
    if args.chart:
        report.draw(shown, args.chart, partial(chart.check, args.chart, report.KIND, overwrite=args.overwrite))


def _check_used(args: argparse.Namespace) -> None:
    """Refuse flags of backends that no row is of."""
    for flag, given, users in (
        ("--weights", args.weights, {choices.TORCH}),
        ("--int8", args.int8, {choices.ONNXRUNTIME, choices.OPENVINO}),
        ("--device", args.openvino_device, {choices.OPENVINO}),
    ):
        if given and not users.intersection(args.backends):
            raise UserError(f"{flag} is for {' or '.join(sorted(users))}, which --backends leaves out; omit it")


def _of_one_network(model: Path, int8: Path | None, weights: Path | None) -> list[Seen]:
    """The models as they are now; refuse an INT8 file or a checkpoint of another network than the .onnx.

    Raises
    ------
    UserError : naming the digests that differ, or a file that cannot be read
    """
    found = [fingerprint.see(model)]
    if int8 is not None:
        found.append(fingerprint.see(int8))
        made = quantized.read(int8)
        if made is None:
            raise UserError(f"--int8 {int8} is not in INT8; make one that is with higherhrnet quantize")
        if made.work is not None and made.work.onnx != found[0].sha256:
            raise UserError(
                f"{int8} was quantized from a model of digest {made.work.onnx[:12]}, but {model} has "
                f"{found[0].sha256[:12]}: rows would be of two networks; quantize that again with higherhrnet quantize "
                f"--model {model}, or give the .onnx that it was made from with --model"
            )
    if weights is not None:
        found.append(fingerprint.see(weights))
        exported = origin.weights(model)
        if exported and exported != found[-1].sha256:
            raise UserError(
                f"{model} was exported from a checkpoint of digest {exported[:12]}, but --weights {weights} has "
                f"{found[-1].sha256[:12]}: rows would be of two networks; run HigherHRNet_pth2onnx.py --weights "
                f"{weights}, or give the checkpoint that it was made from"
            )
    return found


def _row(first: stage.Measured, row: stage.Measured, args: argparse.Namespace, sigmas: Sequence[float]) -> report.Row:
    found = row.found
    people = stage.changed(first, row, sigmas, distance=args.distance)
    ap = found.figures["AP"]
    return report.Row(
        row.name,
        row.runtime,
        ap,
        first.found.figures["AP"] - ap,
        {shape: 1000 * args.bs / taken for shape, taken in found.milliseconds.items()},
        found.images / found.whole,
        row.memory,
        row.size,
        people.changed,
        people.reference,
    )


def _job(args: argparse.Namespace, config: Config) -> stage.TableJob:
    plain, flip = passes.load(args.info, flip=False), passes.load(args.info_flip, flip=True)
    passes.check_pair(plain, flip)
    dataset = coco.load(config.location.annotations, config.protocol)
    accuracy.check((plain, flip), dataset)
    return stage.TableJob(
        dataset,
        (plain, flip),
        config.plan,
        config.options,
        config.heads,
        config.extra,
        batch=args.bs,
        threads=args.threads,
        openvino_device=args.openvino_device or "CPU",
        protocol=config.protocol,
    )


def backends(text: str) -> tuple[str, ...]:
    """An argparse type: names of backends that run in this process, each once."""
    found = flags.names(text)
    if not found or len(set(found)) < len(found) or not set(found) <= set(_BACKENDS):
        raise argparse.ArgumentTypeError(f"{text[:40]} is no list of {', '.join(_BACKENDS)}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "table")
    add = parser.add_argument
    add("--model", type=Path, metavar="FILE", help="float32 .onnx; by default the one in models/")
    add("--int8", type=Path, metavar="FILE", help="its INT8 model; NAME_int8.onnx beside it without it, if it is there")
    add("--weights", type=Path, metavar="FILE", help="checkpoint, for torch")
    add("--backends", type=backends, default=_BACKENDS, metavar="B,B", help="to measure, in this order")
    add("--bs", type=flags.batch_size, default=1, metavar="N", help="batch size")
    add("--threads", type=flags.thread_count, default=0, metavar="N", help="of the CPU; 0 leaves it to the backends")
    add(
        "--device",
        dest="openvino_device",
        metavar="NAME",
        help="openvino: CPU, which it is without it, GPU, NPU, AUTO ...",
    )
    add("--info", default="./prep_bin", metavar="NAME", help="lists of the inputs, without _HxW.info")
    add("--info_flip", default="./prep_bin_flip", metavar="NAME", help="lists of the mirrored inputs")
    distance = "pixels by which a keypoint may move while its person is the same"
    add("--distance", type=flags.non_negative, default=5.0, metavar="PX", help=distance)
    add("--format", choices=tables.FORMATS, default="text", help="of the table")
    add("--chart", type=Path, metavar="FILE.png", help="draw AP against images per second; needs matplotlib")
    add("--overwrite", action="store_true", help="replace a chart that this program did not draw")
    flags.add_config(parser)
    return parser
