"""PyTorch in this process, from the checkpoint itself: a captured graph per shape on an NVIDIA GPU, else the CPU.

On a GPU the network runs in float16, channels last, BatchNorm folded and ReLU fused (fusion.py). A CUDA graph replays
all its kernels in one call, which is what batches of one need: launching 500 kernels takes longer than computing them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends.base import PRECISIONS
from higherhrnet.backends.in_process import InProcess, Seconds, Session
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
_WARM_UP = 3  # calls before a capture: cuDNN tries its kernels in the first, and none of it may be recorded
_SLOTS = 2


def has_cuda() -> bool:
    """Whether there is a GPU that this PyTorch can use."""
    return torch.cuda.is_available()


class Torch(InProcess):
    """The network of a checkpoint, prepared once; float16 on a GPU and float32 on a CPU unless told otherwise."""

    def __init__(
        self,
        checkpoint: Path,
        architecture: Architecture,
        *,
        batch: int,
        precision: str | None = None,
        device: int = 0,
        threads: int = 0,
        done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Load ``checkpoint``, prepare its network, and compare that with the network as it was trained.

        Parameters
        ----------
        precision : one of PRECISIONS
        device : the GPU that the comparison runs on
        threads : of the CPU; 0 leaves their number to PyTorch

        Raises
        ------
        UserError : a checkpoint that does not load or fit, a GPU that is not there, or outputs beyond TOLERANCES
        """
        super().__init__(batch=batch, heads=dumps.Heads(architecture.joints, architecture.tags), done=done)
        self._cuda = has_cuda()
        self._check_device(device)
        precision = precision or ("float16" if self._cuda else "float32")
        self.name = f"{NAME} {'cuda' if self._cuda else 'cpu'} {precision}"
        self.runtime = f"{NAME} {torch.__version__}"
        if threads:
            torch.set_num_threads(threads)
        self._precision = precision
        network = HigherHRNet(architecture).eval()
        load_checkpoint(checkpoint, network)
        self._network = prepare(network, precision)
        self.difference = self._difference(network, device)
        """From the network in float32, relative to an output's largest value."""
        if not self.difference <= TOLERANCES[precision]:  # NaN fails too
            raise UserError(
                f"weights {checkpoint}: {self.name} differs from the network in float32 by {self.difference:.3g} of "
                f"the largest value, expected at most {TOLERANCES[precision]:g}; give another --precision"
            )

    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        """Make buffers and, on a GPU, capture the graph of this shape."""
        self._check_device(device)
        return self._open(self._network, shape, device)

    def _open(self, network: nn.Module, shape: tuple[int, int], device: int) -> Session:
        dtype = _dtype(self._precision)
        if self._cuda:
            return CudaSession(network.to(f"cuda:{device}"), dtype, self.batch, shape, self.heads, device)
        return CpuSession(network, dtype, self.batch, shape, self.heads)

    def _check_device(self, device: int) -> None:
        if self._cuda and device >= torch.cuda.device_count():
            raise UserError(f"GPU {device} is not there, PyTorch sees {torch.cuda.device_count()}; give --device_ids")

    def _difference(self, network: HigherHRNet, device: int) -> float:
        """Of the prepared network from the given one, over a batch's first and last image; NaN where either is."""
        session = self._open(self._network, _CHECKED_SHAPE, device)
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
        self, network: nn.Module, dtype: torch.dtype, batch: int, shape: tuple[int, int], heads: dumps.Heads
    ) -> None:
        self._network, self._dtype = network, dtype
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


class CudaSession:
    """The captured graph of one shape, two slots of page-locked host memory, one stream that all of it runs on."""

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        batch: int,
        shape: tuple[int, int],
        heads: dumps.Heads,
        device: int,
    ) -> None:
        with torch.cuda.device(device):
            self._sources, self._results = _buffers(batch, shape, heads, pinned=True)
            self.sources, self.results = _arrays(self._sources, self._results)
            self._input = torch.zeros_like(self._sources[0], device="cuda")
            self._outputs = tuple(torch.empty_like(r, device="cuda") for r in self._results[0])
            self._stream = torch.cuda.Stream()
            self._events = [[torch.cuda.Event(enable_timing=True) for _ in range(4)] for _ in range(_SLOTS)]
            # Shapes repeat for a whole run, so that trying cuDNN's kernels pays. In float32 not TF32: it is the
            # precision that the others are compared with.
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False):
                self._stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._stream):
                    for _ in range(_WARM_UP):
                        _forward(network, dtype, self._input, self._outputs)
                self._stream.synchronize()
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph, stream=self._stream):
                    _forward(network, dtype, self._input, self._outputs)

    def launch(self, slot: int) -> None:
        begin, copied, computed, end = self._events[slot]
        with torch.cuda.stream(self._stream):
            begin.record(self._stream)
            self._input.copy_(self._sources[slot], non_blocking=True)
            copied.record(self._stream)
            self._graph.replay()
            computed.record(self._stream)
            for result, output in zip(self._results[slot], self._outputs, strict=True):
                result.copy_(output, non_blocking=True)
            end.record(self._stream)

    def wait(self, slot: int) -> Seconds:
        begin, copied, computed, end = self._events[slot]
        end.synchronize()
        return Seconds(infer=begin.elapsed_time(end) / 1000, execute=copied.elapsed_time(computed) / 1000)


def _forward(network: nn.Module, dtype: torch.dtype, source: Tensor, results: tuple[Tensor, ...]) -> None:
    """Float32 in, float32 out, contiguous both, whatever the network computes in."""
    with torch.inference_mode():
        outputs = network(source.to(dtype=dtype, memory_format=torch.channels_last))
        for result, output in zip(results, outputs, strict=True):
            result.copy_(output)


def _buffers(
    batch: int, shape: tuple[int, int], heads: dumps.Heads, *, pinned: bool = False
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Host memory of all slots: sources and pairs of results."""
    first, second = dumps.output_shapes(shape, heads)

    def empty(*size: int) -> Tensor:
        return torch.empty(batch, *size, pin_memory=pinned)

    sources = [empty(inputs.CHANNELS, *shape) for _ in range(_SLOTS)]
    return sources, [(empty(*first), empty(*second)) for _ in range(_SLOTS)]


def _arrays(
    sources: list[Tensor], results: list[tuple[Tensor, Tensor]]
) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """The same memory as NumPy arrays."""
    return [s.numpy() for s in sources], [(first.numpy(), second.numpy()) for first, second in results]
