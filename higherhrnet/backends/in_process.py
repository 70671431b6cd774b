"""What backends that run the network in this process have in common: reading, batches, time, writing.

A subclass opens a session for each shape. A session has one slot or several, each a batch's buffers: with two, the
next batch is read and the last one written while an accelerator computes.
"""

from __future__ import annotations

import abc
import contextlib
import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np

from higherhrnet.artifacts import atomic, dumps, info, inputs, perf, sources
from higherhrnet.backends.base import Figures, Work
from higherhrnet.errors import UserError
from higherhrnet.image import transform


@dataclass(frozen=True)
class Seconds:
    """What one batch took."""

    infer: float
    """The network with the copies to and from the device."""
    execute: float
    """The network alone, its inputs and outputs in the device's memory: what the guide's table is of."""


class NoRoomError(Exception):
    """A device has no memory left for what was asked of maps on it."""


class Peaks(NamedTuple):
    """Candidates of N images, as decode.peaks.find returns them of one."""

    fine: np.ndarray  # bool [N], whether all values are finite and such as the decode takes
    counts: np.ndarray  # int64 [N, K]
    points: np.ndarray  # int64 [N, K, limit, 2], x and y
    values: np.ndarray  # float32 [N, K, limit]
    tags: np.ndarray  # float32 [N, K, limit, 2]


class Points(NamedTuple):
    """Pixels of heatmaps."""

    xy: np.ndarray  # int64 [P, 2]
    values: np.ndarray  # float32 [P]
    rises: np.ndarray  # bool [P, 2], whether heat rises rightward, and downward, from neighbour to neighbour


class DeviceMaps(Protocol):
    """A batch's outputs on the device that made them, to be asked by one thread; see torch_decode.Maps."""

    def find(self, *, kernel: int, limit: int, threshold: float) -> Peaks:
        """The candidates of all images. Raises NoRoomError, as the other methods do."""
        ...

    def finish(self, found: np.ndarray, missing: np.ndarray, means: np.ndarray) -> Points:
        """The points of joints found, and of the best places of joints missing."""
        ...

    def outputs(self, image: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """An image's outputs, of each pass, in the host's memory."""
        ...


class Session(Protocol):
    """The network, ready for batches of one shape on one device."""

    @property
    def sources(self) -> Sequence[np.ndarray]:
        """A slot each: float32 [N, 3, H, W], to be filled before ``launch``.

        On Ascend they are what the .om takes: float16 [N, 3, H, W] too, or uint8 RGB [N, H, W, 3] with AIPP.
        """
        ...

    @property
    def results(self) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """A slot each: float32 [N, 2K, H/4, W/4] and [N, K, H/2, W/2], to be read after ``wait``."""
        ...

    def launch(self, slot: int) -> None:
        """Start on a slot's source. Batches are computed in the order of their launch."""
        ...

    def wait(self, slot: int) -> Seconds:
        """Wait until the slot's results are there."""
        ...


class InProcess(abc.ABC):
    """Runs the network here, a session at a time on each device."""

    name: str
    runtime: str
    model_hash = ""
    kept_sessions = 4
    """Sessions that a stream of pictures keeps open, each of a shape: more where opening one takes long."""
    has_devices = False
    """Whether ``open`` may be called for several devices, whose sessions then work at the same time."""
    keeps_maps = False
    """Whether the sessions of ``open_pictures`` leave outputs on the device, for the decode there."""
    has_exact = False
    """Whether sessions compute in less than float32, and tell by ``exact`` what float32 would have given."""
    most_threads = 8
    """Of a stream's that read and decode: beyond, its one thread that hands over batches is the limit."""

    def __init__(self, *, batch: int, heads: dumps.Heads, done: Callable[[int], object]) -> None:
        """``done`` is called with the number of images after each batch."""
        self.batch, self.heads, self._done = batch, heads, done
        self._lock = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}
        self._opened: dict[int, tuple[tuple[int, int], Session]] = {}
        """By device: the shape, and its session."""

    @abc.abstractmethod
    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        """A session for inputs of ``shape`` (H, W). What it allocates goes with it."""

    def open_pictures(self, shape: tuple[int, int], device: int = 0, *, flip: bool) -> Session:
        """A session for pictures of ``shape`` (H, W) without files; ``flip``: the flipped pass is wanted too.

        A session may do more than ``open``'s, and says so:

        - its sources are uint8 [N, H, W, 3], RGB, which it normalises itself
        - ``passes`` is 2: a launch computes both passes, and results are [2 * N, ...], the plain pass first
        - ``maps``, where the backend ``keeps_maps``: a slot's outputs on the device as DeviceMaps, of the mirror
          partners that are given (Options.flip); ``results`` are then none
        - ``exact(slot)``, where the backend ``has_exact``: asked between a slot's ``wait`` and its next ``launch``, by
          the same thread, what its first picture's results are in float32: [passes, ...] each, as a copy
        - ``slots_of`` is the same object in several sessions: they share their slots, and may be in flight together
        """
        return self.open(shape, device)

    def run(self, work: Work) -> Figures:
        """Make the dumps of all entries; a last batch that is not full repeats its first image.

        The session stays for the next work of the same shape: chunks of a few images would else pay for opening it.
        """
        with self._lock:
            lock = self._locks.setdefault(work.device, threading.Lock())
        with lock:
            return {work.shape: self._run(work, self._ready(work))}

    def _ready(self, work: Work) -> Session:
        """A session; for the plain pass, which is timed, one that has been called once."""
        opened = self._opened.get(work.device)
        if opened is None or opened[0] != work.shape:
            self._opened.pop(work.device, None)  # the buffers of the last shape go before those of the next come
            del opened
            session = self.open(work.shape, work.device)
            if work.flip:
                return session
            fill(session.sources[0], [work.entries[0].path], work.dtype)
            session.launch(0)
            session.wait(0)  # the first call of a shape plans its memory: not timed
            self._opened[work.device] = work.shape, session
        return self._opened[work.device][1]

    def _run(self, work: Work, session: Session) -> str:
        launched: deque[tuple[int, Sequence[info.Entry]]] = deque()
        try:
            return self._run_batches(work, session, launched)
        except Exception:
            for slot, _ in launched:  # what is still copied may not be written to by the next work
                with contextlib.suppress(UserError):  # of a device that is gone, which is being said already
                    session.wait(slot)
            raise
        except BaseException:  # a signal, which waits for no device: it may hang
            self._opened.pop(work.device, None)
            raise

    def _run_batches(self, work: Work, session: Session, launched: deque[tuple[int, Sequence[info.Entry]]]) -> str:
        read = execute = infer = write = 0.0
        slots = len(session.sources)

        def finish() -> None:
            nonlocal execute, infer, write
            slot, entries = launched.popleft()
            taken = session.wait(slot)
            share = len(entries) / self.batch  # of a padded batch: see perf
            execute, infer = execute + share * taken.execute, infer + share * taken.infer
            start = time.perf_counter()
            for place, entry in enumerate(entries):
                files = work.naming.paths(work.dumps, inputs.index_of(entry.path))
                for file, result in zip(files, session.results[slot], strict=True):
                    content = dumps.encode(result[place], work.dump_dtype, entry.path.name)
                    atomic.write_bytes(file, dumps.stored(file, content))
            write += time.perf_counter() - start
            self._done(len(entries))

        begin = time.perf_counter()
        batches = [work.entries[i : i + self.batch] for i in range(0, len(work.entries), self.batch)]
        for number, entries in enumerate(batches):
            if len(launched) == slots:
                finish()
            slot = number % slots
            start = time.perf_counter()
            fill(session.sources[slot], [entry.path for entry in entries], work.dtype)
            work.check(entries)
            read += time.perf_counter() - start
            session.launch(slot)
            launched.append((slot, entries))
        while launched:
            finish()
        timings = perf.Timings(
            images=len(work.entries),
            batches=len(batches),
            total=time.perf_counter() - begin,
            read=read,
            infer=infer,
            execute=execute,
            write=write,
        )
        return timings.text()

    def recover(self, work: Work) -> Figures:
        """Nothing: these backends work in this process."""
        return {}

    def command(self, work: Work) -> str:
        """A remark: these backends run no program."""
        return f"# {work.shape[0]}x{work.shape[1]}: {self.name} runs inside this program"

    def scratch_bytes(self, shape: tuple[int, int], dump_dtype: str) -> int:
        """The two dumps."""
        return sum(dumps.output_bytes(shape, self.heads, dump_dtype))

    def end(self) -> None:  # noqa: B027  # nothing to end is no duty to fulfil
        """Nothing: there are no other threads."""


def fill(source: np.ndarray, files: Sequence[Path], dtype: str) -> None:
    """Read at most N inputs into a source [N, 3, H, W], uint8 [N, H, W, 3]; what is left of it repeats the first.

    Raises UserError: a file that cannot be read, or of another size than ``dtype`` and the shape make it.
    """
    for file, image in zip(files, source, strict=False):
        _read(file, image, dtype)
    source[len(files) :] = source[0]


def _read(file: Path, image: np.ndarray, dtype: str) -> None:
    """Fill one image's part of the source, normalising what AIPP would, unless the source is for AIPP.

    Raises UserError naming the file.
    """
    raw = image
    if image.dtype == dtype:
        pass
    elif dtype == inputs.UINT8:
        raw = np.empty((*image.shape[1:], inputs.CHANNELS), np.uint8)  # [H, W, 3]
    elif dtype == inputs.FLOAT16:
        raw = np.empty(image.shape, np.float16)
    try:
        with sources.open_file(file, buffering=0) as stream:
            if file.suffix == ".npy":
                stream.seek(-raw.nbytes, os.SEEK_END)
            count = cast(io.RawIOBase, stream).readinto(memoryview(raw.data).cast("B"))
    except OSError as e:
        raise UserError(f"cannot read input {file}: {e.strerror}; run preprocessing and gen_dataset_info again") from e
    if count != raw.nbytes:
        raise UserError(f"input {file}: found {count} bytes, expected {raw.nbytes}; run preprocessing again")
    if raw is not image:
        image[:] = transform.normalise(raw) if dtype == inputs.UINT8 else raw
