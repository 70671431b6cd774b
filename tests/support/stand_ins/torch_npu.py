"""Stand-in for torch_npu: PyTorch's device "npu", whose tensors are the CPU's, strict where the real one is.

By PyTorch's own way to write a backend in Python (torch.utils.backend_registration). Refused, as the real one refuses:
tensors of two devices in one operation, other memory formats than contiguous ("Only c10::MemoryFormat::Contiguous is
supported for creating a npu tensor", TensorFactories.cpp of github.com/Ascend/pytorch), NPUs that are not there,
times between events that are not done. Beyond it, what on a card would be read too early: results of another stream
that nobody waited for. STAND_IN_NPUS is how many there are, STAND_IN_NPU_ROOM the bytes that a tensor may take;
STAND_IN_NPU_BROKEN: it does not load.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch.utils import _pytree, backend_registration

__version__ = "2.13.0"

if os.environ.get("STAND_IN_NPU_BROKEN"):
    raise ImportError("libhccl.so: cannot open shared object file: No such file or directory")

COUNT = int(os.environ.get("STAND_IN_NPUS", "2"))
ROOM = int(os.environ.get("STAND_IN_NPU_ROOM", str(1 << 40)))


class Stream:
    """A queue; ``done`` is how many of its operations there were so far."""

    def __init__(self, device: object = None) -> None:
        self.done = 0


class Event:
    """Marks a stream's operations so far."""

    def __init__(self, enable_timing: bool = False) -> None:
        self._timing, self._mark = enable_timing, (cast("Stream | None", None), 0)
        self._time = 0.0

    def record(self, stream: Stream) -> None:
        self._mark, self._time = (stream, stream.done), time.perf_counter()

    def synchronize(self) -> None:
        stream, number = self._mark
        SEEN[stream] = max(SEEN[stream], number)

    def elapsed_time(self, end: Event) -> float:
        for event in (self, end):
            if not event._timing or event._mark[0] is None or SEEN[event._mark[0]] < event._mark[1]:
                raise RuntimeError("aclrtEventElapsedTime: the event is not recorded, not done or without timing")
        return 1000 * (end._time - self._time)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.device, self.stream = 0, DEFAULT


DEFAULT = Stream()
SEEN: defaultdict[Any, int] = defaultdict(int)
"""How many of each stream's operations the host has waited for: what it asks for next comes after them."""
THREAD = _Thread()


class NpuTensor(torch.Tensor):
    """``raw`` has its values; ``written`` says by which operation of which stream."""

    raw: torch.Tensor
    written: tuple[Stream, int]

    def detach(self) -> NpuTensor:
        made = cast(NpuTensor, super().detach())
        made.raw, made.written = self.raw, self.written
        return made


def _wrapped(raw: torch.Tensor) -> NpuTensor:
    if raw.nbytes > ROOM:
        raise RuntimeError(
            f"NPU out of memory. Tried to allocate {raw.nbytes / 2**20:.2f} MiB (NPU 0; 21.02 GiB total)"
        )
    made: Any = torch._C._acc.create_empty_tensor(raw.shape, raw.dtype)
    made.__class__ = NpuTensor
    made.raw, made.written = raw.contiguous(), (THREAD.stream, THREAD.stream.done)
    return made


def _read(tensor: NpuTensor) -> torch.Tensor:
    stream, number = tensor.written
    if stream is not THREAD.stream and SEEN[stream] < number:
        raise AssertionError("a stream reads what another one may not have written yet")
    return tensor.raw


def _copy(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    value = _read(source) if isinstance(source, NpuTensor) else source
    if isinstance(target, NpuTensor):
        target.raw.copy_(value)
        target.written = THREAD.stream, THREAD.stream.done
    else:
        target.copy_(value)
    if not non_blocking:
        SEEN[THREAD.stream] = THREAD.stream.done
    return target


def _any_operation(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Do on the CPU what PyTorch asks of the device."""
    THREAD.stream.done += 1
    if kwargs.get("memory_format") not in {None, torch.contiguous_format, torch.preserve_format}:
        raise RuntimeError("Only c10::MemoryFormat::Contiguous is supported for creating a npu tensor")
    if op is torch.ops.aten._copy_from.default:
        return _copy(*args, **kwargs)
    tensors = [value for value in _pytree.tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    if any(not isinstance(tensor, NpuTensor) and tensor.dim() for tensor in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found npu:0 and cpu in {op}")
    device = kwargs.pop("device", None)
    if device is not None and not 0 <= (device.index or 0) < COUNT:
        raise RuntimeError(f"Invalid NPU device {device}")
    kwargs.pop("pin_memory", None)
    given, named = _pytree.tree_map_only(NpuTensor, _read, (args, kwargs))
    is_convolution = op is torch.ops.aten.convolution.default
    if is_convolution and given[0].dtype == torch.float32 and npu.conv.allow_hf32:  # 11 bits are left of 24
        given = [part.to(torch.float16).float() if isinstance(part, torch.Tensor) else part for part in given]
    found = op(*given, **named)
    if op._schema.name.endswith("_"):  # in place
        args[0].written = THREAD.stream, THREAD.stream.done
        return args[0]
    return _pytree.tree_map_only(torch.Tensor, _wrapped, found)


def _set_device(device: torch.device | int) -> None:
    index = torch.device("npu", device).index if isinstance(device, int) else device.index
    if not 0 <= index < COUNT:
        raise RuntimeError(f"Invalid NPU device {index}")
    THREAD.device = index


@contextlib.contextmanager
def _stream(stream: Stream) -> Iterator[None]:
    before, THREAD.stream = THREAD.stream, stream
    try:
        yield
    finally:
        THREAD.stream = before


npu = SimpleNamespace(
    is_available=lambda: COUNT > 0,
    device_count=lambda: COUNT,
    get_device_name=lambda index=0: "Ascend310P3",
    set_device=_set_device,
    current_device=lambda: THREAD.device,
    Stream=Stream,
    Event=Event,
    stream=_stream,
    conv=SimpleNamespace(allow_hf32=True),
    _is_in_bad_fork=lambda: False,
)
backend_registration._setup_privateuseone_for_python_backend("npu", npu)
LIBRARY, ATEN = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
LIBRARY.fallback(_any_operation, "PrivateUse1")
ATEN.impl("convolution_overrideable", partial(_any_operation, torch.ops.aten.convolution.default), "PrivateUse1")
torch.version.cann = "8.3.RC1"  # type: ignore[attr-defined]
