"""Batches of pictures through the network of a backend in this process: one thread, which owns its sessions.

What a session may rely on: ``open``, ``launch`` and ``wait`` are called by one thread; batches of two sessions are
never in flight together; a slot's source is not written between its launch and its wait, nor its results before
everybody is done with them.

What a session may do beyond that, and is used for:

- sources of uint8 [N, H, W, 3] instead of float32 [N, 3, H, W]: it gets RGB pixels and normalises them itself;
- at least twice as many slots as there are launches a batch: results are then handed over where they lie, not copied;
- ``passes`` of 2: one launch computes both passes, results are [2 * N, ...], the plain pass first;
- ``slots_of``, the same object in several sessions: these share their slots, and may be in flight together;
- ``maps``, where the backend ``keeps_maps``: outputs stay on the device, where they are decoded;
- ``exact``, where the backend ``has_exact``: of each shape's first picture the outputs in float32 are handed over too.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends.in_process import DeviceMaps, InProcess, Session
from higherhrnet.image import transform
from higherhrnet.pipeline.clock import Clock

Outputs = tuple[np.ndarray, np.ndarray]
"""output1 and output2 of one input."""


@dataclass(frozen=True)
class Dtypes:
    """What values are rounded to on the way, as they are where inputs and dumps are files of these types."""

    inputs: str = inputs.FLOAT32
    outputs: str = dumps.FLOAT32


@dataclass(frozen=True)
class Batch:
    """Warped pictures of one shape, RGB uint8 [H, W, 3], at most as many as the backend takes at a time."""

    pictures: Sequence[np.ndarray]
    done: Callable[[Made | BaseException], object]
    """Told, by the network's thread, what was made of them, or why nothing was."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)"""
        height, width = self.pictures[0].shape[:2]
        return height, width


@dataclass
class Made:
    """A batch's outputs: of each pass, the plain one first, arrays [N, ...], valid until ``release``."""

    passes: list[Outputs]
    release: Callable[[], object]
    """To be called once, by any thread, when nothing reads the outputs any more."""
    maps: Callable[[Sequence[int]], DeviceMaps] | None = None
    """The outputs where they stay on the device, and ``passes`` is empty, of the given mirror partners of joints."""
    exact: list[Outputs] = field(default_factory=list)
    """Of the first picture those of each pass in float32, where it is a shape's first and precision is less; copies."""

    def of(self, place: int) -> list[Outputs]:
        """The outputs of the picture at a place in the batch, of each pass."""
        return [(first[place], second[place]) for first, second in self.passes]


@dataclass
class _Lane:
    """A session and its slots that nobody reads or computes in."""

    session: Session
    flips: tuple[bool, ...]
    """A launch each; both passes in one where the session does that."""
    free: queue.SimpleQueue[int]

    @property
    def hands_over(self) -> bool:
        """Whether results are read where they lie; else they are copied, and a slot is free once it was waited for."""
        return len(self.session.sources) >= 2 * len(self.flips)

    @property
    def slots_of(self) -> object:
        """The same in lanes that share their slots."""
        return getattr(self.session, "slots_of", self.session)

    def passes(self, slot: int, pictures: int) -> list[Outputs]:
        """The results of a launch, of each pass in it."""
        session = self.session
        starts = range(0, len(session.results[slot][0]), len(session.sources[slot]))
        return [tuple(result[i : i + pictures] for result in session.results[slot]) for i in starts]  # type: ignore[misc]

    @property
    def most_launched(self) -> int:
        """With results handed over, half of the slots compute while the other half is read."""
        slots = len(self.session.sources)
        return slots // 2 if self.hands_over else slots


@dataclass
class _Launched:
    """One pass of a batch that is being computed."""

    lane: _Lane
    slot: int
    batch: Batch
    outputs: list[Outputs]
    exact: list[Outputs] | None
    """None where it is not asked for."""
    slots: list[int]
    is_last: bool


class Network:
    """Runs batches in the order in which they are handed over; ends with the block it is used in."""

    def __init__(
        self,
        backend: InProcess,
        clock: Clock,
        *,
        flip: bool = True,
        device: int = 0,
        dtypes: Dtypes | None = None,
    ) -> None:
        """``flip``: each batch is run on its mirror image too. The thread is started here."""
        self._backend, self._clock, self._device = backend, clock, device
        self._dtypes = dtypes or Dtypes()
        self._lanes: OrderedDict[tuple[int, int], _Lane] = OrderedDict()
        self._flip = flip
        self._seen: set[tuple[int, int]] = set()  # shapes of which what is exact was asked
        self._launched: deque[_Launched] = deque()
        self._batches: queue.Queue[Batch | None] = queue.Queue(1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, batch: Batch, timeout: float) -> bool:
        """Hand over a batch; False where the network has had no room for it for ``timeout`` seconds.

        Raises RuntimeError after the end.
        """
        if self._ended.is_set():
            raise RuntimeError("the network's thread has ended")
        try:
            self._batches.put(batch, timeout=timeout)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """End once what was handed over is done, and let go of all sessions."""
        if not self._ended.is_set():
            self._batches.put(None)
            self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                batch = self._batches.get(block=not self._launched)
            except queue.Empty:
                self._finish()  # nothing else to do: what is launched is wanted soon
                continue
            if batch is None:
                break
            try:
                self._launch(batch)
            except BaseException as e:  # of the backend: said to whom the batch belongs
                self._forget(batch)
                batch.done(e)
        while self._launched:
            self._finish()
        self._lanes.clear()

    def _launch(self, batch: Batch) -> None:
        lane = self._lane(batch.shape)
        outputs: list[Outputs] = []
        exact: list[Outputs] | None = [] if self._backend.has_exact and batch.shape not in self._seen else None
        self._seen.add(batch.shape)
        slots: list[int] = []
        for flip in lane.flips:
            while len(self._launched) >= lane.most_launched:
                self._finish()
            slot = lane.free.get()  # one is free, or is being read and will be
            slots.append(slot)
            try:
                fill(lane.session.sources[slot], batch.pictures, flip=flip, dtype=self._dtypes.inputs)
                with self._clock.measure("infer"):
                    lane.session.launch(slot)
            except BaseException:
                lane.free.put(slot)
                raise
            is_last = flip == lane.flips[-1]
            self._launched.append(_Launched(lane, slot, batch, outputs, exact, slots, is_last=is_last))

    def _lane(self, shape: tuple[int, int]) -> _Lane:
        """The session of a shape; those that have not been used for longest are let go where there are too many."""
        lane = self._lanes.get(shape)
        if lane is None or any(launched.lane.slots_of is not lane.slots_of for launched in self._launched):
            while self._launched:
                self._finish()
        if lane is None:
            while len(self._lanes) >= self._backend.kept_sessions:
                self._lanes.popitem(last=False)
            lane = self._open(shape)
            self._lanes[shape] = lane
        self._lanes.move_to_end(shape)
        return lane

    def _open(self, shape: tuple[int, int]) -> _Lane:
        if self._dtypes.inputs == inputs.FLOAT32:
            session = self._backend.open_pictures(shape, self._device, flip=self._flip)
        else:  # values are rounded on their way, which is done here
            session = self._backend.open(shape, self._device)
        flips = (False, True) if self._flip and getattr(session, "passes", 1) == 1 else (False,)
        lane = _Lane(session, flips, queue.SimpleQueue())
        for other in self._lanes.values():
            if other.slots_of is lane.slots_of:
                lane.free = other.free
                return lane
        for slot in range(len(session.sources)):
            lane.free.put(slot)
        return lane

    def _finish(self) -> None:
        """Wait for the pass that was launched first; with the last of its batch, hand that over."""
        one = self._launched.popleft()
        lane = one.lane
        try:
            with self._clock.measure("infer"):
                lane.session.wait(one.slot)
                if one.exact is not None:
                    one.exact.extend(zip(*lane.session.exact(one.slot), strict=True))  # type: ignore[attr-defined]
        except BaseException as e:
            self._forget(one.batch)
            lane.free.put(one.slot)
            one.batch.done(e)
            return
        if self._backend.keeps_maps:
            maps = partial(lane.session.maps, one.slot)  # type: ignore[attr-defined]
            one.batch.done(Made([], partial(lane.free.put, one.slot), maps, one.exact or []))
            return
        count = len(one.batch.pictures)
        passes = lane.passes(one.slot, count)
        if not lane.hands_over:
            passes = [(first.copy(), second.copy()) for first, second in passes]
            lane.free.put(one.slot)
        one.outputs.extend(passes)
        if one.is_last:
            held = one.slots if lane.hands_over else []

            def release() -> None:
                for slot in held:
                    lane.free.put(slot)

            one.batch.done(Made(one.outputs, release, exact=one.exact or []))

    def _forget(self, batch: Batch) -> None:
        """Drop the session of a batch that failed, with whatever else of the batch is under way in it."""
        for other in [launched for launched in self._launched if launched.batch is batch]:
            self._launched.remove(other)
        self._lanes.pop(batch.shape, None)


def fill(source: np.ndarray, pictures: Sequence[np.ndarray], *, flip: bool, dtype: str = inputs.FLOAT32) -> None:
    """Put pictures, RGB uint8 [H, W, 3], or their mirror images into a slot's source; what is left repeats the first.

    source : float32 or float16 [N, 3, H, W], normalised here, or uint8 [N, H, W, 3]
    dtype : float32, or float16 to which the normalised values are rounded
    """
    for place, picture in zip(source, pictures, strict=False):
        pixels = transform.mirror_pixels(picture) if flip else picture
        if place.dtype == np.uint8:
            place[:] = pixels
            continue
        if place.dtype == np.float16:
            place[:] = transform.normalise(pixels)
            continue
        transform.normalise(pixels, place)
        if dtype == inputs.FLOAT16:
            place[:] = place.astype(np.float16)
    source[len(pictures) :] = source[0]
