"""A GPU as CUDA has it, through PyTorch: streams, events, copies, captures, memory, and what it fails with.

Whatever a thread asks for, it is this card's: CUDA's own first one, where a thread begins, may be another's.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from higherhrnet.errors import UserError


class CudaDevice:
    """transfers.Device, and all else that is asked of CUDA: tests put a stand-in in its place."""

    def __init__(self, index: int) -> None:
        """The GPU of that number."""
        self.device = torch.device("cuda", index)
        self._pool = torch.cuda.graph_pool_handle()

    def stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    def event(self) -> torch.cuda.Event:
        return torch.cuda.Event(enable_timing=True)

    def record(self, event: torch.cuda.Event, stream: torch.cuda.Stream) -> None:
        event.record(stream)

    def wait(self, stream: torch.cuda.Stream, event: torch.cuda.Event) -> None:
        stream.wait_event(event)

    def copy(self, target: Tensor, source: Tensor, stream: torch.cuda.Stream) -> None:
        with self._on(stream):
            target.copy_(source, non_blocking=True)

    def compute(self, work: Callable[[], None], stream: torch.cuda.Stream) -> None:
        with self._on(stream):
            work()

    @contextlib.contextmanager
    def _on(self, stream: torch.cuda.Stream) -> Iterator[None]:
        """The stream alone would leave by way of the thread's device, the first card, and take memory there."""
        with torch.cuda.device(self.device), torch.cuda.stream(stream):
            yield

    def synchronize(self, event: torch.cuda.Event) -> None:
        with torch.cuda.device(self.device):
            event.synchronize()

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Between two marks that are done."""
        return begin.elapsed_time(end) / 1000

    @contextlib.contextmanager
    def beside(self, stream: torch.cuda.Stream) -> Iterator[None]:
        """What the block asks for is done on a stream, beside all else; it waits for what it takes to the host."""
        with told(self), self._on(stream), torch.inference_mode():
            yield

    @contextlib.contextmanager
    def now(self, stream: torch.cuda.Stream) -> Iterator[None]:
        """What the block asks for is done on a stream, after all that the device was given before."""
        with torch.cuda.device(self.device), torch.inference_mode():
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            with torch.cuda.stream(stream):
                yield
            torch.cuda.synchronize()

    def capture(self, work: Callable[[], None], stream: torch.cuda.Stream) -> Callable[[], None]:
        """The kernels that ``work`` would run, to be run at a call: they are not run now.

        The memory that they need in between is the same for all, as they run on one stream; nothing of it is kept.
        """
        graph = torch.cuda.CUDAGraph()
        # Other threads may use CUDA meanwhile, as those of other cards.
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    def on_card(self, size: int) -> Tensor:
        """Bytes on the card."""
        return torch.empty(size, dtype=torch.uint8, device=self.device)

    def on_host(self, size: int) -> Tensor:
        """Bytes of the host's memory that a GPU copies to and from by itself.

        Registered, as PyTorch's own page-locked memory takes a power of two, 1.6 s a GB, and is kept for good.
        """
        pages = mmap.mmap(-1, size)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without them
                pages.madvise(mmap.MADV_HUGEPAGE)
        array = np.frombuffer(pages, np.uint8)
        address = array.ctypes.data
        with torch.cuda.device(self.device):
            status = int(torch.cuda.cudart().cudaHostRegister(address, size, 0))
        if status:
            raise UserError(f"CUDA cannot lock {size / 1e6:.0f} MB of memory (error {status}); give a smaller --bs")
        weakref.finalize(array, self._unlock, address).atexit = False
        return torch.from_numpy(array)

    def _unlock(self, address: int) -> None:
        with contextlib.suppress(RuntimeError), torch.cuda.device(self.device):  # of a card that has failed
            torch.cuda.cudart().cudaHostUnregister(address)

    def __str__(self) -> str:
        total = torch.cuda.get_device_properties(self.device).total_memory
        return f"{torch.cuda.get_device_name(self.device)} ({self.device}, {total / 1e9:.0f} GB)"


@contextlib.contextmanager
def told(device: CudaDevice, room: str = "") -> Iterator[None]:
    """Name the card that fails in the block: by itself, or as this PyTorch has no kernels for it.

    Raises UserError with what CUDA says first, as its advice on debugging is for programmers; with ``room``, what
    memory is needed for, also where that is lacking.
    """
    try:
        yield
    except torch.OutOfMemoryError as e:
        if not room:
            raise
        raise UserError(f"{device} has no room for {room}; give a smaller --bs, or free memory of the GPU") from e
    except torch.AcceleratorError as e:
        said = str(e).partition("\n")[0]
        raise UserError(f"{device}: {said}; see that this PyTorch is for that card, and what nvidia-smi says") from e
