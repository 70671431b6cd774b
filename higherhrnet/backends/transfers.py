"""Batches to a device, through the network and back, at the same time: what has to wait for what.

Three streams copy in, compute and copy out, each in its own order. The device has two buffers each way, which batches
take in turn, so that one is filled while the other is read. Four waits keep them right:

- a batch is copied in once the batch before last, in the same buffer, has been computed
- it is computed once it is in, and once the results before last, in the same buffer, are out
- results are copied out once they are computed

The rules know nothing of CUDA: tests run them on a stand-in that copies as late as it may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

BUFFERS = 2
"""On the device, each way."""


class Device(Protocol):
    """Streams, events and copies; what they are is the device's own affair."""

    def stream(self) -> Any:
        """A queue of work, done in its order, at any time from now on."""
        ...

    def event(self) -> Any:
        """A mark, for ``record``."""
        ...

    def record(self, event: Any, stream: Any) -> None:
        """Mark what the stream was given until now; an earlier mark of this event is forgotten."""
        ...

    def wait(self, stream: Any, event: Any) -> None:
        """What the stream is given from now on comes after what the event marks now."""
        ...

    def copy(self, target: Any, source: Any, stream: Any) -> None:
        """Queue a copy."""
        ...

    def compute(self, work: Callable[[], None], stream: Any) -> None:
        """Queue the work of the network."""
        ...

    def synchronize(self, event: Any) -> None:
        """Wait here until what the event marks is done."""
        ...


@dataclass(frozen=True)
class Marks:
    """Of one batch on its way."""

    begun: Any
    uploaded: Any
    started: Any
    """Of the network, once all that it waited for was there."""
    computed: Any
    downloaded: Any

    @classmethod
    def of(cls, device: Device) -> Marks:
        """New ones."""
        return cls(*(device.event() for _ in range(5)))


@dataclass(frozen=True)
class Batch:
    """A batch's memory: of the device its views of both buffers each way, as of the host where it lies."""

    source: Any
    inputs: Sequence[Any]
    work: Sequence[Callable[[], None]]
    """The network from an input buffer to the output buffer of the same number."""
    outputs: Sequence[Any]
    result: Any
    marks: Marks


class Transfers:
    """The streams of one device. A batch's host memory and marks are its own from ``launch`` to ``wait``."""

    def __init__(self, device: Device) -> None:
        """Make the streams."""
        self._device = device
        self._up, self.stream, self._down = (device.stream() for _ in range(3))
        self._last: list[Marks | None] = [None] * BUFFERS
        self._turn = 0

    def launch(self, batch: Batch) -> None:
        """Queue a batch; batches of several shapes may follow each other."""
        device, marks = self._device, batch.marks
        buffer, self._turn = self._turn, (self._turn + 1) % BUFFERS
        before = self._last[buffer]
        if before is not None:
            device.wait(self._up, before.computed)
            device.wait(self.stream, before.downloaded)
        device.record(marks.begun, self._up)
        device.copy(batch.inputs[buffer], batch.source, self._up)
        device.record(marks.uploaded, self._up)
        device.wait(self.stream, marks.uploaded)
        device.record(marks.started, self.stream)
        device.compute(batch.work[buffer], self.stream)
        device.record(marks.computed, self.stream)
        device.wait(self._down, marks.computed)
        device.copy(batch.result, batch.outputs[buffer], self._down)
        device.record(marks.downloaded, self._down)
        self._last[buffer] = marks

    def wait(self, batch: Batch) -> None:
        """Wait until a batch's results are in the host's memory."""
        self._device.synchronize(batch.marks.downloaded)
