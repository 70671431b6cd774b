"""Stage 4: run the network over all inputs, shape by shape; leave dumps and performance files.

    python3 HigherHRNet_benchmark.py --bs 1
    python3 HigherHRNet_benchmark.py --bs 1,8 --backend torch --model models/pose_higher_hrnet_w32_512.pth

Reads prep_bin_{H}x{W}.info and prep_bin_flip_{H}x{W}.info, writes result/dumpOutput_device0_bs1, the same with _flip,
and result/perf_vision_batchsize_1_device_0_{H}x{W}.txt. Dumps that are there already are kept, those of another model
or data set are replaced. On Ascend the .om is made with ATC where it is missing or older than the .onnx.
Of several TEST.SCALE_FACTOR, what belongs to factors other than 1 is NAME_scale{factor} and result_scale{factor}; with
TEST.FLIP_TEST False there is no flipped pass. With --layout flat, --info and --info_flip name the trees themselves, and
dumps are ais_bench's .npy; ais_bench is then called once for all shapes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.artifacts.scales import beside
from higherhrnet.backends.choices import AIS_BENCH, ON_ASCEND
from higherhrnet.backends.select import Inference
from higherhrnet.cli import flags, uses
from higherhrnet.cli import inference as inference_flags
from higherhrnet.config.plan import Plan
from higherhrnet.errors import UserError
from higherhrnet.model import quantized
from higherhrnet.stages import infer
from higherhrnet.stages.passes import Pass, check_pair, load


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage, one batch size after another, and print where the dumps are."""
    args, config = flags.parse(_parser(), argv)
    uses.check("benchmark", argv, backend="" if args.backend == "auto" else args.backend, flip=config.plan.flip)
    # All models are found before the first of them runs.
    inferences = [
        Inference(inference_flags.options(args, batch), config, convert_only=args.convert_only) for batch in args.bs
    ]
    if args.convert_only:
        for inference in inferences:
            inference.make_om(why="--convert_only", print_commands=args.print_commands)
        return
    plan = config.plan
    by_scale = [_load(args, plan, factor) for factor in plan.factors]
    if not args.print_commands:
        for inference in inferences:
            for factor, passes in zip(plan.factors, by_scale, strict=True):
                job = _job(args, inference, Path(), beside(args.result, factor))
                infer.check_foreign(passes[0], inference.options.batch, job)
    for inference in inferences:
        chosen = inference.choose()
        uses.check("benchmark", argv, backend=chosen.name)
        if _is_together(args, chosen.name) and not (inference.options.dynamic_dims and inference.options.batch == 1):
            raise UserError(
                "--layout flat is one call of ais_bench, which takes such inputs one by one on an .om of --dynamic "
                "dims; give --dynamic dims and --bs 1, or --backend ascend"
            )
        for factor, passes in zip(plan.factors, by_scale, strict=True):
            shapes = {group.shape: str(group.source) for group in passes[0].groups}
            inference.check_inputs(chosen.name, _source(args, factor), passes[0].dtype, shapes)
        model = inference.model(chosen.name, print_commands=args.print_commands)
        mark = "# " * args.print_commands
        where = inference.where(chosen.name)
        print(f"{mark}backend {chosen.name} ({chosen.why}), model {model}{where}", flush=True)
        for remark in inference.remarks(chosen.name):
            print(f"{mark}note: {remark}")
        for factor, passes in zip(plan.factors, by_scale, strict=True):
            _run(args, inference, chosen.name, model, passes, beside(args.result, factor))


def _named(name: str, factor: float) -> str:
    return name if factor == 1 else str(beside(Path(name), factor))


def _source(args: argparse.Namespace, factor: float) -> str:
    name = _named(args.info, factor)
    return name if args.layout == inputs.FLAT else f"{name}_HxW.info"


def _is_together(args: argparse.Namespace, backend: str) -> bool:
    """Whether inputs of all shapes go into one call."""
    return args.layout == inputs.FLAT and backend == AIS_BENCH


def _load(args: argparse.Namespace, plan: Plan, factor: float) -> tuple[Pass, ...]:
    """The inputs at a scale: plain and, with flip test, flipped."""
    plain = load(_named(args.info, factor), flip=False, shard=args.shard, layout=args.layout)
    made = None if plain.made is None else plain.made.work
    if made is not None and (made.factor, made.smallest) != (factor, min(plan.factors)):
        raise UserError(
            f"{_source(args, factor)}: found inputs at scale {made.factor:g} of a test from scale "
            f"{made.smallest:g} on, expected {factor:g} from {min(plan.factors):g} on; give TEST.SCALE_FACTOR as to "
            f"preprocessing"
        )
    if not plan.flip:
        return (plain,)
    flipped = load(_named(args.info_flip, factor), flip=True, shard=args.shard, layout=args.layout)
    check_pair(plain, flipped)
    return plain, flipped


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "benchmark")
    parser.add_argument("--info", default="./prep_bin", metavar="NAME", help="lists of the inputs, without _HxW.info")
    parser.add_argument("--info_flip", default="./prep_bin_flip", metavar="NAME", help="lists of the mirrored inputs")
    parser.add_argument(
        "--layout",
        choices=inputs.LAYOUTS,
        default=inputs.FOLDERS,
        help="of the inputs; flat: as ModelZoo's later page has inputs and dumps",
    )
    parser.add_argument("--result", type=Path, default=Path("result"), metavar="DIR", help="dumps, figures and logs")
    parser.add_argument("--overwrite", action="store_true", help="replace all dumps and figures that are there")
    parser.add_argument("--convert_only", action="store_true", help="only make the .om, even if there is one")
    parser.add_argument("--print_commands", action="store_true", help="print the external programs' commands, run none")
    flags.add_shard(parser)
    inference_flags.add(parser, several_sizes=True)
    flags.add_config(parser)
    return parser


def _job(args: argparse.Namespace, inference: Inference, model: Path, result: Path) -> infer.InferJob:
    return infer.InferJob(
        model,
        result,
        inference.heads,
        device=inference.options.device,
        devices=args.device_ids,
        dtype=inference.options.dtype,
        threads=args.threads,
        overwrite=args.overwrite,
        naming=dumps.AIS_BENCH if args.layout == inputs.FLAT else dumps.BENCHMARK,
    )


def _run(
    args: argparse.Namespace,
    inference: Inference,
    name: str,
    model: Path,
    passes: tuple[Pass, ...],
    result: Path,
) -> None:
    """Run the network, or print what would."""
    job = _job(args, inference, model, result)
    if not args.print_commands:  # before it is loaded: what has changed until then is refused
        job = replace(job, calibrated=quantized.pictures(model))
    if name in ON_ASCEND:
        job = replace(job, threads=0, together=_is_together(args, name))
    total = len(passes) * len(passes[0].indices)
    with tqdm(total=total, desc="infer", unit="image", disable=True if args.print_commands else None) as bar:
        backend = inference.backend(
            name, model, logs=result / "logs", done=bar.update, must_run=not args.print_commands
        )
        if args.print_commands:
            for line in infer.commands(backend, passes, job):
                print(line)
            return
        summary = infer.run(backend, passes, job, skipped=bar.update, removed=_say_removed)
    kept = f", {summary.skipped} of {total} dumps were there" if summary.skipped else ""
    print(f"{summary.images} images in {' and '.join(map(str, summary.directories))}{kept}")
    if summary.kept_threads:
        were = " and ".join(str(number or "not set") for number in summary.kept_threads)
        print(f"figures that were there are of threads {were}, not {job.threads or 'not set'}; --overwrite times again")


def _say_removed(directory: Path, why: str) -> None:
    of = "" if why == "--overwrite" else " of other work"
    tqdm.write(f"{directory}: dumps{of} were removed first: {why}")
