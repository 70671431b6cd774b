#!/usr/bin/env python3
"""Stage 4: run the network over all inputs, shape by shape; leave dumps and performance files.

    python3 HigherHRNet_benchmark.py --bs 1

Reads prep_bin_{H}x{W}.info and prep_bin_flip_{H}x{W}.info, writes result/dumpOutput_device0_bs1, the same with _flip,
and result/perf_vision_batchsize_1_device_0_{H}x{W}.txt. Dumps that are there already are kept, those of another model
or data set are replaced. On Ascend the .om is made with ATC where it is missing or older than the .onnx.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from higherhrnet import cli, geometry
from higherhrnet.backends import Backend, choice, external
from higherhrnet.errors import UserError
from higherhrnet.files import inputs, models
from higherhrnet.stages import convert, infer

_GEARS = ("image_size", "dims")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print where the dumps are."""
    args, cfg = cli.parse(_parser(), argv)
    args.device_ids = args.device_ids or ()
    request = _request(args, cfg.DATASET.INPUT_SIZE, cfg.DATASET.NUM_JOINTS)
    if args.convert_only:
        _convert(args, request, force=True)
        return
    passes = infer.load(args.info, flip=False), infer.load(args.info_flip, flip=True)
    infer.check_pair(*passes)
    chosen = choice.choose(args.backend, om=_has_om(request), benchmark_path=args.benchmark_path)
    if chosen.name in choice.ON_ASCEND:
        _check_for_ascend(passes, args, cfg.DATASET.INPUT_SIZE)
    model = _model(args, request, chosen.name)
    print(f"{'# ' * args.print_commands}backend {chosen.name} ({chosen.why}), model {model}")
    _run(args, cfg.DATASET.NUM_JOINTS, cfg.DATASET.INPUT_SIZE, chosen.name, model, passes)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    parser.add_argument("--bs", type=cli.positive, default=1, metavar="N", help="batch size")
    parser.add_argument("--backend", choices=choice.BACKENDS, default="auto", help="what runs the network")
    parser.add_argument("--model", type=Path, metavar="FILE", help=".onnx or .om; models/*_bs{N}_dynamic.* without it")
    parser.add_argument("--info", default="./prep_bin", metavar="NAME", help="lists of the inputs, without _HxW.info")
    parser.add_argument("--info_flip", default="./prep_bin_flip", metavar="NAME", help="lists of the mirrored inputs")
    parser.add_argument("--result", type=Path, default=Path("result"), metavar="DIR", help="dumps, figures and logs")
    parser.add_argument("--device_id", type=_device, metavar="D", help="in the file names; first of --device_ids or 0")
    parser.add_argument("--device_ids", type=_devices, metavar="D,D,...", help="share the work among these")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="onnxruntime: threads; 0 leaves it to it")
    parser.add_argument("--overwrite", action="store_true", help="replace all dumps that are there")
    ascend = parser.add_argument_group("Ascend")
    ascend.add_argument("--benchmark_path", type=Path, metavar="FILE", help="the benchmark tool, if not in this folder")
    ascend.add_argument("--soc_version", metavar="NAME", help="chip, for example Ascend310P3; npu-smi says without it")
    ascend.add_argument("--convert_only", action="store_true", help="only make the .om, even if there is one")
    ascend.add_argument("--auto_tune", action="store_true", help="tune while converting, with ATC or AOE; takes hours")
    ascend.add_argument("--aipp", action="store_true", help="uint8 inputs, normalised on the device")
    ascend.add_argument("--dynamic", choices=_GEARS, default="image_size", help=".om's gears; dims is for ais_bench")
    ascend.add_argument("--timeout", type=float, default=0, metavar="S", help="limit of one program's run; 0 is none")
    ascend.add_argument("--print_commands", action="store_true", help="print the external programs' commands, run none")
    cli.add_config(parser)
    return parser


def _device(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not a device number")
    return value


def _devices(text: str) -> tuple[int, ...]:
    devices = tuple(_device(part) for part in text.split(","))
    if len(set(devices)) != len(devices):
        raise argparse.ArgumentTypeError(f"{text} names a device twice")
    return devices


@dataclass(frozen=True)
class _Given:
    """An .om that the user gave: nothing is converted."""

    om: Path


def _request(args: argparse.Namespace, short_side: int, joints: int) -> convert.Request | _Given:
    """What is to be converted for Ascend."""
    dims = args.dynamic == "dims"
    if args.aipp and dims:
        raise UserError("--aipp does not go with --dynamic dims: ATC takes AIPP with --dynamic image_size only")
    model = args.model
    if model is None:
        try:
            model = models.find_onnx(Path("models"), args.bs)
        except UserError:
            model = models.find_om(Path("models"), args.bs, aipp=args.aipp, dynamic_dims=dims)
            if model is None:
                raise
    if model.suffix == ".om":
        if args.convert_only or args.auto_tune:
            raise UserError(f"--convert_only and --auto_tune make an .om, but the model is {model}; give an .onnx")
        if not model.is_file():
            raise UserError(f"model {model} does not exist; correct --model")
        return _Given(model)
    return convert.Request(
        model,
        args.bs,
        short_side,
        joints,
        soc_version=args.soc_version,
        aipp=args.aipp,
        dynamic_dims=dims,
        auto_tune=args.auto_tune,
        device=_name(args),
    )


def _has_om(request: convert.Request | _Given) -> bool:
    return isinstance(request, _Given) or bool(convert.atc.find_om(request.output))


def _name(args: argparse.Namespace) -> int:
    """The device that names the files."""
    if args.device_id is not None:
        return args.device_id
    return args.device_ids[0] if args.device_ids else 0


def _check_for_ascend(passes: tuple[infer.Pass, infer.Pass], args: argparse.Namespace, short_side: int) -> None:
    """Refuse before anything starts what would not fit the .om."""
    plain = passes[0]
    expected = inputs.UINT8 if args.aipp else inputs.FLOAT32
    if plain.dtype != expected:
        raise UserError(
            f"the inputs in {args.info}_HxW.info are {plain.dtype}, an .om {'with' if args.aipp else 'without'} --aipp "
            f"takes {expected}; give --aipp to both HigherHRNet_preprocess.py and this script, or to neither"
        )
    grid = geometry.shape_grid(short_side)
    for group in plain.groups:
        if group.shape not in grid:
            raise UserError(
                f"{group.info_file}: shape {group.shape[0]}x{group.shape[1]} is none of the {len(grid)} of "
                f"DATASET.INPUT_SIZE {short_side}; give the --cfg and overrides that preprocessing was given"
            )


def _model(args: argparse.Namespace, request: convert.Request | _Given, backend: str) -> Path:
    """The model the backend runs, converted first where that is needed."""
    if backend not in choice.ON_ASCEND:
        if isinstance(request, _Given):
            raise UserError(f"backend {backend} does not run {request.om}; give the .onnx with --model")
        return request.onnx
    return request.om if isinstance(request, _Given) else _convert(args, request, force=args.auto_tune)


def _convert(args: argparse.Namespace, request: convert.Request | _Given, *, force: bool) -> Path:
    assert isinstance(request, convert.Request)
    found = convert.find(request)
    if not force and not found.why:
        return found.om
    if args.print_commands:
        print("\n".join(convert.commands(request)))
        return found.om
    why = found.why or ("--convert_only" if args.convert_only else "--auto_tune")
    print(f"atc: making {request.output}.om ({why}); this takes minutes{', tuning hours' * args.auto_tune}", flush=True)
    made = convert.run(request, why=why, timeout=args.timeout)
    print(f"atc: {made.om}")
    return made.om


def _run(
    args: argparse.Namespace,
    joints: int,
    short_side: int,
    name: str,
    model: Path,
    passes: tuple[infer.Pass, infer.Pass],
) -> None:
    """Run the network, or print what would."""
    device = _name(args)
    total = 2 * len(passes[0].indices)
    with tqdm(total=total, desc="infer", unit="image", disable=True if args.print_commands else None) as bar:
        backend = _backend(args, joints, short_side, name, model, bar.update)
        if args.print_commands:
            for line in infer.commands(
                backend, passes, model=model, result=args.result, joints=joints, device=device, devices=args.device_ids
            ):
                print(line)
            return
        summary = infer.run(
            backend,
            passes,
            model=model,
            result=args.result,
            joints=joints,
            device=device,
            devices=args.device_ids,
            overwrite=args.overwrite,
            skipped=bar.update,
            removed=_say_removed,
        )
    kept = f", {summary.skipped} of {2 * summary.images} dumps were there" if summary.skipped else ""
    print(f"{summary.images} images in {' and '.join(map(str, summary.directories))}{kept}")


def _say_removed(directory: Path, why: str) -> None:
    of = "" if why == "--overwrite" else " of other work"
    tqdm.write(f"{directory}: dumps{of} were removed first ({why})")


def _backend(
    args: argparse.Namespace, joints: int, short_side: int, name: str, model: Path, done: Callable[[int], object]
) -> Backend:
    if name not in choice.ON_ASCEND:
        if len(args.device_ids) > 1:
            raise UserError(
                f"--device_ids names {len(args.device_ids)} devices, {name} runs on this CPU; leave it away"
            )
        return choice.onnxruntime(model, batch=args.bs, threads=args.threads, done=done)
    setting = external.Setting(
        model,
        args.bs,
        joints,
        largest=geometry.shape_grid(short_side)[0],
        logs=args.result / "logs",
        timeout=args.timeout,
        done=done,
    )
    return choice.on_ascend(
        name,
        setting,
        benchmark_path=args.benchmark_path,
        dynamic_dims=args.dynamic == "dims",
        must_run=not args.print_commands,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
