"""Signals that end a program: what answers them, and blocks that none breaks into."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, kill, and a terminal that closed."""


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
            signal.raise_signal(came[-1])


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
