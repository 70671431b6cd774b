"""What a script owes its terminal: an end without traceback at any signal, and streams that nothing else can take.

Imports little, so that a script can call ``prepare`` before the imports that take seconds.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from higherhrnet.errors import UserError
from higherhrnet.system import signals

INTERRUPTED = "interrupted; finished files are kept, the same command goes on from them"
"""The one line with which an interrupted program ends."""

_AGAIN = 0.05  # seconds: a finalizer is over by then


def prepare() -> None:
    """Open the standard streams that are closed, and end at a signal with one line and status 128 + its number.

    To be called first in a script, where it is the program. ``Interruption`` takes the signals over while the script
    works and gives them back, so that none of them meets Python's own handler, which ends in a traceback.
    """
    _open_streams()
    for number in signals.NUMBERS:
        signals.set_handler(number, _end)


def say(line: str) -> None:
    """Write a line to standard error; nothing happens where that cannot be written."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _drop(2)


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """A block in which failing to write standard output is the user's error, and what it wrote is written at its end.

    Characters that the locale lacks come out escaped. A reader that has gone, as of ``| head``, ends the block with
    SystemExit(1): nothing is left to say to it. What cannot be written to standard error is lost.
    """
    before = sys.stdout, sys.stderr
    if not all(isinstance(stream, io.TextIOWrapper) for stream in before):
        yield
        return
    output, errors = _like(sys.stdout, _Stdout), _like(sys.stderr, _Checked)
    sys.stdout, sys.stderr = output, errors
    try:
        yield
        output.flush()
    except SystemExit:  # of --help, which somebody waits for as well
        output.flush()
        raise
    finally:
        sys.stdout, sys.stderr = before
        with contextlib.suppress(UserError, SystemExit):  # the exception under way says more
            output.flush()
        output.detach()
        errors.detach()


def _like(stream: Any, kind: type[_Checked]) -> _Checked:
    """A stream to where another one writes, which escapes what the locale lacks."""
    stream.flush()
    return kind(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Checked(io.TextIOWrapper):
    """A standard stream that may be full, or without a reader; its kinds say in ``_lost`` what then happens."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as e:
            self._lost(e)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as e:
            self._lost(e)

    def _lost(self, error: OSError) -> None:
        _drop(self.fileno())


class _Stdout(_Checked):
    def _lost(self, error: OSError) -> None:
        super()._lost(error)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from error
        raise UserError(f"cannot write standard output: {error.strerror}; free space, or send it elsewhere") from error


def _drop(descriptor: int) -> None:
    """Lose what a stream still holds: Python would try to write it at its end, fail, and exit with status 120."""
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), descriptor)


class InterruptedRunError(KeyboardInterrupt):
    """A signal. Like KeyboardInterrupt no Exception, so that nothing on the way takes it for a failure."""


class Interruption:
    """Whether signals came while a program worked; ``number`` is the last one's, None without any."""

    def __init__(self) -> None:
        """Nothing is changed yet."""
        self.number: int | None = None
        self._ended = False
        self._again: threading.Timer | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A block in which signals raise InterruptedRunError; outside the main thread they do not.

        One that falls into a finalizer, where Python drops exceptions, is sent again.
        """
        before = sys.unraisablehook

        def send_again(unraisable: sys.UnraisableHookArgs) -> None:
            if isinstance(unraisable.exc_value, InterruptedRunError) and self.number is not None:
                self._again = threading.Timer(_AGAIN, os.kill, (os.getpid(), self.number))
                self._again.daemon = True
                self._again.start()
            else:
                before(unraisable)

        with signals.handled_by(self._raise):
            sys.unraisablehook = send_again
            try:
                yield
            finally:
                self._ended = True  # until the handlers are the old ones again, a signal ends the program
                sys.unraisablehook = before
                if self._again is not None:
                    self._again.cancel()

    def _raise(self, number: int, frame: object) -> None:
        if self._ended:
            _end(number, frame)
        self.number = number
        raise InterruptedRunError


def _end(number: int, _frame: object) -> None:
    # Not through sys.stderr, in whose midst the signal may have come.
    with contextlib.suppress(OSError):
        os.write(2, f"{INTERRUPTED}\n".encode())
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
