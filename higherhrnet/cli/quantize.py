"""A float32 .onnx to INT8, for ONNX Runtime, OpenVINO, TensorRT or Ascend.

    higherhrnet quantize --model models/X_bs1_dynamic.onnx --inputs calib_bin --inputs_flip calib_bin_flip

Calibrates on inputs that preprocessing made, of training images, and writes models/X_bs1_dynamic_int8.onnx, the same
bytes each time. Layers that make the outputs stay float32. --max_drop evaluates the result on the inputs that --info
lists, beside float32 dumps of the same inputs, and keeps more layers float32 while AP falls by more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from higherhrnet.artifacts import atomic, claim, models, outputs
from higherhrnet.artifacts.work import DumpsWork, differences
from higherhrnet.backends import choices, factory
from higherhrnet.backends.ascend import amct
from higherhrnet.cli import decoding, flags, terminal, uses
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, evaluation
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, onnx_graph, origin
from higherhrnet.model.architecture import Architecture
from higherhrnet.model.fingerprint import Seen
from higherhrnet.stages import accuracy, calibration, compare, postprocess
from higherhrnet.stages.calibration import Calibration
from higherhrnet.stages.passes import Pass, check_pair, load
from higherhrnet.system import workers

_ASCEND = "ascend"
_PROBES = 4  # batches on which the errors of blocks of layers are compared


def main(argv: Sequence[str] | None = None) -> None:
    """Quantize, and print what was made of what."""
    args, config = flags.parse(_parser(), argv)
    uses.check("quantize", argv)
    model = args.model or models.find_onnx(choices.MODELS, 1)
    origin.check(model, Architecture.from_extra(config.extra, config.heads), config.file)
    output = args.output or model.with_name(f"{model.stem}_int8.onnx")
    if args.target != _ASCEND:
        _check_output(args, model, output)
    chosen = calibration.choose(args.inputs, args.inputs_flip, args.count, args.seed)
    if chosen.made is not None and chosen.made.work.short_side != config.plan.short_side:
        raise UserError(
            f"--inputs {args.inputs} are of short side {chosen.made.work.short_side}, config {config.file} says "
            f"DATASET.INPUT_SIZE {config.plan.short_side}; give the --cfg that preprocessing had"
        )
    _check_images(args, config, chosen)
    if args.target == _ASCEND:
        _for_ascend(args, config, model, chosen)
        return
    _to_int8(args, config, model, chosen, output)


def _check_output(args: argparse.Namespace, model: Path, output: Path) -> None:
    outputs.check(output, "--output", ours=partial(origin.is_ours, int8=True), inputs=[model], overwrite=args.overwrite)


def _to_int8(args: argparse.Namespace, config: Config, model: Path, chosen: Calibration, output: Path) -> None:
    # Imported here: onnx and onnxruntime, which wrong arguments need not wait for, and --target ascend need not have.
    from higherhrnet.model import quantization  # noqa: PLC0415
    from higherhrnet.stages import quantize  # noqa: PLC0415

    found = fingerprint.see(model)
    source = quantization.load(model)
    found.check()
    scheme = quantization.Scheme(args.target, args.weight_bits or 7, tuple(quantization.named(source, args.keep_float)))
    judge = None if args.max_drop is None else _Judge(args, config, found, chosen)
    if (
        judge is None
        and not args.overwrite
        and quantize.is_there(output, quantize.describe(found.sha256, chosen, scheme))
    ):
        print(f"{output} is up to date; --overwrite makes it again")
        return
    _say_calibration(args, chosen)
    with tqdm(total=len(chosen.all), desc="calibrate", unit="input", disable=None) as bar:
        ranges = quantize.calibrate(source, chosen, threads=args.threads, done=bar.update)
    size = quantization.batch_of(source)
    if judge is not None:
        probe = [batch for batch, _ in zip(chosen.batches(size), range(_PROBES), strict=False)]

        def is_enough(tried: quantization.Scheme) -> bool:
            with atomic.temporary_folder() as folder:
                file = folder / output.name
                made = quantization.quantize(source, ranges, tried)
                quantize.write(source, made, quantize.describe(found.sha256, chosen, tried), file)
                kept = len(tried.keep_float)
                return judge.is_enough(
                    file, size, f"{kept} more layers float32" if kept else "all but the heads in INT8"
                )

        scheme = quantize.give_back(source, ranges, scheme, probe, is_enough)
    made = quantization.quantize(source, ranges, scheme)
    work = quantize.describe(found.sha256, chosen, scheme)
    quantize.write(source, made, work, output, partial(_check_output, args, model, output))
    every, in_int8 = quantize.count_layers(source, scheme)
    before, after = (file.stat().st_size / 1e6 for file in (model, output))
    difference = quantize.difference(source, made, [next(chosen.batches(size))])
    print(
        f"{output}: {in_int8} of {every} layers in INT8, weights in {scheme.weight_bits} bits, {before:.1f} MB before "
        f"and {after:.1f} MB now"
    )
    print(f"largest difference from float32 on one batch, relative to the largest output value: {difference:.2g}")


class _Judge:
    """Evaluates networks on one data set, whose float32 figures are known."""

    def __init__(self, args: argparse.Namespace, config: Config, model: Seen, chosen: Calibration) -> None:
        """Read the float32 dumps, and find their AP. Raises UserError for what does not belong together."""
        config.require_plain()
        evaluation.require()
        self._config, self._most, self._threads = config, args.max_drop, args.threads
        self._dataset = coco.load(config.location.annotations, config.protocol)
        plain, flip = load(args.info, flip=False), load(args.info_flip, flip=True)
        check_pair(plain, flip)
        self._passes: tuple[Pass, ...] = (plain, flip)
        accuracy.check(self._passes, self._dataset)
        made = claim.read(args.dumps, DumpsWork)
        if made is None or made.work.model != model.sha256:
            raise UserError(
                f"--dumps {args.dumps} are not of model {model.model}; run HigherHRNet_benchmark.py with it"
            )
        if different := differences(made.work.inputs, plain.made):
            raise UserError(
                f"--dumps {args.dumps} are not of the inputs that {args.info}_HxW.info list: "
                f"{claim.reasons(different)}; give those"
            )
        if made.work.indices != plain.indices:
            raise UserError(f"--dumps {args.dumps} are of other images than {args.info}_HxW.info list; give those")
        if (twice := set(plain.pictures.values()).intersection(chosen.pictures)) and not args.allow_evaluation_images:
            raise UserError(
                f"{len(twice)} of the pictures that {args.info}_HxW.info list are among those to calibrate on; give "
                f"others, or --allow_evaluation_images"
            )
        decoding.prepare(terminal.say)
        with atomic.temporary_folder() as folder, workers.Pool(workers.cores()) as pool:
            job = postprocess.PostprocessJob(
                args.dumps,
                compare.flip_of(args.dumps),
                config.plan,
                config.heads,
                config.options,
                folder / "results.json",
                protocol=config.protocol,
            )
            found = postprocess.run(self._dataset, job, pool)
        assert found.figures is not None, "people are evaluated"
        self._before = found.figures["AP"]

    def is_enough(self, model: Path, batch: int, what: str) -> bool:
        """Whether a network's AP is low by no more than allowed; says so."""
        backend = factory.onnxruntime(model, batch=batch, threads=self._threads)
        with tqdm(total=len(self._passes[0].indices), desc="evaluate", unit="image", disable=None) as bar:
            config = self._config
            found = accuracy.find(
                backend, self._passes, self._dataset, config.plan, config.options, config.protocol, done=bar.update
            )
        after = found.figures["AP"]
        print(f"AP {self._before:.4f} in float32, {after:.4f} with {what}, over {found.images} images", flush=True)
        return self._before - after <= self._most


def _for_ascend(args: argparse.Namespace, config: Config, model: Path, chosen: Calibration) -> None:
    """Write what AMCT needs, and print what to run where it is."""
    if args.max_drop is not None or args.keep_float:
        raise UserError("--max_drop and --keep_float are not for --target ascend: edit skip_layers in its quant.cfg")
    if args.threads or args.weight_bits is not None:
        raise UserError("--threads and --weight_bits are not for --target ascend, where AMCT calibrates; omit them")
    graph = onnx_graph.read(model)
    batch = graph.inputs[0].shape[0] or 1
    folder = args.output or model.with_name(f"{model.stem}_amct")
    heads = [graph.producers[output.name][0] for output in graph.outputs]
    amct.write(folder, model, chosen.all, dtype=chosen.dtype, keep_float=heads, batch=batch, overwrite=args.overwrite)
    print("# never run by its makers: on a host with CANN and amct_onnx, with the inputs at the same paths")
    print("\n".join(amct.commands(folder, model, config.file)))


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "quantize")
    add = parser.add_argument
    add("--model", type=Path, metavar="FILE", help="float32 .onnx; by default the one in models/")
    add("--inputs", type=Path, default=Path("prep_bin"), metavar="DIR", help="tree of inputs to calibrate on")
    add("--inputs_flip", type=Path, metavar="DIR", help="tree of the mirrored ones; without it the plain ones alone")
    add("--count", type=flags.count, default=200, metavar="N", help="inputs to calibrate on, drawn from both trees")
    add("--seed", type=flags.count_or_none, default=0, metavar="N", help="of the drawing")
    add("--output", type=Path, metavar="FILE", help="NAME_int8.onnx beside the model without it")
    targets = "cpu: ONNX Runtime and OpenVINO; tensorrt: trtexec; ascend: files for AMCT, printed and not run"
    add("--target", choices=("cpu", "tensorrt", _ASCEND), default="cpu", help=targets)
    bits = "of weights, else 7; 8 are for CPUs with VNNI and for TensorRT: elsewhere sums overflow, and people are lost"
    add("--weight_bits", type=int, choices=(7, 8), help=bits)
    keep = "layers or blocks of layers that stay float32; heads, those that make the outputs, always do"
    add("--keep_float", type=flags.names, default=(), metavar="NAME,...", help=keep)
    add("--threads", type=flags.thread_count, default=0, metavar="N", help="of ONNX Runtime; 0 leaves it to it")
    add("--allow_evaluation_images", action="store_true", help="calibrate on images that figures are made of")
    add("--overwrite", action="store_true", help="make it again, and replace a file that this program did not make")
    add = parser.add_argument_group("accuracy").add_argument
    add("--max_drop", type=flags.non_negative, metavar="AP", help="give layers back to float32 where AP falls by more")
    add("--dumps", type=Path, metavar="DIR", help="dumps of the float32 model, with DIR_flip beside them")
    add("--info", default="./prep_bin", metavar="NAME", help="lists of the inputs of --dumps, without _HxW.info")
    add("--info_flip", default="./prep_bin_flip", metavar="NAME", help="lists of the mirrored ones")
    flags.add_config(parser)
    return parser


def _check_images(args: argparse.Namespace, config: Config, chosen: Calibration) -> None:
    """Refuse to calibrate on the images that the configuration evaluates, unless that is allowed."""
    annotations = config.location.annotations
    if chosen.made is None or not annotations.is_file():
        return
    if chosen.made.work.dataset != coco.load(annotations).fingerprint:
        return
    if not args.allow_evaluation_images:
        raise UserError(
            f"--inputs {args.inputs} are of {annotations}, which the configuration evaluates, and figures of a network "
            f"calibrated on them flatter it; preprocess training images, or give --allow_evaluation_images"
        )
    print(f"the inputs are of {annotations}, which the configuration evaluates: figures over them will say so")


def _say_calibration(args: argparse.Namespace, chosen: Calibration) -> None:
    number = len(chosen.all)
    shapes = len({one.shape for one in chosen.all})
    of = f", all there are (--count {args.count})" if number < args.count else f" of {chosen.available}"
    print(f"calibrating on {number} inputs{of}, {len(chosen.flipped)} of them mirrored, in {shapes} shapes", flush=True)
    if not chosen.pictures:
        print(
            f"note: nothing says which pictures {args.inputs} is of, so no figures can say whether they are among them"
        )
    if not chosen.flipped:
        print("note: no mirrored inputs (--inputs_flip): the flipped pass may leave the ranges")
