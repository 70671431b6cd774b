"""What C code says on C's ``stderr`` during a call, where a library tells of something in no other way.

libjpeg decodes a damaged picture, fills in what it lacks, and says so by fprintf: neither OpenCV nor Python learns of
it. glibc lets a program set its variable ``stderr`` (The GNU C Library, 12.2), so it is led into memory while such
calls run. Descriptor 2, and with it all that Python writes, is left alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


def overhear(call: Callable[[], _T]) -> tuple[_T, str]:
    """Call, and return what it returns and what C code said meanwhile, '' for nothing; with another libc always ''.

    Threads may call at the same time. A call during which something is said is made again while no other runs, to know
    whose words they are: it must have no effect that shows. What else is said during calls, by whomever, is dropped.
    """
    with _making:  # one alone knows what the variable was
        stream = _stream(os.getpid())
    return stream.overhear(call) if stream is not None else (call(), "")


class _Stream:
    """A stream in memory that takes the place of ``stderr`` while calls are in it."""

    def __init__(self) -> None:
        c = ctypes.PyDLL(None)  # the GIL is kept: nothing here waits, and taking it again would
        c.open_memstream.restype = ctypes.c_void_p
        c.open_memstream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._flush, self._tell = c.fflush, c.ftell
        self._flush.argtypes = self._tell.argtypes = [ctypes.c_void_p]
        self._tell.restype = ctypes.c_long
        self._text, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._file = c.open_memstream(ctypes.byref(self._text), ctypes.byref(self._size))
        if not self._file:
            raise MemoryError("open_memstream")
        self._stderr = ctypes.c_void_p.in_dll(c, "stderr")
        self._real = self._stderr.value
        self._turn = threading.Condition()
        self._inside = 0
        self._waiting = 0  # for a turn alone

    def overhear(self, call: Callable[[], _T]) -> tuple[_T, str]:
        with self._among_others():
            before = self._tell(self._file)
            result = call()
            if self._tell(self._file) == before:
                return result, ""
        with self._alone():
            before = self._tell(self._file)
            result = call()
            self._flush(self._file)
            text = ctypes.string_at(self._text.value or 0, self._size.value)[before:]
        return result, text.decode(errors="replace")

    @contextmanager
    def _among_others(self) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: not self._waiting)
            self._enter()
        try:
            yield
        finally:
            with self._turn:
                self._leave()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._turn:
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: not self._inside)
            except BaseException:  # a signal
                self._waiting -= 1
                self._turn.notify_all()
                raise
            self._enter()
        try:
            yield
        finally:
            with self._turn:
                self._waiting -= 1
                self._leave()

    def _enter(self) -> None:
        self._inside += 1
        self._stderr.value = self._file

    def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._stderr.value = self._real
            self._turn.notify_all()


@functools.lru_cache(maxsize=1)
def _stream(_process: int) -> _Stream | None:
    """One a process: a forked one has its parent's locks, as they were."""
    return _Stream() if "CS_GNU_LIBC_VERSION" in os.confstr_names else None


_making = threading.Lock()
