"""Ascend's NPU under PyTorch, through torch_npu: the network in float16, a batch at a time, no graph.

It has never run on an NPU: tests put a stand-in in torch_npu's place.
"""

from __future__ import annotations

import importlib
import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import nn

from higherhrnet.artifacts import dumps
from higherhrnet.backends.in_process import Seconds
from higherhrnet.backends.torch_cuda import LARGEST_DIFFERENCE
from higherhrnet.errors import UserError
from higherhrnet.model import fusion
from higherhrnet.model.network import HigherHRNet

_SLOTS = 2


def why_not() -> str:
    """Why PyTorch can use no NPU; '' where it can. torch_npu is imported, which adds ``torch.npu``."""
    try:
        importlib.import_module("torch_npu")
    except (ImportError, OSError, RuntimeError) as e:  # its own libraries need CANN's on the loader's path
        return (
            f"torch_npu does not load ({' '.join(str(e).split())[:200]}); install the one for PyTorch "
            f"{torch.__version__}, and source CANN's set_env.sh"
        )
    return "" if _npu().is_available() else "torch_npu sees no NPU; see npu-smi info"


class Npu:
    """An NPU, and all that is asked of torch_npu."""

    def __init__(self, index: int) -> None:
        """The NPU of that number. Raises UserError where it is not there."""
        if index >= _npu().device_count():
            raise UserError(f"NPU {index} is not there, torch_npu sees {_npu().device_count()}; give --device_ids")
        self.index = index

    @property
    def device(self) -> torch.device:
        """As PyTorch calls it; torch_npu has made the name known."""
        return torch.device("npu", self.index)

    def here(self) -> AbstractContextManager[object]:
        """What the block asks for is of this NPU: torch_npu keeps the current one by thread."""
        return _npu().device(self.index)

    def synchronize(self) -> None:
        """Wait until it has done all that it was given. Inside ``here``."""
        _npu().synchronize()

    @property
    def name(self) -> str:
        """As the driver has it."""
        return _npu().get_device_name(self.index)


class NpuNetwork:
    """A network on an NPU."""

    def __init__(self, network: HigherHRNet, npu: Npu, precision: str, batch: int, heads: dumps.Heads) -> None:
        """Put a copy of ``network``, in eval mode, onto the NPU: BatchNorm folded, of a precision."""
        self.npu, self.precision, self.batch, self.heads = npu, precision, batch, heads
        self.dtype: torch.dtype = getattr(torch, precision)
        self.trained = network
        with npu.here():
            self.network: nn.Module = fusion.fuse(network).to(device=npu.device, dtype=self.dtype)

    def open(self, shape: tuple[int, int]) -> NpuSession:
        """A session of a shape (H, W)."""
        return NpuSession(self, shape)


class NpuSession:
    """Two slots of the host's memory, as in_process.Session; ``launch`` computes.

    The first image of the first batch is compared with the network as it was trained, in float32 on the CPU.
    """

    def __init__(self, of: NpuNetwork, shape: tuple[int, int]) -> None:
        self._of, self._shape = of, shape
        first, second = ((of.batch, *size) for size in dumps.output_shapes(shape, of.heads))
        self._sources = [torch.empty(of.batch, 3, *shape) for _ in range(_SLOTS)]
        self._results = [(torch.empty(first), torch.empty(second)) for _ in range(_SLOTS)]
        self.sources = [source.numpy() for source in self._sources]
        self.results = [(one.numpy(), other.numpy()) for one, other in self._results]
        self._taken = [Seconds(0, 0)] * _SLOTS
        self._checked = False

    def launch(self, slot: int) -> None:
        npu = self._of.npu
        try:
            with npu.here(), torch.inference_mode():
                begin = time.perf_counter()
                source = self._sources[slot].to(device=npu.device, dtype=self._of.dtype)
                npu.synchronize()
                start = time.perf_counter()
                outputs = self._of.network(source)
                npu.synchronize()
                end = time.perf_counter()
                for result, output in zip(self._results[slot], outputs, strict=True):
                    result.copy_(output)
                npu.synchronize()
                self._taken[slot] = Seconds(infer=time.perf_counter() - begin, execute=end - start)
        except RuntimeError as e:  # torch_npu's words of its own and of CANN
            height, width = self._shape
            raise UserError(
                f"NPU {npu.index}, {height}x{width}: {' '.join(str(e).split())[:300]}; give a smaller --bs, or see "
                f"npu-smi info"
            ) from e
        if not self._checked:
            self._check(slot)
            self._checked = True

    def wait(self, slot: int) -> Seconds:
        return self._taken[slot]

    def _check(self, slot: int) -> None:
        with torch.inference_mode():
            expected = self._of.trained(self._sources[slot][:1])
        found = [_relative(ours[:1], wanted) for ours, wanted in zip(self._results[slot], expected, strict=True)]
        worst = float(np.max(found))  # of NaN and numbers NaN
        most = LARGEST_DIFFERENCE[self._of.precision]
        if not worst <= most:
            height, width = self._shape
            raise UserError(
                f"at {height}x{width}, {self._of.precision} on NPU {self._of.npu.index} differs from the network in "
                f"float32 by {worst:.3g} of the largest value, expected at most {most:g}; give another --precision"
            )


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def _npu() -> Any:
    """torch_npu's part of torch, which PyTorch's own type stubs do not know."""
    return torch.npu  # type: ignore[attr-defined]
