"""Pictures to people without files between: read, transform, network, decode, hand over, side by side.

    source thread -> pool: read, warp -> grouping thread -> network's thread -> pool: decode -> who iterates

Every queue is bounded: memory does not grow with the number of pictures. Pictures of one shape share a batch where they
come within a window; people come in the order of the pictures.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.backends.in_process import DeviceMaps, InProcess
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import geometry, transform
from higherhrnet.pipeline.agreement import Agreement
from higherhrnet.pipeline.batches import Batch, Dtypes, Made, Network, Outputs
from higherhrnet.pipeline.clock import Clock
from higherhrnet.pipeline.device_decode import DeviceDecoder
from higherhrnet.system import signals, workers

_POLL = 0.2  # seconds between looks at whether to stop
_PATIENCE = 0.01  # seconds that a batch of a live source waits for its next picture
_WINDOW = 8  # batches among whose pictures those of one shape are looked for
_CLOSING = 1.0  # seconds that the end waits for a source that gives nothing

Key = TypeVar("Key")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Picture(Generic[Key]):
    """A picture that is asked for; ``key`` is the caller's and comes back with its people."""

    key: Key
    name: str
    """For messages: 'image a/b.jpg'."""
    read: Callable[[], tuple[np.ndarray, Any]]
    """RGB uint8 [h, w, 3], and what else is known once it is read. Called by a thread of the pool.

    Raises BadImageError where there are no pixels to be had.
    """


@dataclass(frozen=True)
class Found(Generic[Key]):
    """What became of a picture."""

    key: Key
    people: decode.People | None = None
    """Keypoints float64 [P, K, 3] in the picture's pixels, of all joints that grouping joins; None of a bad picture."""
    size: tuple[int, int] = (0, 0)
    """Width and height."""
    note: Any = None
    """What reading told beside the pixels."""
    pixels: np.ndarray | None = None
    """RGB uint8 [h, w, 3], where they were asked for."""
    error: BadImageError | None = None
    """Why there are no people."""


@dataclass(frozen=True)
class _Loaded:
    """A picture that was read and warped."""

    warped: np.ndarray
    size: tuple[int, int]
    note: Any
    pixels: np.ndarray | None


@dataclass(frozen=True)
class _Entry(Generic[Key]):
    """A picture on its way; ``number`` counts from 0."""

    number: int
    picture: Picture[Key]
    load: Future[_Loaded]
    outcome: Future[Found[Key]]


class Stream:
    """A backend, and threads that feed it; several runs may go on at once, and share its batches' turns."""

    def __init__(
        self,
        backend: InProcess,
        plan: Plan,
        options: Options,
        *,
        device: int = 0,
        dtypes: Dtypes | None = None,
        threads: int | None = None,
        clock: Clock | None = None,
        agreement: Agreement | None = None,
    ) -> None:
        """Start the network's thread; sessions are opened when a picture of their shape comes.

        ``threads``: that read and decode; by default as many as there are cores, and at least two. ``clock``
        and ``agreement``: those that several streams share.

        Raises
        ------
        UserError : a plan of several scales, or what is not decoded on a device where the backend wants that
        """
        if plan.factors != (1,):
            raise UserError(
                f"TEST.SCALE_FACTOR is {list(plan.factors)}, a stream of pictures is tested at scale 1 only; give "
                f"TEST.SCALE_FACTOR [1], or run preprocessing, inference and postprocessing one by one"
            )
        transform.check_opencv()
        self.clock = clock or Clock()
        self.is_closed = False
        self._process = os.getpid()
        self._plan, self._options, self._batch = plan, options, backend.batch
        self._dtypes = dtypes or Dtypes()
        self._device_decoder = DeviceDecoder(plan, options, backend.heads) if backend.keeps_maps else None
        if self._device_decoder and self._dtypes != Dtypes():
            raise UserError("--decode_on device takes maps as the network makes them; omit it, or --dtype and --aipp")
        self.agreement = (agreement or Agreement(backend.name)) if backend.has_exact else None
        """Whether people are float32's, where the network computes in less."""
        self._threads = threads or min(max(workers.cores(), 2), backend.most_threads)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pictures")
        self._backend = backend
        self._network = Network(backend, self.clock, flip=plan.flip, device=device, dtypes=self._dtypes)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def left_to_host(self) -> int:
        """Images that were to be decoded on the device, which had no memory left."""
        return self._device_decoder.left_to_host if self._device_decoder else 0

    def close(self) -> None:
        """End the threads, and the backend: what they wait for of a device is given up.

        Who still iterates over a run gets a RuntimeError.
        """
        self.is_closed = True
        self._backend.end()
        self._pool.shutdown(cancel_futures=True)
        self._network.close()

    def run(
        self, pictures: Iterable[Picture[Key]], *, live: bool = False, keep_pixels: bool = False
    ) -> Generator[Found[Key], None, None]:
        """The people of each picture, in the pictures' order.

        Parameters
        ----------
        pictures : taken one by one, by a thread of their own
        live : they come in time, as a camera's: what is there is done at once, in batches that are not full, and at
            most two batches are waiting. Else batches depend on nothing but the pictures' order and shapes.
        keep_pixels : hand over the pixels too

        Raises
        ------
        UserError : the network does not run, or gives no numbers
        RuntimeError : the stream was closed, or made by a process that this one was forked from
        whatever ``pictures`` raises, after the people of those before
        """
        if os.getpid() != self._process:
            raise RuntimeError("threads do not survive a fork; make a stream or Pose in the process that uses it")
        run: _Run[Key] = _Run(self, live=live, keep_pixels=keep_pixels)
        threads = [
            threading.Thread(target=run.take, args=(pictures,), name="source", daemon=True),
            threading.Thread(target=run.group, name="groups", daemon=True),
        ]
        try:
            with signals.held():
                for thread in threads:
                    thread.start()
            while (found := run.next()) is not None:
                yield found
        finally:
            run.stop.set()
            for thread in threads:
                if thread.is_alive():
                    thread.join(_CLOSING)

    def load(self, picture: Picture[Any], keep_pixels: bool) -> _Loaded:
        """Read and warp."""
        with self.clock.measure("preprocess"):
            pixels, note = picture.read()
            height, width = pixels.shape[:2]
            warped = transform.warp(pixels, geometry.of_plan(width, height, self._plan))
            return _Loaded(warped, (width, height), note, pixels if keep_pixels else None)

    def dispatch(self, entries: list[_Entry[Any]], stop: threading.Event) -> None:
        """Hand a batch to the network; its people are decoded by the pool."""

        def done(made: Made | BaseException) -> None:
            if isinstance(made, BaseException):
                for entry in entries:
                    entry.outcome.set_exception(made)
                return
            if made.maps is not None:
                try:
                    task = self._pool.submit(self._decode_batch, entries, made.maps, made.exact)
                except RuntimeError:  # the stream was closed: nobody waits for it
                    made.release()
                else:
                    task.add_done_callback(lambda _: made.release())
                return
            left = [len(entries)]
            lock = threading.Lock()

            def release(_: object) -> None:
                with lock:
                    left[0] -= 1
                    last = not left[0]
                if last:
                    made.release()

            for place, entry in enumerate(entries):
                try:
                    task = self._pool.submit(self._decode, entry, made.of(place), [] if place else made.exact)
                except RuntimeError:  # the stream was closed: nobody waits for it
                    release(None)
                else:
                    task.add_done_callback(release)

        batch = Batch([entry.load.result().warped for entry in entries], done)
        while not stop.is_set():
            if self._network.put(batch, _POLL):
                return

    def _decode_batch(
        self, entries: list[_Entry[Any]], maps_of: Callable[[Sequence[int]], DeviceMaps], exact: list[Outputs]
    ) -> None:
        """Set the entries' outcomes from maps on the device."""
        assert self._device_decoder is not None
        options = self._options
        try:
            with self.clock.measure("decode"):
                shape = entries[0].load.result().warped.shape[:2]
                maps = maps_of(options.flip)
                every = self._device_decoder.people(maps, shape, len(entries))
            for place, (entry, people) in enumerate(zip(entries, every, strict=True)):
                of_first = [] if place else exact
                if people is None:
                    self._decode(entry, maps.outputs(place), of_first)
                    continue
                loaded = entry.load.result()
                own = decode.in_image(people, self._plan, *loaded.size, shape, options)
                self._compare(loaded, own, of_first, entry.picture.name)
                entry.outcome.set_result(Found(entry.picture.key, own, loaded.size, loaded.note, loaded.pixels))
        except BaseException as e:
            for entry in entries:
                if not entry.outcome.done():
                    entry.outcome.set_exception(e)

    def _decode(self, entry: _Entry[Any], passes: list[Outputs], exact: list[Outputs]) -> None:
        """Set an entry's outcome; ``exact`` are its outputs in float32, where it is to be compared."""
        loaded = entry.load.result()
        try:
            with self.clock.measure("decode"):
                people = self._people(loaded, passes, entry.picture.name)
            self._compare(loaded, people, exact, entry.picture.name)
            entry.outcome.set_result(Found(entry.picture.key, people, loaded.size, loaded.note, loaded.pixels))
        except BaseException as e:
            entry.outcome.set_exception(e)

    def _people(self, loaded: _Loaded, passes: list[Outputs], name: str) -> decode.People:
        if self._dtypes.outputs != dumps.FLOAT32:
            passes = [self._rounded(both, name) for both in passes]
        try:
            return decode.people_in_image(self._plan, *loaded.size, [passes], self._options)
        except ValueError as e:
            raise UserError(f"{name}: the network's {e}; check the model, and its precision") from e

    def _compare(self, loaded: _Loaded, people: decode.People, exact: list[Outputs], name: str) -> None:
        """Before the outcome is set: who has all of these has the comparison too."""
        if exact and self.agreement is not None:
            height, width = loaded.warped.shape[:2]
            self.agreement.add((height, width), self._people(loaded, exact, name), people)

    def _rounded(self, outputs: Outputs, name: str) -> Outputs:
        first, second = (dumps.encode(a, self._dtypes.outputs, name).astype(np.float32) for a in outputs)
        return first, second


class _Run(Generic[Key]):
    """One run's queues, and what its two threads do."""

    def __init__(self, stream: Stream, *, live: bool, keep_pixels: bool) -> None:
        batch, threads = stream._batch, stream._threads
        self._stream, self._live, self._keep_pixels = stream, live, keep_pixels
        self._batch = batch
        self._window = 0 if batch == 1 else _WINDOW * batch
        ahead = batch if live else batch + threads
        self._loads: queue.Queue[_Entry[Key] | None] = queue.Queue(ahead)
        # More than the window, or it would never fill; two batches more, of which one computes and one is decoded.
        waiting = 2 * batch if live else self._window + 2 * batch + ahead
        self._outcomes: queue.Queue[Future[Found[Key]] | None] = queue.Queue(waiting)
        self._failed: BaseException | None = None
        self.stop = threading.Event()

    def take(self, pictures: Iterable[Picture[Key]]) -> None:
        """The source's thread: have each picture read, and its outcome waited for."""
        try:
            for number, picture in enumerate(pictures):
                if self.stop.is_set():
                    return
                outcome: Future[Found[Key]] = Future()
                if not self._put(self._outcomes, outcome):
                    return
                try:
                    load = self._stream._pool.submit(self._stream.load, picture, self._keep_pixels)
                except RuntimeError:  # the stream was closed
                    return
                if not self._put(self._loads, _Entry(number, picture, load, outcome)):
                    return
        except BaseException as e:
            failed: Future[Found[Key]] = Future()
            failed.set_exception(e)
            self._put(self._outcomes, failed)
        finally:
            self._put(self._outcomes, None)
            self._put(self._loads, None)
            if isinstance(pictures, Generator):  # in this thread, which alone may be in it
                pictures.close()

    def group(self) -> None:
        """The grouping thread: pictures of one shape to batches."""
        try:
            self._group()
        except BaseException as e:  # told to who iterates: nothing else will be
            self._failed = e

    def _group(self) -> None:
        pending: dict[tuple[int, ...], list[_Entry[Key]]] = {}  # the group whose first picture is oldest comes first
        while (entry := self._next_load(pending)) is not None:
            try:
                shape = entry.load.result().warped.shape
            except BadImageError as e:
                entry.outcome.set_result(Found(entry.picture.key, error=e))
            except BaseException as e:
                entry.outcome.set_exception(e)
            else:
                pending.setdefault(shape, []).append(entry)
                if len(pending[shape]) == self._batch:
                    self._dispatch(pending.pop(shape))
            while pending and entry.number - next(iter(pending.values()))[0].number >= self._window:
                self._dispatch(pending.pop(next(iter(pending))))
        while pending and not self.stop.is_set():
            self._dispatch(pending.pop(next(iter(pending))))

    def next(self) -> Found[Key] | None:
        """What became of the next picture, None after the last. Raises RuntimeError once the stream was closed."""
        outcome = self._get(self._outcomes)
        while outcome is not None and not self._stream.is_closed:
            try:
                return outcome.result(_POLL)
            except futures.TimeoutError:  # the built-in one from Python 3.11 on
                if outcome.done():
                    raise
                if self._failed is not None:
                    raise self._failed from None
        if self._stream.is_closed and not self.stop.is_set():
            raise RuntimeError("the stream was closed")
        return None

    def _next_load(self, pending: dict[tuple[int, ...], list[_Entry[Key]]]) -> _Entry[Key] | None:
        while self._live and pending:
            try:
                return self._loads.get(timeout=_PATIENCE)
            except queue.Empty:
                self._dispatch(pending.pop(next(iter(pending))))
        return self._get(self._loads)

    def _dispatch(self, entries: list[_Entry[Key]]) -> None:
        self._stream.dispatch(entries, self.stop)

    def _put(self, to: queue.Queue[Item | None], item: Item | None) -> bool:
        """False where the run was stopped first."""
        while not self.stop.is_set():
            try:
                to.put(item, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False

    def _get(self, source: queue.Queue[Item | None]) -> Item | None:
        """None where the run was stopped first."""
        while not self.stop.is_set():
            try:
                return source.get(timeout=_POLL)
            except queue.Empty:
                continue
        return None
