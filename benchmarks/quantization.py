"""Time float32, bfloat16 and INT8 in ONNX Runtime, OpenVINO and PyTorch on one CPU, alternately, at one shape.

    python3 -m benchmarks.quantization [--cfg F] [--weights X.pth] [--shape 512x512] [--threads 2] [--rounds 15]

Weights are seeded without --weights, and calibration inputs are noise: speed depends on neither. Every ratio is of
medians of one run, against ONNX Runtime in float32. ``higherhrnet table`` measures accuracy beside speed; docs/
quantization.md keeps results.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from higherhrnet.artifacts import atomic
from higherhrnet.backends.in_process import InProcess
from higherhrnet.backends.onnxruntime import OnnxRuntime
from higherhrnet.backends.openvino import OpenVino
from higherhrnet.backends.torch import Torch
from higherhrnet.cli import flags
from higherhrnet.config import loader
from higherhrnet.errors import UserError
from higherhrnet.model import checkpoint, export, network, quantization
from higherhrnet.model.architecture import Architecture
from higherhrnet.system import hardware

REFERENCE = "onnxruntime float32"
_TOLD = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "amx_tile")


def backends(
    folder: Path, weights: Path, architecture: Architecture, *, threads: int, bits: int
) -> dict[str, InProcess]:
    """Every backend and precision that this CPU has, float32 in ONNX Runtime first; bfloat16 where it is native."""
    net = network.HigherHRNet(architecture).eval()
    checkpoint.load(weights, net)
    plain, int8 = folder / "plain.onnx", folder / "int8.onnx"
    export.export(net, plain, batch=1)
    source = quantization.load(plain)
    rng = np.random.default_rng(0)
    ranges = quantization.calibrate(
        source, (rng.standard_normal((1, 3, 256, 256), dtype=np.float32) for _ in range(4)), threads=threads
    )
    onnx.save(quantization.quantize(source, ranges, quantization.Scheme(weight_bits=bits)), int8)
    made: dict[str, InProcess] = {
        REFERENCE: OnnxRuntime(plain, batch=1, threads=threads),
        "onnxruntime int8": OnnxRuntime(int8, batch=1, threads=threads),
        "openvino float32": OpenVino(plain, batch=1, threads=threads),
        "openvino int8": OpenVino(int8, batch=1, threads=threads),
        "torch float32": Torch(weights, architecture, batch=1, precision="float32", threads=threads),
    }
    try:
        made["openvino bfloat16"] = OpenVino(plain, batch=1, threads=threads, precision="bfloat16")
        made["openvino int8+bfloat16"] = OpenVino(int8, batch=1, threads=threads, precision="bfloat16")
    except UserError as e:
        print(e)
    else:
        made["torch bfloat16"] = Torch(weights, architecture, batch=1, precision="bfloat16", threads=threads)
    return made


def measure(made: dict[str, InProcess], shape: tuple[int, int], rounds: int) -> dict[str, float]:
    """Median seconds of the network alone, taken in turn, after two calls of each that do not count."""
    sessions = {name: backend.open(shape) for name, backend in made.items()}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for session in sessions.values():
        source = session.sources[0]
        source[:] = np.random.default_rng(0).standard_normal(source.shape, dtype=np.float32)
    for round_ in range(rounds + 2):
        for name, session in sessions.items():
            session.launch(0)
            seconds = session.wait(0).execute
            if round_ >= 2:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def text(found: dict[str, Any]) -> str:
    """The figures as lines."""
    said = ", ".join(found["flags"]) or "none of those that matter"
    lines = [f"{found['cpu']}; {said}; {found['threads']} threads", f"{found['config']}, {found['shape']}, medians"]
    reference = found["seconds"][REFERENCE]
    for name, seconds in found["seconds"].items():
        lines.append(
            f"  {name:<24}{1000 * seconds:9.1f} ms {1 / seconds:8.2f} images/s {reference / seconds:6.2f} times"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", type=Path, default=loader.DEFAULT)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--shape", default="512x512", help="HxW")
    parser.add_argument("--threads", type=flags.thread_count, default=2)
    parser.add_argument("--bits", type=int, choices=quantization.WEIGHT_BITS, default=7, help="of weights")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="the figures as JSON")
    args = parser.parse_args(argv)

    height, width = map(int, args.shape.split("x"))
    config = loader.load(args.cfg)
    architecture = Architecture.from_extra(config.extra, config.heads)
    with tempfile.TemporaryDirectory() as folder:
        weights = args.weights or Path(folder, "seeded.pth")
        if not args.weights:
            torch.manual_seed(0)
            torch.save(network.HigherHRNet(architecture).state_dict(), weights)
        made = backends(Path(folder), weights, architecture, threads=args.threads, bits=args.bits)
        found = {
            "cpu": hardware.cpu(),
            "flags": [flag for flag in _TOLD if flag in hardware.cpu_flags()],
            "threads": args.threads,
            "config": args.cfg.stem,
            "shape": args.shape,
            "seconds": measure(made, (height, width), args.rounds),
            "runtimes": {name: backend.runtime for name, backend in made.items()},
        }
    print(text(found))
    if args.output:
        atomic.write_json(args.output, found)


if __name__ == "__main__":
    main()
