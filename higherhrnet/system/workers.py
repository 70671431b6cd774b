"""Processes that map a function over items, in order, with bounded memory."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeVar

from higherhrnet.errors import UserError
from higherhrnet.system import signals

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 4  # items a task: the cost of handing over is then small beside milliseconds of work
_GRACE = 5.0  # seconds that workers get to end after a failure, as external programs do
_THREADS_EACH = 2  # a worker's own, and the one that ends it with its parent
_THREADS_OF_POOL = 5  # what the executor starts here, its tracker's process, and a bar's
_LIMITS = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_POLL = 1.0  # seconds
_AHEAD = 4  # tasks a worker that may lie ready, so that memory does not grow with the number of items


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """Processes that are kept for several maps, which may come from several threads.

    With one worker everything happens in this process. The processes start at the first map and end with the block.
    """

    def __init__(self, workers: int) -> None:
        """``workers``: how many processes; nothing is started yet."""
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self.remark = ""
        """What a user should know of it: that there are no processes, because the system allows none."""
        if workers > 1:
            # spawn: fork would copy the threads' locks of OpenCV and OpenBLAS
            _check_limit(workers)
            context = multiprocessing.get_context("spawn")
            try:
                self._executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
            except OSError as e:
                if e.errno in _LIMITS:  # raised, it allows them
                    raise UserError(f"cannot start worker processes: {e.strerror}; give --workers 1") from e
                # /dev/shm is full, not to be written or not there, as in small containers
                self.remark = f"no worker processes ({e.strerror}, of /dev/shm): one does it all, more slowly"

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._executor is None:
            return
        if kind is not None:  # what is under way ends soon, or is of no use any more
            self._executor.shutdown(wait=False, cancel_futures=True)
            _end_workers()
        self._executor.shutdown(cancel_futures=True)

    def _result(self, future: Future[list[Result]]) -> list[Result]:
        """What a task gave. Raises UserError where the executor's own thread has ended, which nobody else notices."""
        assert self._executor is not None
        while not wait([future], timeout=_POLL).done:
            thread: Any = self._executor._executor_manager_thread
            if thread is not None and not thread.is_alive() and not future.done():
                raise UserError(
                    "worker processes cannot be started: the limit of processes and threads (ulimit -u) is too low "
                    "here; raise it, or give --workers 1"
                )
        return future.result()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """``map(function, items)``, results in the items' order, memory bounded whatever their number.

        ``function`` and the items travel by pickle. The first exception of ``function`` is raised here and ends the
        rest of this map.

        Raises UserError: a worker was killed, probably because memory ran out.
        """
        if self._executor is None:
            yield from map(function, items)
            return
        remaining = iter(items)
        pending: deque[Future[list[Result]]] = deque()
        try:
            while chunk := list(islice(remaining, _CHUNK)):
                pending.append(_submit(self._executor, function, chunk))
                if len(pending) >= self._workers * _AHEAD:
                    yield from self._result(pending.popleft())
            while pending:
                yield from self._result(pending.popleft())
        except BrokenProcessPool as e:
            raise UserError(
                "a worker process was killed, probably out of memory; finished work is kept: run again with fewer "
                "--workers"
            ) from e
        finally:
            for future in pending:
                future.cancel()


def _check_limit(workers: int) -> None:
    """Refuse more processes than this user may have: a pool that lacks one of its threads waits for ever."""
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:  # root has no such limit
        return
    wanted = _tasks_of(os.geteuid()) + workers * _THREADS_EACH + _THREADS_OF_POOL
    if wanted > limit:
        raise UserError(
            f"{workers} worker processes cannot be started: with them this user would have {wanted} processes and "
            f"threads, and the limit of processes and threads (ulimit -u) is {limit}; raise it, or give fewer --workers"
        )


def _tasks_of(user: int) -> int:
    """How many processes and threads a user has here."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended this moment
            if process.stat().st_uid == user:
                count += len(os.listdir(process / "task"))
    return count


def _submit(
    executor: ProcessPoolExecutor, function: Callable[[Item], Result], chunk: list[Item]
) -> Future[list[Result]]:
    """Hand a task over.

    A worker that is started for it reads from us what to do: an exception in between would leave it half a message,
    which it answers with a traceback. It inherits a blocked SIGINT, so that Ctrl-C in a terminal ends it through us.
    """
    with signals.held():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return executor.submit(_apply, function, chunk)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_workers() -> None:
    """Wait for this process's workers for a while; kill those that do not end, because they are stopped or hang."""
    deadline = time.monotonic() + _GRACE
    while (left := multiprocessing.active_children()) and time.monotonic() < deadline:
        connection.wait([worker.sentinel for worker in left], max(deadline - time.monotonic(), 0))
    for worker in left:
        worker.kill()


def _apply(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


def _start_worker() -> None:
    """End when the parent is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
