"""The flags that choose what runs the network, shared by ``benchmark`` and ``run``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from higherhrnet.artifacts import dumps
from higherhrnet.backends import choices
from higherhrnet.backends.ascend import options as atc_options
from higherhrnet.backends.ascend.options import AtcOptions
from higherhrnet.backends.base import AUTO, INT8, NPU, PRECISIONS
from higherhrnet.cli import flags
from higherhrnet.errors import UserError


def add_in_process(to: argparse._ActionsContainer) -> None:
    """Add the options of the backends that run in this process."""
    to.add_argument(
        "--providers",
        type=flags.names,
        default=(),
        metavar="P,P",
        help="onnxruntime: CUDA, TensorRT, CANN, CPU, by preference",
    )
    to.add_argument(
        "--device",
        dest="run_on",
        type=flags.run_on,
        default=AUTO,
        metavar="D",
        help="torch, onnxruntime: cuda, cuda:N, cpu or auto, which takes a GPU where torch has one; torch: npu, npu:N, "
        "Ascend's, through torch_npu; openvino: its own names, CPU, GPU, GPU.1, NPU, AUTO ..., CPU without it",
    )
    to.add_argument(
        "--tune",
        dest="tuned",
        action="store_true",
        help="torch on a GPU: have cuDNN try its kernels; trtexec: tune for each shape",
    )
    to.add_argument(
        "--precision",
        choices=(*PRECISIONS, INT8),
        help="torch: float16 on a CUDA GPU or an NPU, else float32 without it; openvino: float32 without it; "
        "trtexec: float16 without it",
    )


def add_decode_on(to: argparse._ActionsContainer) -> None:
    """Add the choice of where people are decoded, for commands without files between."""
    to.add_argument(
        "--decode_on",
        choices=choices.DECODERS,
        default=choices.HOST,
        help="torch on a CUDA GPU: search its maps for people there, of which the host groups the joints",
    )


def add(parser: argparse.ArgumentParser, *, several_sizes: bool = False) -> None:
    """Add the flags of choices.InferenceOptions; with ``several_sizes`` --bs is a tuple."""
    if several_sizes:
        parser.add_argument(
            "--bs", type=flags.batch_sizes, default=(1,), metavar="N[,N...]", help="batch sizes, in turn"
        )
    else:
        parser.add_argument("--bs", type=flags.batch_size, default=1, metavar="N", help="batch size")
    parser.add_argument("--backend", choices=choices.BACKENDS, default="auto", help="what runs the network")
    parser.add_argument("--model", type=Path, metavar="FILE", help=".onnx, .om or, for torch, .pth; found in models/")
    parser.add_argument(
        "--device_id", type=flags.device_id, metavar="D", help="in the file names; first of --device_ids or 0"
    )
    parser.add_argument(
        "--device_ids", type=flags.device_ids, default=(), metavar="D,D,...", help="share the work among these"
    )
    parser.add_argument(
        "--threads",
        type=flags.thread_count,
        default=0,
        metavar="N",
        help="onnxruntime, openvino, torch; 0 leaves it to them",
    )
    add_in_process(parser)
    parser.add_argument(
        "--dtype", choices=dumps.DTYPES, help="on disk; float16 halves it (float32, with --output_type FP16 float16)"
    )
    ascend = parser.add_argument_group("Ascend")
    ascend.add_argument("--benchmark_path", type=Path, metavar="FILE", help="the benchmark tool, if not in this folder")
    ascend.add_argument("--soc_version", metavar="NAME", help="chip, for example Ascend310P3; npu-smi says without it")
    ascend.add_argument("--auto_tune", action="store_true", help="tune while converting, with ATC or AOE; takes hours")
    ascend.add_argument("--aipp", action="store_true", help="uint8 inputs, normalised on the device")
    ascend.add_argument(
        "--dynamic",
        choices=("image_size", "dims"),
        default="image_size",
        help="shape profiles of the .om; dims is for ais_bench",
    )
    ascend.add_argument("--precision_mode", choices=atc_options.PRECISION_MODES, help="ATC's; force_fp16 without it")
    ascend.add_argument("--output_type", choices=atc_options.OUTPUT_TYPES, help="of the .om; FP16 halves the dumps")
    ascend.add_argument("--input_fp16_nodes", default="", metavar="NAME", help="input: the .om takes float16 inputs")
    ascend.add_argument(
        "--atc_args",
        default="",
        metavar="TEXT",
        help='more options of ATC, as in "--op_select_implmode=high_precision"',
    )
    ascend.add_argument(
        "--timeout", type=flags.non_negative, default=0, metavar="S", help="limit of one program's run; 0 is none"
    )


def options(args: argparse.Namespace, batch: int) -> choices.InferenceOptions:
    """The values of ``add``'s flags, or of those of them that a command has, for one batch size."""
    given = vars(args)
    values = {
        field.name: given[field.name] for field in dataclasses.fields(choices.InferenceOptions) if field.name in given
    }
    values["run_on"], number = args.run_on
    if number is not None:
        if given.get("device_ids") or given.get("device_id") not in {None, number}:
            named = f"--device {values['run_on']}:{number} names {'an NPU' if values['run_on'] == NPU else 'a GPU'}"
            raise UserError(f"{named}, and so do --device_id or --device_ids; give one")
        values["device_id"] = number
    atc = AtcOptions(
        given.get("precision_mode"),
        given.get("input_fp16_nodes", ""),
        given.get("output_type") or "",
        atc_options.parse(given.get("atc_args", "")),
    )
    values["dtype"] = given.get("dtype") or atc.output_dtype
    if values["dtype"] != atc.output_dtype == dumps.FLOAT16:
        raise UserError("--output_type FP16 does not go with --dtype float32, which widens it again; omit one of them")
    return choices.InferenceOptions(**values, atc=atc, batch=batch, dynamic_dims=given.get("dynamic") == "dims")
