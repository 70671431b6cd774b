"""An NPU under PyTorch, through Ascend's torch_npu: the network layer by layer, without a graph; nothing ran on a card.

Only what torch_npu's documentation lists is asked for: streams, events, copies that wait, contiguous tensors. Inputs
are copied in and results out on a stream of their own, so that a batch is computed while the one before is read.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends.in_process import Seconds
from higherhrnet.backends.torch_cuda import LARGEST_DIFFERENCE
from higherhrnet.errors import UserError
from higherhrnet.model.network import HigherHRNet, fold_batch_norm

PACKAGE = "torch_npu"
_SLOTS = 2


def load() -> tuple[Any, str]:
    """torch.npu, which importing torch_npu makes, and torch_npu's version.

    Raises
    ------
    UserError : torch_npu is not installed or does not load, or sees no NPU
    """
    why = f"--device npu: {PACKAGE}"
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError as e:
        if e.name != PACKAGE:
            raise UserError(f"{why} needs the package {e.name}; install it too, or give --device cpu") from e
        raise UserError(
            f"{why} is not installed; pip install torch-npu~={torch.__version__.partition('+')[0]}, the one for this "
            f"PyTorch, on a host with CANN, or give --device cpu"
        ) from e
    except (ImportError, OSError, RuntimeError) as e:  # a library of CANN, or another PyTorch than it was built for
        said = " ".join(str(e).split())[:200]
        raise UserError(
            f"{why} does not load: {said}; source CANN's set_env.sh in this shell and see that {PACKAGE} is for "
            f"PyTorch {torch.__version__.partition('+')[0]}, or give --device cpu"
        ) from e
    npu = getattr(torch, "npu", None)
    if npu is None or not npu.is_available():
        raise UserError(
            f"--device npu: {PACKAGE} sees no NPU; see whether npu-smi info answers for this user, or give --device cpu"
        )
    return npu, getattr(package, "__version__", "of unknown version")


@contextlib.contextmanager
def exact_float32(npu: Any) -> Iterator[None]:
    """Convolutions of the block not in HF32, which torch_npu takes for float32 unless told otherwise."""
    before = npu.conv.allow_hf32
    npu.conv.allow_hf32 = False
    try:
        yield
    finally:
        npu.conv.allow_hf32 = before


class NpuCard:
    """An NPU with a network; its sessions are to be called by one thread at a time."""

    def __init__(self, network: HigherHRNet, index: int, *, precision: str, batch: int, heads: dumps.Heads) -> None:
        """Put a copy of ``network``, in eval mode and with BatchNorm folded, on the NPU of that number."""
        self.npu, _ = load()
        self.device, self.precision, self.batch, self.heads = torch.device("npu", index), precision, batch, heads
        self.trained = network
        self.npu.set_device(self.device)
        with self.memory(f"the network in {precision}"):
            self.network: nn.Module = fold_batch_norm(network).to(self.dtype).to(self.device)
        self.copies, self.compute = (self.npu.Stream(device=self.device) for _ in range(2))

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return getattr(torch, self.precision)

    @contextlib.contextmanager
    def memory(self, what: str) -> Iterator[None]:
        """Name a lack of the NPU's memory, which older versions raise as any error of theirs."""
        try:
            yield
        except RuntimeError as e:
            if "out of memory" not in str(e):
                raise
            name = self.npu.get_device_name(self.device.index)
            raise UserError(
                f"{name} (npu:{self.device.index}) has no room for {what}; give a smaller --bs, or free its memory "
                f"(npu-smi info shows who has it)"
            ) from e

    def open(self, shape: tuple[int, int]) -> NpuSession:
        """A session for inputs of ``shape`` (H, W)."""
        return NpuSession(self, shape)


class NpuSession:
    """Two slots of the host's memory; the first batch is compared with the network in float32 on the CPU.

    On the CPU, as some of these chips have no float32 convolution to compare with.
    """

    def __init__(self, card: NpuCard, shape: tuple[int, int]) -> None:
        """Allocate the host's side; the NPU's is torch_npu's to allocate."""
        self._card, self._shape = card, shape
        first, second = dumps.output_shapes(shape, card.heads)
        self._sources = [torch.empty(card.batch, inputs.CHANNELS, *shape) for _ in range(_SLOTS)]
        self._results = [(torch.empty(card.batch, *first), torch.empty(card.batch, *second)) for _ in range(_SLOTS)]
        self.sources: list[np.ndarray] = [source.numpy() for source in self._sources]
        self.results = [(one.numpy(), two.numpy()) for one, two in self._results]
        self._marks = [[card.npu.Event(enable_timing=True) for _ in range(2)] for _ in range(_SLOTS)]
        self._given: list[Tensor | None] = [None] * _SLOTS
        self._made: list[tuple[Tensor, ...]] = [()] * _SLOTS
        self._copied = [0.0] * _SLOTS
        self._exact: dict[int, tuple[Tensor, ...]] = {}  # by slot, until it is launched again
        self._checked = False

    def launch(self, slot: int) -> None:
        self._exact.pop(slot, None)
        card, npu = self._card, self._card.npu
        height, width = self._shape
        npu.set_device(card.device)  # of this thread
        started, computed = self._marks[slot]
        with torch.inference_mode(), card.memory(f"a batch of {card.batch} at {height}x{width}"):
            begin = time.perf_counter()
            with npu.stream(card.copies):
                given = self._sources[slot].to(card.device)  # is there when the call is back
            self._copied[slot] = time.perf_counter() - begin
            with npu.stream(card.compute), exact_float32(npu):
                started.record(card.compute)
                outputs = card.network(given.to(card.dtype))
                self._made[slot] = tuple(output.float() for output in outputs)
                computed.record(card.compute)
            self._given[slot] = given  # until it is computed

    def wait(self, slot: int) -> Seconds:
        card, npu = self._card, self._card.npu
        npu.set_device(card.device)
        started, computed = self._marks[slot]
        computed.synchronize()
        begin = time.perf_counter()
        with torch.inference_mode(), npu.stream(card.copies):
            for result, output in zip(self._results[slot], self._made[slot], strict=True):
                result.copy_(output)
        copied = self._copied[slot] + time.perf_counter() - begin
        if not self._checked:
            self._check(slot)
            self._checked = True
        execute = started.elapsed_time(computed) / 1000
        return Seconds(infer=copied + execute, execute=execute)

    def exact(self, slot: int) -> tuple[np.ndarray, ...]:
        """Of the slot's first image, in float32 on the CPU."""
        if slot not in self._exact:
            with torch.inference_mode():
                self._exact[slot] = self._card.trained(self._sources[slot][:1])
        return tuple(output.numpy() for output in self._exact[slot])

    def _check(self, slot: int) -> None:
        expected = [torch.from_numpy(output) for output in self.exact(slot)]
        found = [
            float((ours[:1] - wanted).abs().max() / wanted.abs().max())
            for ours, wanted in zip(self._results[slot], expected, strict=True)
        ]
        precision = self._card.precision
        worst, most = np.max(found), LARGEST_DIFFERENCE[precision]  # of NaN and numbers NaN
        if not worst <= most:
            height, width = self._shape
            raise UserError(
                f"at {height}x{width}, {precision} on the NPU differs from the network in float32 on the CPU "
                f"by {worst:.3g} of the largest value, expected at most {most:g}; give another --precision"
            )
