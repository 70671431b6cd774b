"""Signals that end a program: what answers them, and blocks that none breaks into."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, kill, and a terminal that closed."""
_NONE = 0  # no signal has this number


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A block that no signal breaks into, for what must not stay half done; one that came is answered at its end.

    No mask of the thread's: what is started in the block would inherit it, and other threads would take the signal.
    """
    came: list[int] = []
    try:
        with handled_by(lambda number, _: came.append(number)):
            yield
    finally:
        if came:
            handler = signal.getsignal(came[-1])
            if callable(handler):  # not raised again: ``watched`` would take that for a second signal
                handler(came[-1], None)
            else:
                signal.raise_signal(came[-1])


@contextlib.contextmanager
def watched(came: Callable[[int], object]) -> Iterator[None]:
    """Call ``came`` with each signal that arrives in a block, from a thread of its own.

    Also while the main thread is in a library's call that does not return, where Python runs no handler. Outside the
    main thread nothing is watched.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reading, came), name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, bytes([_NONE]))
        thread.join()
        os.close(writing)
        os.close(reading)


def _watch(reading: int, came: Callable[[int], object]) -> None:
    while (number := os.read(reading, 1)[0]) != _NONE:
        if number in NUMBERS:
            came(number)


@contextlib.contextmanager
def handled_by(handler: Any) -> Iterator[None]:
    """Let ``handler`` answer the signals in a block; outside the main thread, where none is answered, do nothing."""
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                before[number] = signal.getsignal(number)
                set_handler(number, handler)
        yield
    finally:
        for number, was in before.items():
            set_handler(number, was)


def set_handler(number: signal.Signals, handler: Any) -> None:
    """Set a signal's handler, unless it is ignored, as by nohup or in a shell's background."""
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, handler)
