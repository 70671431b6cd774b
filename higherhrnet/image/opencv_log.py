"""OpenCV's log, which is the process's: silent while pictures are read, and afterwards as it was."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing is logged by OpenCV in the block, nor in blocks of other threads that overlap it.

    The last of them to end gives back the level that the first one found: if each put back what it had found, those
    that began within another would leave the log silent.
    """
    blocks = _blocks(os.getpid())
    blocks.enter()
    try:
        yield
    finally:
        blocks.leave()


class _Blocks:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._before)


@functools.lru_cache(maxsize=1)
def _blocks(_process: int) -> _Blocks:
    """One a process: a forked one has its parent's lock, as it was."""
    return _Blocks()
