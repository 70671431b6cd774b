"""A device that does nothing until it must, in the worst order: what a missing wait would let happen, happens."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(eq=False)
class Event:
    done: bool = True
    """An event that was never recorded is done, as CUDA has it."""


@dataclass(eq=False)
class Stream:
    queue: deque[Callable[[], bool]] = field(default_factory=deque)
    """Each does its work and returns True, or cannot go on yet."""


class DelayedDevice:
    """``order`` of the streams, by number as they were made: the first does all it can before the next does a thing."""

    def __init__(self, order: Sequence[int], without: int | None = None) -> None:
        """``without``: the number of the call of ``wait``, within a launch, that is left out."""
        self._order, self._without = order, without
        self._streams: list[Stream] = []
        self.waits = 0

    def stream(self) -> Stream:
        self._streams.append(Stream())
        return self._streams[-1]

    def event(self) -> list[Event]:
        return [Event()]  # what it marks now

    def record(self, event: list[Event], stream: Stream) -> None:
        event[0] = mark = Event(done=False)

        def work() -> bool:
            mark.done = True
            return True

        stream.queue.append(work)

    def wait(self, stream: Stream, event: list[Event]) -> None:
        self.waits += 1
        if self._without is not None and self.waits == self._without:
            return
        mark = event[0]
        stream.queue.append(lambda: mark.done)

    def copy(self, target: Any, source: Any, stream: Stream) -> None:
        def work() -> bool:
            target[:] = source
            return True

        stream.queue.append(work)

    def compute(self, work: Callable[[], None], stream: Stream) -> None:
        def done() -> bool:
            work()
            return True

        stream.queue.append(done)

    def synchronize(self, event: list[Event]) -> None:
        mark = event[0]
        while not mark.done:
            assert self._step(), "the streams wait for each other"

    def _step(self) -> bool:
        """The next piece of work of the first stream that has any it may do."""
        for number in self._order:
            queue = self._streams[number].queue
            if queue and queue[0]():
                queue.popleft()
                return True
        return False


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class CpuCard(DelayedDevice):
    """In the place of backends.torch_cuda_device.CudaDevice: memory of the CPU, and graphs that are calls."""

    def __init__(self, order: Sequence[int] = (0, 1, 2), *, full: int = 0, error: Exception = FULL) -> None:
        """``full``: how many captures in a row find the card's memory full, and say it by ``error``."""
        super().__init__(order)
        self.device = torch.device("cpu")
        self.full, self._error = full, error
        self.made: list[int] = []
        """Bytes of the host's memory, as it was asked for."""

    def seconds(self, begin: list[Event], end: list[Event]) -> float:
        assert begin[0].done
        assert end[0].done
        return 0.0

    @contextlib.contextmanager
    def now(self, stream: Stream) -> Iterator[None]:
        while self._step():
            pass
        with torch.inference_mode():
            yield

    @contextlib.contextmanager
    def beside(self, stream: Stream) -> Iterator[None]:
        """Nothing is done for it: who did not wait for what was copied finds what was there before."""
        assert stream in self._streams[3:], "no stream of the copies or the network"
        with torch.inference_mode():
            yield

    def capture(self, work: Callable[[], None], stream: Stream) -> Callable[[], None]:
        if self.full:
            self.full -= 1
            raise self._error
        return torch.inference_mode()(work)

    def on_card(self, size: int) -> torch.Tensor:
        return torch.full((size,), 255, dtype=torch.uint8)  # as float32, NaN

    def on_host(self, size: int) -> torch.Tensor:
        self.made.append(size)
        return self.on_card(size)

    def __str__(self) -> str:
        return "stand-in"
