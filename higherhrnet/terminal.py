"""What a script owes its terminal: an end without traceback at any signal, and streams that nothing else can take.

Imports little, so that a script can call ``prepare`` before the imports that take seconds.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from higherhrnet.errors import UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, and a terminal that closed
_AGAIN = 0.05  # seconds: a finalizer is over by then


def prepare() -> None:
    """Open the standard streams that are closed, and end at a signal with one line and status 128 + its number.

    To be called first in a script, where it is the program. ``Interruption`` takes the signals over while the script
    works and gives them back, so that none of them meets Python's own handler, which ends in a traceback.
    """
    _open_streams()
    for number in _SIGNALS:
        _handle(number, _end)


def say(line: str = "", end: str = "\n") -> None:
    """Write a line to standard error, and what others left to write; nothing happens where that fails."""
    try:
        print(line, end=end, file=sys.stderr, flush=True)
    except OSError:
        _drop(2)


def say_interrupted() -> None:
    """Write the one line with which an interrupted program ends."""
    say("interrupted; finished files are kept, the same command goes on from them")


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """A block in which failing to write standard output is the user's error, and what it wrote is written at its end.

    Characters that the locale lacks come out escaped, as on standard error. A reader that has gone, as of ``| head``,
    ends the block with SystemExit(1): nothing is left to say to it. Standard error may fail.
    """
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper):
        yield
        return
    before.flush()
    output = _Stdout(
        before.buffer,
        encoding=before.encoding,
        errors="backslashreplace",
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    sys.stdout = output
    try:
        yield
        output.flush()
    finally:
        sys.stdout = before
        output.detach()
        say(end="")


class _Stdout(io.TextIOWrapper):
    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as e:
            raise self._lost(e) from e

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as e:
            raise self._lost(e) from e

    def _lost(self, error: OSError) -> BaseException:
        _drop(self.fileno())
        if isinstance(error, BrokenPipeError):
            return SystemExit(1)
        return UserError(f"cannot write standard output: {error.strerror}; free space, or send it elsewhere")


def _drop(descriptor: int) -> None:
    """Lose what a stream still holds: Python would try to write it at its end, fail, and exit with status 120."""
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), descriptor)


class InterruptedRunError(KeyboardInterrupt):
    """A signal. Like KeyboardInterrupt no Exception, so that nothing on the way takes it for a failure."""


class Interruption:
    """A block in which signals raise InterruptedRunError; ``number`` is the last one's, None without any.

    One that falls into a finalizer, where Python drops exceptions, is sent again. Does nothing outside the main thread.
    """

    def __init__(self) -> None:
        """Nothing is changed yet."""
        self.number: int | None = None
        self._active = False
        self._before: dict[signal.Signals, Any] = {}
        self._unraisable = sys.unraisablehook

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._active = True
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._send_again
            for number in _SIGNALS:
                self._before[number] = _handle(number, self._raise)
        return self

    def __exit__(self, *_: object) -> None:
        self._active = False  # a signal between this line and the last ends the program
        for number, handler in self._before.items():
            _handle(number, handler)
        if self._before:
            sys.unraisablehook = self._unraisable

    def _raise(self, number: int, frame: object) -> None:
        if not self._active:
            _end(number, frame)
        self.number = number
        raise InterruptedRunError

    def _send_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, InterruptedRunError) and self.number is not None:
            threading.Timer(_AGAIN, os.kill, (os.getpid(), self.number)).start()
        else:
            self._unraisable(unraisable)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """A block that no signal breaks into, for what must not stay half done; one that came is answered at its end."""
    if threading.current_thread() is not threading.main_thread():  # where no signal is answered
        yield
        return
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _SIGNALS:
            before[number] = _handle(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            _handle(number, handler)
    if came:
        signal.raise_signal(came[-1])


def _handle(number: signal.Signals, handler: Any) -> Any:
    """Set a signal's handler, unless it is ignored, as by nohup or in a shell's background; return the one before."""
    before = signal.getsignal(number)
    if before != signal.SIG_IGN:
        signal.signal(number, handler)
    return before


def _end(number: int, _frame: object) -> None:
    say_interrupted()
    os._exit(128 + number)  # nothing of ours is open, and an exception would go through the import under way


def _open_streams() -> None:
    """A file that is opened takes a closed stream's number, and whatever a library prints would go into it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
