"""Time the torch backend against its floor: the arithmetic and the bytes that the network cannot do without.

    python3 -m benchmarks.network [--cfg F] [--shape 512x512] [--bs 1,32] [--weights X.pth]

The floor of a batch is the larger of two times: its multiplications and additions at the rate of a large matrix
product, and its bytes (every fused layer's input, output and weights, once) at the rate of a large copy. Both rates are
measured in this run on this device. Steps from the plain network to the backend are timed alternately, so that a noisy
machine slows all. Weights are seeded without --weights: speed does not depend on them. network.md has what was
measured, and what was not.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from benchmarks.pipeline import alternate
from higherhrnet.artifacts import atomic
from higherhrnet.backends import torch as backend
from higherhrnet.backends.base import PRECISIONS
from higherhrnet.cli import flags
from higherhrnet.config import loader
from higherhrnet.model import checkpoint, fusion, network
from higherhrnet.model.architecture import Architecture

_PRODUCT = {"cuda": 8192, "cpu": 1024}  # rows of the square matrices
_COPIED = {"cuda": 1 << 30, "cpu": 1 << 27}  # bytes, beyond any cache


@dataclass(frozen=True)
class Work:
    """What one batch costs at least."""

    operations: float
    """Multiplications and additions of the convolutions."""
    values: float
    """Values read and written by the fused layers, weights included."""


def work(net: network.HigherHRNet, shape: tuple[int, int], batch: int) -> Work:
    """Count on shapes alone: nothing is computed."""
    counter = _Counter(fusion.fuse(net).to("meta"))
    counter.run(torch.empty(batch, 3, *shape, device="meta"))
    return Work(counter.operations, counter.values)


class _Counter(fx.Interpreter):
    operations = 0.0
    values = 0.0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op not in {"call_module", "call_function"}:
            return result
        arguments = [self.env[a] for a in n.all_input_nodes]
        layer = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        weights = list(layer.parameters()) if isinstance(layer, nn.Module) else []
        self.values += sum(t.numel() for t in (*arguments, result, *weights))
        if isinstance(layer, nn.ConvTranspose2d):  # each input value meets the kernel once for every output channel
            self.operations += 2 * arguments[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, (nn.Conv2d, fusion.ConvSumReLU)):
            self.operations += 2 * result.numel() * layer.weight[0].numel()
        return result


def seconds(device: str, rounds: int, programs: Sequence[Callable[[], object]]) -> list[float]:
    """Median seconds of each program, run alternately; a GPU is waited for."""
    if device == "cpu":
        return alternate(rounds, *programs)

    def waited(program: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            program()
            torch.cuda.synchronize()

        return run

    return alternate(rounds, *map(waited, programs))


def rates(device: str, dtype: torch.dtype, rounds: int) -> tuple[float, float]:
    """Operations and bytes a second of a large matrix product and a large copy."""
    size = _PRODUCT[device]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(_COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product, copy = seconds(device, rounds, [lambda: a @ b, lambda: target.copy_(source)])
    return 2 * size**3 / product, 2 * source.numel() / copy


class Backend:
    """The backend on one batch, copies to and from the device included; keeps what the network alone took."""

    def __init__(self, made: backend.Torch, images: Tensor) -> None:
        self._runner = made.open((images.shape[2], images.shape[3]))
        self._runner.sources[0][:] = images.numpy()
        self.executed: list[float] = []

    def __call__(self) -> None:
        """Run the batch."""
        self._runner.launch(0)
        self.executed.append(self._runner.wait(0).execute)


def eager(model: nn.Module, images: Tensor, *, device: str, precision: str, last: bool) -> Callable[[], object]:
    """A call of the model on a batch that is on the device already, kernel by kernel."""
    form: dict[str, Any] = {"device": device, "dtype": getattr(torch, precision)}
    if last:
        form["memory_format"] = torch.channels_last
    prepared, x = model.to(**form), images.to(**form)

    def run() -> object:
        with torch.inference_mode():
            return prepared(x)

    return run


def measure(
    net: network.HigherHRNet, made: backend.Torch, shape: tuple[int, int], *, device: str, precision: str, rounds: int
) -> dict[str, Any]:
    """All steps on one batch, against the floor."""
    images = torch.randn(made.batch, 3, *shape)
    whole = Backend(made, images)
    last: dict[str, Any] = {"device": device, "precision": precision, "last": True}
    programs: dict[str, Callable[[], object]] = {
        "as trained, float32": eager(copy.deepcopy(net), images, device=device, precision="float32", last=False),
        f"folded, {precision}, channels last": eager(network.fold_batch_norm(net), images, **last),
        "the same, and fused": eager(fusion.fuse(net), images, **last),
        "backend, with copies": whole,
    }
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        taken = dict(zip(programs, seconds(device, rounds, list(programs.values())), strict=True))
    taken["backend, network alone"] = statistics.median(whole.executed[1:])
    least = work(net, shape, made.batch)
    per_operation, per_byte = rates(device, getattr(torch, precision), rounds)
    arithmetic = least.operations / per_operation
    moving = least.values * getattr(torch, precision).itemsize / per_byte
    return {
        "batch": made.batch,
        "ms": {name: 1000 * value for name, value in taken.items()},
        "images_per_second": {name: made.batch / value for name, value in taken.items()},
        "operations": least.operations,
        "bytes": least.values * getattr(torch, precision).itemsize,
        "operations_per_second": per_operation,
        "bytes_per_second": per_byte,
        "floor_ms": {"arithmetic": 1000 * arithmetic, "bytes": 1000 * moving},
        "gap": taken["backend, network alone"] / max(arithmetic, moving),
    }


def text(found: dict[str, Any]) -> str:
    """One batch size's figures."""
    batch, floor = found["batch"], found["floor_ms"]
    lines = [
        f"batch {batch}: {found['operations'] / batch / 1e9:.1f} G operations and "
        f"{found['bytes'] / batch / 1e6:.0f} MB an image; this device "
        f"{found['operations_per_second'] / 1e12:.3g} T operations/s and {found['bytes_per_second'] / 1e9:.4g} GB/s"
    ]
    lines += [
        f"  {name:<36}{ms:10.2f} ms{found['images_per_second'][name]:10.1f} images/s"
        for name, ms in found["ms"].items()
    ]
    least = max(floor.values())
    lines.append(
        f"  floor: arithmetic {floor['arithmetic']:.3f} ms, bytes {floor['bytes']:.3f} ms: {1000 * batch / least:.0f} "
        f"images/s; the network alone takes {found['gap']:.1f} times the floor"
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", type=Path, default=loader.DEFAULT)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--shape", default="512x512", help="HxW")
    parser.add_argument("--bs", type=flags.batch_sizes, default=(1, 32))
    parser.add_argument("--precision", choices=PRECISIONS, help="float16 on a GPU, float32 on a CPU without it")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--output", type=Path, help="the figures as JSON")
    args = parser.parse_args(argv)

    device = "cuda" if backend.has_cuda() else "cpu"
    precision = args.precision or ("float16" if device == "cuda" else "float32")
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    height, width = map(int, args.shape.split("x"))
    torch.manual_seed(0)
    config = loader.load(args.cfg)
    architecture = Architecture.from_extra(config.extra, config.heads)
    net = network.HigherHRNet(architecture).eval()
    print(f"{name}, PyTorch {torch.__version__}, {args.cfg.stem}, {args.shape}, median of {args.rounds}")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        weights = args.weights or Path(folder, "seeded.pth")
        if args.weights:
            checkpoint.load(weights, net)
        else:
            torch.save(net.state_dict(), weights)
        for batch in args.bs:
            made = backend.Torch(weights, architecture, batch=batch, precision=precision)
            shape = height, width
            figures.append(measure(net, made, shape, device=device, precision=precision, rounds=args.rounds))
            print(text(figures[-1]), flush=True)
    if args.output:
        atomic.write_json(args.output, {"device": name, "shape": args.shape, "batches": figures})


if __name__ == "__main__":
    main()
