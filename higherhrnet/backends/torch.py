"""PyTorch in this process, from the checkpoint itself: a captured graph per shape on an NVIDIA GPU, an NPU, or the CPU.

On a GPU (torch_cuda.py) the network runs in float16, channels last, BatchNorm folded and ReLU fused (fusion.py). A CUDA
graph replays all its kernels in one call, which is what batches of one need: launching 500 kernels takes longer than
computing them. On Ascend's NPU torch_npu runs it, layer by layer (torch_npu.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends import torch_cuda, torch_device, torch_npu
from higherhrnet.backends.base import AUTO, CPU, CUDA, NPU, PRECISIONS
from higherhrnet.backends.in_process import InProcess, Seconds, Session
from higherhrnet.backends.torch_cuda_device import CudaDevice
from higherhrnet.errors import UserError
from higherhrnet.model import fusion
from higherhrnet.model.architecture import Architecture
from higherhrnet.model.checkpoint import load as load_checkpoint
from higherhrnet.model.network import HigherHRNet

NAME = "torch"
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""Largest difference from the network as it was trained, relative to an output's largest value, that passes.

Measured on the demo network on a CPU: 2e-6, 3e-3 and 4e-2.
"""

_CHECKED_SHAPE = (256, 320)
_SLOTS = 2
_LARGEST = (512, 1024)  # of the grid at a short side of 512
_KEPT = 64  # sessions of a GPU: they share its memory, and a grid has 17 shapes or 25

_MOST_THREADS = 16  # that read and decode for a GPU: no more have been tried


def has_cuda() -> bool:
    """Whether there is a GPU that this PyTorch can use."""
    return torch.cuda.is_available()


class Torch(InProcess):
    """The network of a checkpoint, prepared once; without a precision float16 on a GPU or NPU, float32 on a CPU."""

    def __init__(
        self,
        checkpoint: Path,
        architecture: Architecture,
        *,
        batch: int,
        precision: str | None = None,
        devices: Sequence[int] = (0,),
        threads: int = 0,
        on: str = AUTO,
        tuned: bool = False,
        keeps_maps: bool = False,
        largest: tuple[int, int] | None = None,
        say: Callable[[str], object] = print,
        done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Load ``checkpoint`` and prepare its network; on a CPU compare that with the network as it was trained.

        A GPU or NPU compares itself at the first batch of each shape, with ``torch_cuda.LARGEST_DIFFERENCE``.

        Parameters
        ----------
        precision : one of PRECISIONS
        devices : numbers of GPUs or NPUs, each of which gets the network; the first one's name is the backend's
        threads : of the CPU; 0 leaves their number to PyTorch
        on : one of base.DEVICES
        tuned : on a GPU, have cuDNN try its kernels at each shape
        keeps_maps : leave the maps of pictures on a GPU, where they are decoded
        largest : the shape (H, W) that memory on a GPU is made for; without one that of a grid at 512
        say : told what is slower on a GPU than it might be

        Raises
        ------
        UserError : a checkpoint that does not load or fit, a GPU or NPU that is not there, ``keeps_maps`` without a
            GPU, ``tuned`` likewise, or outputs beyond TOLERANCES
        """
        super().__init__(batch=batch, heads=dumps.Heads(architecture.joints, architecture.tags), done=done)
        place = torch_device.choose(on, devices[0])
        self._kind = place.kind
        self.keeps_maps = keeps_maps
        if keeps_maps and self._kind != CUDA:
            raise UserError(f"--decode_on device is for CUDA GPUs, torch computes on {place}; give --decode_on host")
        if tuned and self._kind != CUDA:
            raise UserError(
                f"--tune has cuDNN try its kernels, torch computes on {place}; omit it, or give --device cuda"
            )
        precision = precision or ("float32" if self._kind == CPU else "float16")
        self.name = f"{NAME} {self._kind} {precision}{' tuned' * tuned}"
        self.runtime = place.runtime
        if threads:
            torch.set_num_threads(threads)
        self._precision = precision
        self.has_exact = precision != "float32"
        network = HigherHRNet(architecture).eval()
        load_checkpoint(checkpoint, network)
        self.trained = network
        """As it was loaded."""
        self.has_devices = place.kind != CPU
        if place.kind == NPU:
            for device in devices:
                torch_device.choose(on, device)
            self._npus = {
                device: torch_npu.NpuCard(network, device, precision=precision, batch=batch, heads=self.heads)
                for device in devices
            }
            return
        if place.kind == CUDA:
            self.kept_sessions, self.most_threads = _KEPT, _MOST_THREADS
            setting = torch_cuda.Setting(
                precision, batch, self.heads, largest or _LARGEST, tuned=tuned, say=say, keeps_maps=keeps_maps
            )
            self._cards: dict[int, torch_cuda.Card] = {}
            # Now: errors come before any work, and while a network is traced no other may run in this process.
            for device in devices:
                torch_device.choose(on, device)
                self._cards[device] = torch_cuda.Card(network, CudaDevice(device), setting)
            return
        self._network = prepare(network, precision)
        self.difference = self._difference(network)
        """From the network in float32, relative to an output's largest value."""
        if not self.difference <= TOLERANCES[precision]:  # NaN fails too
            raise UserError(
                f"weights {checkpoint}: {self.name} differs from the network in float32 by {self.difference:.3g} of "
                f"the largest value, expected at most {TOLERANCES[precision]:g}; give another --precision"
            )

    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        """Make buffers and, on a GPU, capture the graphs of this shape."""
        if self._kind == CUDA:
            return self._cards[device].open(shape, pictures=False, flip=False)
        if self._kind == NPU:
            return self._npus[device].open(shape)
        return CpuSession(self._network, _dtype(self._precision), self.batch, shape, self.heads, self.trained)

    def open_pictures(self, shape: tuple[int, int], device: int = 0, *, flip: bool) -> Session:
        """On a GPU a session that takes pictures and computes both passes."""
        if self._kind == CUDA:
            return self._cards[device].open(shape, pictures=True, flip=flip)
        return super().open_pictures(shape, device, flip=flip)

    def _difference(self, network: HigherHRNet) -> float:
        """Of the prepared network from the given one, over a batch's first and last image; NaN where either is."""
        session = self.open(_CHECKED_SHAPE)
        images = torch.randn(session.sources[0].shape, generator=torch.Generator().manual_seed(0))
        session.sources[0][:] = images.numpy()
        session.launch(0)
        session.wait(0)
        compared = [0, self.batch - 1]
        with torch.inference_mode():
            expected = network(images[compared])
        relative = [
            (torch.from_numpy(found[compared]) - reference).abs().max() / reference.abs().max()
            for found, reference in zip(session.results[0], expected, strict=True)
        ]
        return float(torch.stack(relative).max())


def _dtype(precision: str) -> torch.dtype:
    assert precision in PRECISIONS
    return getattr(torch, precision)


def prepare(network: HigherHRNet, precision: str) -> nn.Module:
    """A copy for inference: folded, fused, channels last, of that precision; it stays on the CPU."""
    return fusion.fuse(network).to(dtype=_dtype(precision), memory_format=torch.channels_last)  # type: ignore[call-overload]


class CpuSession:
    """Two slots, so that the order of work is the GPU's; ``launch`` computes."""

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        batch: int,
        shape: tuple[int, int],
        heads: dumps.Heads,
        trained: HigherHRNet,
    ) -> None:
        self._network, self._dtype, self._trained = network, dtype, trained
        self._sources, self._results = _buffers(batch, shape, heads)
        self.sources, self.results = _arrays(self._sources, self._results)
        self._taken = [Seconds(0, 0)] * _SLOTS

    def launch(self, slot: int) -> None:
        start = time.perf_counter()
        _forward(self._network, self._dtype, self._sources[slot], self._results[slot])
        taken = time.perf_counter() - start
        self._taken[slot] = Seconds(infer=taken, execute=taken)

    def wait(self, slot: int) -> Seconds:
        return self._taken[slot]

    def exact(self, slot: int) -> tuple[np.ndarray, ...]:
        """Of the slot's first image, as the network was trained."""
        with torch.inference_mode():
            return tuple(output.numpy() for output in self._trained(self._sources[slot][:1]))


def _forward(network: nn.Module, dtype: torch.dtype, source: Tensor, results: tuple[Tensor, ...]) -> None:
    """Float32 in, float32 out, contiguous both, whatever the network computes in."""
    with torch.inference_mode():
        outputs = network(source.to(dtype=dtype, memory_format=torch.channels_last))
        for result, output in zip(results, outputs, strict=True):
            result.copy_(output)


def _buffers(
    batch: int, shape: tuple[int, int], heads: dumps.Heads
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Host memory of all slots: sources and pairs of results."""
    first, second = dumps.output_shapes(shape, heads)

    def empty(*size: int) -> Tensor:
        return torch.empty(batch, *size)

    sources = [empty(inputs.CHANNELS, *shape) for _ in range(_SLOTS)]
    return sources, [(empty(*first), empty(*second)) for _ in range(_SLOTS)]


def _arrays(
    sources: list[Tensor], results: list[tuple[Tensor, Tensor]]
) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """The same memory as NumPy arrays."""
    return [s.numpy() for s in sources], [(first.numpy(), second.numpy()) for first, second in results]
