"""The stages side by side: a thread a stage, a queue of one chunk between two, so that the slowest never waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from higherhrnet.artifacts import atomic
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.pipeline.chunks import Chunk
from higherhrnet.pipeline.clock import Clock
from higherhrnet.pipeline.disk import Budget, Usage
from higherhrnet.pipeline.steps import Prepared, Steps
from higherhrnet.system import signals

_POLL = 0.2  # seconds between looks at whether to stop


@dataclass(frozen=True)
class _Item:
    """A chunk on its way, what became of its images, and what went wrong, after which nothing follows."""

    chunk: Chunk | None = None
    prepared: Prepared = field(default_factory=lambda: Prepared({}, {}))
    error: BaseException | None = None


class StoppedError(Exception):
    """Another stage has failed, or the user stopped the run."""


class Stop(threading.Event):
    """Set when a run is to end."""

    def check(self, _count: int = 0) -> None:
        """Raise StoppedError where it is set: a backend that runs in this process calls it between images."""
        if self.is_set():
            raise StoppedError


class Flow:
    """Runs chunks through the steps."""

    def __init__(
        self,
        steps: Steps,
        journal: Journal[PeopleWork],
        folder: Path,
        budget: int,
        *,
        stop: Stop,
        done: Callable[[int], object],
        end_backend: Callable[[], object],
    ) -> None:
        """Chunks are worked on in folders below ``folder``, until ``stop`` is set.

        ``done`` is called with the number of images after each that was decoded or left out, ``end_backend`` when the
        network's runs are to end.
        """
        self.clock = Clock()
        self.usage = Usage(folder.parent)
        self._steps, self._journal, self._folder = steps, journal, folder
        self._budget = Budget(budget, lambda: journal.size)
        self._done, self._end_backend = done, end_backend
        self._stop = stop
        self._preprocessed: queue.Queue[_Item] = queue.Queue(1)
        self._inferred: queue.Queue[_Item] = queue.Queue(1)

    def run(self, chunks: Sequence[Chunk]) -> None:
        """Do all chunks whose images the journal lacks; those that a stopped run began come first.

        Raises
        ------
        whatever a step raises, after the chunks before it are done
        """
        todo = [chunk for chunk in chunks if any(image.index not in self._journal for image in chunk.images)]
        begun = self._begun(todo)
        for chunk in begun:
            self._budget.add(chunk.bytes)
        todo = begun + [chunk for chunk in todo if chunk not in begun]
        held = {chunk.number for chunk in begun}
        threads = [
            threading.Thread(target=self._preprocess_all, args=(todo, held), name="preprocess"),
            threading.Thread(target=self._infer_all, name="infer"),
        ]
        try:
            with signals.held():
                for thread in threads:
                    thread.start()
            while (item := self._get(self._inferred)).chunk is not None:
                self._decode(item)
            if item.error is not None:
                raise item.error
        finally:
            self._stop.set()
            self._end_backend()
            for thread in threads:
                if thread.is_alive():  # not where a signal came before they were started
                    thread.join()
            self.usage.measure()

    def _begun(self, todo: Sequence[Chunk]) -> list[Chunk]:
        """The chunks whose folders are there; all other folders are of another plan, or done, and are deleted."""
        present = {path.name for path in self._folder.iterdir() if path.is_dir()} if self._folder.is_dir() else set()
        begun = [chunk for chunk in todo if chunk.name in present]
        for name in present.difference(chunk.name for chunk in begun):
            atomic.remove_folder(self._folder / name)
        return begun

    def _preprocess_all(self, todo: Sequence[Chunk], held: set[int]) -> None:
        def work() -> None:
            for chunk in todo:
                if chunk.number not in held and not self._budget.take(chunk.bytes, self._stop.is_set):
                    raise StoppedError
                with self.clock.measure("preprocess"):
                    prepared = self._steps.preprocess(chunk, self._folder / chunk.name)
                self._put(self._preprocessed, _Item(chunk, prepared))

        self._to_the_end(work, self._preprocessed)

    def _infer_all(self) -> None:
        def work() -> None:
            while (item := self._get(self._preprocessed)).chunk is not None:
                if len(item.prepared.left_out) < len(item.chunk.images):
                    with self.clock.measure("infer"):
                        self._steps.infer(item.chunk, self._folder / item.chunk.name)
                self.usage.measure()
                self._steps.remove_inputs(self._folder / item.chunk.name)
                self._budget.give_back(item.chunk.input_bytes)
                self._put(self._inferred, item)
            if item.error is not None:
                raise item.error

        self._to_the_end(work, self._inferred)

    def _decode(self, item: _Item) -> None:
        chunk = item.chunk
        assert chunk is not None
        folder = self._folder / chunk.name
        for index, why in item.prepared.left_out.items():
            if index not in self._journal:
                self._journal.leave_out(index, why)
                self._done(1)
        people = iter(()) if len(item.prepared.left_out) == len(chunk.images) else self._decoded(item, folder)
        with self.clock.measure("decode"):
            for image, entries in people:
                if image.index not in self._journal:
                    self._journal.add(image.index, item.prepared.pictures.get(image.index), entries)
                    self._done(1)
            self.usage.measure()
            atomic.remove_folder(folder)
        self._budget.give_back(chunk.scratch_bytes)

    def _decoded(self, item: _Item, folder: Path):
        assert item.chunk is not None
        return self._steps.decode(item.chunk, folder, item.prepared.left_out)

    def _to_the_end(self, work: Callable[[], None], following: queue.Queue[_Item]) -> None:
        """Run a stage's thread; tell the next stage how it ended."""
        error: BaseException | None = None
        try:
            work()
        except StoppedError:
            return
        except BaseException as e:
            error = e
        try:
            self._put(following, _Item(error=error))
        except StoppedError:
            return

    def _put(self, to: queue.Queue[_Item], item: _Item) -> None:
        while True:
            self._stop.check()
            try:
                return to.put(item, timeout=_POLL)
            except queue.Full:
                continue

    def _get(self, source: queue.Queue[_Item]) -> _Item:
        while True:
            self._stop.check()
            try:
                return source.get(timeout=_POLL)
            except queue.Empty:
                if source is self._inferred:  # a tool may be writing what it removes itself
                    self.usage.measure()
