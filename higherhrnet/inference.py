"""The flags that choose what runs the network, and the model and backend they mean.

Shared by HigherHRNet_benchmark.py and ``python3 -m higherhrnet run``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from higherhrnet import cli, settings
from higherhrnet.backends import Backend, choice, external
from higherhrnet.errors import UserError
from higherhrnet.files import dumps, inputs, models
from higherhrnet.stages import convert

_GEARS = ("image_size", "dims")


def add_flags(parser: argparse.ArgumentParser, *, several_sizes: bool = False) -> None:
    """Add the flags; with ``several_sizes``, --bs is a tuple, and each Inference gets arguments with one of them."""
    if several_sizes:
        parser.add_argument("--bs", type=cli.batch_sizes, default=(1,), metavar="N[,N...]", help="batch sizes, in turn")
    else:
        parser.add_argument("--bs", type=cli.batch_size, default=1, metavar="N", help="batch size")
    parser.add_argument("--backend", choices=choice.BACKENDS, default="auto", help="what runs the network")
    parser.add_argument("--model", type=Path, metavar="FILE", help=".onnx, .om or, for torch, .pth; found in models/")
    parser.add_argument(
        "--device_id", type=cli.device_id, metavar="D", help="in the file names; first of --device_ids or 0"
    )
    parser.add_argument(
        "--device_ids", type=cli.device_ids, default=(), metavar="D,D,...", help="share the work among these"
    )
    parser.add_argument(
        "--threads", type=cli.thread_count, default=0, metavar="N", help="onnxruntime, torch; 0 leaves it to them"
    )
    cli.add_in_process(parser)
    parser.add_argument("--dtype", choices=dumps.DTYPES, default=dumps.FLOAT32, help="on disk; float16 halves it")
    ascend = parser.add_argument_group("Ascend")
    ascend.add_argument("--benchmark_path", type=Path, metavar="FILE", help="the benchmark tool, if not in this folder")
    ascend.add_argument("--soc_version", metavar="NAME", help="chip, for example Ascend310P3; npu-smi says without it")
    ascend.add_argument("--auto_tune", action="store_true", help="tune while converting, with ATC or AOE; takes hours")
    ascend.add_argument("--aipp", action="store_true", help="uint8 inputs, normalised on the device")
    ascend.add_argument("--dynamic", choices=_GEARS, default="image_size", help=".om's gears; dims is for ais_bench")
    ascend.add_argument(
        "--timeout", type=cli.non_negative, default=0, metavar="S", help="limit of one program's run; 0 is none"
    )


@dataclass(frozen=True)
class _Given:
    """An .om that the user gave: nothing is converted."""

    om: Path


@dataclass(frozen=True)
class _Checkpoint:
    """What torch runs as it is."""

    path: Path


_Wanted = convert.Request | _Given | _Checkpoint


class Inference:
    """What the flags ask for, for networks of a short side and a number of joints."""

    def __init__(self, args: argparse.Namespace, cfg: CfgNode, *, convert_only: bool = False) -> None:
        """Find the model's file; nothing is converted or loaded.

        Raises
        ------
        UserError : no model, several, or flags that contradict each other
        """
        self._args = args
        self.short_side: int = cfg.DATASET.INPUT_SIZE
        self.joints = settings.heads(cfg)
        self._shapes = settings.plan(cfg).shapes
        self._extra = cfg.MODEL.EXTRA
        self._request = self._find(convert_only=convert_only)

    @property
    def device(self) -> int:
        """The device that names the files."""
        if self._args.device_id is not None:
            return self._args.device_id
        return self._args.device_ids[0] if self._args.device_ids else 0

    def choose(self) -> choice.Choice:
        """The backend, and why."""
        request = self._request
        has_om = isinstance(request, _Given) or (
            isinstance(request, convert.Request) and bool(convert.atc.find_om(request.output))
        )
        return choice.choose(self._args.backend, om=has_om, benchmark_path=self._args.benchmark_path)

    def input_dtype(self, backend: str) -> str:
        """What inputs a backend takes: uint8 with --aipp, else what --dtype says, where the backend can."""
        if self._args.aipp:
            return inputs.UINT8
        return inputs.FLOAT32 if backend in choice.ON_ASCEND else self._args.dtype

    def check_inputs(self, backend: str, source: str, dtype: str, shapes: dict[tuple[int, int], str]) -> None:
        """Refuse before anything starts what would not fit the .om.

        Parameters
        ----------
        source, dtype : of the inputs
        shapes : (H, W) of the inputs, and where each was found
        """
        if backend not in choice.ON_ASCEND:
            return
        expected = self.input_dtype(backend)
        if dtype != expected:
            raise UserError(
                f"the inputs in {source} are {dtype}, an .om {'with' if self._args.aipp else 'without'} --aipp takes "
                f"{expected}; give --aipp to both HigherHRNet_preprocess.py and this script, or to neither"
            )
        grid = self._shapes
        for shape, place in shapes.items():
            if shape not in grid:
                raise UserError(
                    f"{place}: shape {shape[0]}x{shape[1]} is none of the {len(grid)} of DATASET.INPUT_SIZE "
                    f"{self.short_side}; give the --cfg and overrides that preprocessing was given, and preprocess "
                    f"without --no_long_side_limit"
                )

    def model(self, backend: str, *, print_commands: bool = False) -> Path:
        """The model the backend runs, converted first where that is needed."""
        if isinstance(self._request, _Checkpoint):
            return self._request.path
        if backend not in choice.ON_ASCEND:
            if isinstance(self._request, _Given):
                raise UserError(f"backend {backend} does not run {self._request.om}; give the .onnx with --model")
            return self._request.onnx
        if isinstance(self._request, _Given):
            return self._request.om
        return self.make_om(why="--auto_tune" if self._args.auto_tune else "", print_commands=print_commands)

    def make_om(self, *, why: str = "", print_commands: bool = False) -> Path:
        """Make the .om where it is missing or stale, or in any case because of ``why``."""
        request = self._request
        assert isinstance(request, convert.Request), "others were refused when the flags were read"
        found = convert.find(request)
        if not why and not found.why:
            return found.om
        if print_commands:
            print("\n".join(convert.commands(request)))
            return found.om
        why = found.why or why
        tuning = ", tuning hours" * self._args.auto_tune
        print(f"atc: making {request.output}.om ({why}); this takes minutes{tuning}", flush=True)
        made = convert.run(request, why=why, timeout=self._args.timeout)
        print(f"atc: {made.om}")
        return made.om

    def backend(
        self, name: str, model: Path, *, logs: Path, done: Callable[[int], object], must_run: bool = True
    ) -> Backend:
        """Make the backend; ``done`` is called with numbers of images while they are made."""
        args = self._args
        if name not in choice.ON_ASCEND:
            if len(args.device_ids) > 1:
                raise UserError(
                    f"--device_ids names {len(args.device_ids)} devices, {name} runs on one; give that alone, or a "
                    f"--shard to each"
                )
            return choice.in_process(
                name,
                model,
                self._extra,
                heads=self.joints,
                batch=args.bs,
                threads=args.threads,
                providers=args.providers,
                precision=args.precision,
                device=args.device_ids[0] if args.device_ids else self.device,
                done=done,
            )
        setting = external.Setting(
            model,
            args.bs,
            self.joints,
            largest=self._shapes[0],
            logs=logs,
            timeout=args.timeout,
            done=done,
        )
        return choice.on_ascend(
            name,
            setting,
            benchmark_path=args.benchmark_path,
            dynamic_dims=args.dynamic == "dims",
            must_run=must_run,
        )

    def _find(self, *, convert_only: bool) -> _Wanted:
        """What is to be converted for Ascend, or runs as it is."""
        args = self._args
        if args.backend == choice.TORCH:
            if convert_only or args.auto_tune:
                raise UserError(
                    "--convert_only and --auto_tune make an .om; --backend torch runs the checkpoint itself"
                )
            if args.model is not None and args.model.suffix in {".onnx", ".om"}:
                raise UserError(f"--backend torch runs a checkpoint (.pth), but --model is {args.model}; give the .pth")
            return _Checkpoint(args.model or models.find_checkpoint(Path("models")))
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
            if convert_only or args.auto_tune:
                raise UserError(f"--convert_only and --auto_tune make an .om, but the model is {model}; give an .onnx")
            if not model.is_file():
                raise UserError(f"model {model} does not exist; correct --model")
            return _Given(model)
        return convert.Request(
            model,
            args.bs,
            tuple(self._shapes),
            self.joints,
            soc_version=args.soc_version,
            aipp=args.aipp,
            dynamic_dims=dims,
            auto_tune=args.auto_tune,
            device=self.device,
        )
