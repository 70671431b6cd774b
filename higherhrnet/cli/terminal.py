"""What a program owes its terminal: an end without traceback at any signal, and streams that nothing else can take.

Imports little, so that ``prepare`` is called before the imports that take up to a second.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from higherhrnet.errors import UserError
from higherhrnet.system import descendants, signals

INTERRUPTED = "interrupted; finished files are kept, the same command resumes from them"
"""The one line with which an interrupted program ends."""

_LONGEST = 2000  # characters of an error, which may quote a file or another program
# Names of files, lists and other programs' output may hold what a terminal obeys. Lines end and bars are drawn over.
_SHOWN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}
_AGAIN = 0.05  # seconds until a signal is sent again: a finalizer has ended by then
_ECHO = 0.1  # seconds within which a signal is no second one: `timeout` sends its own twice, a closed terminal too


def prepare() -> None:
    """Make this process a program of its terminal's; to be called once, first.

    A signal ends it with one line and status 128 + its number, until ``Interruption`` takes over. Standard streams that
    are closed lead nowhere: else the next file opened took a stream's number, and with it whatever a library prints.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Python itself uses the second names at its end.
    sys.stdout = sys.__stdout__ = _Checked.of(sys.stdout, 1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _Checked.of(sys.stderr, 2)  # type: ignore[misc]
    for number in signals.NUMBERS:
        signals.set_handler(number, _end)


def one_line(text: str) -> str:
    """A message on one line of bounded length: the beginning says what, the end what to do."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 600]} ... {line[-600:]}"


def say(line: str) -> None:
    """Write a line to standard error."""
    print(line, file=sys.stderr, flush=True)


def end_line() -> None:
    """Put an end to a line of standard output that a signal cut: print writes the end after all else."""
    if isinstance(sys.stdout, _Checked) and sys.stdout.is_cut:
        with contextlib.suppress(UserError, SystemExit):  # nothing is left to say to whoever reads it
            print(flush=True)


class _Checked(io.TextIOWrapper):
    """A standard stream that may be full, or without a reader.

    Characters that the locale lacks come out escaped, and so do control characters, for which terminals do things.

    What cannot be written to standard error is lost. That standard output cannot be written is the user's error, except
    where its reader has gone, as of ``| head``: nothing is left to say to it then, and SystemExit(1) is raised.
    """

    is_cut = False
    """Whether what was written last is no whole line."""

    @classmethod
    def of(cls, stream: TextIO | None, descriptor: int) -> _Checked:
        """In place of ``stream``, None where it was closed when Python started."""
        old: Any = stream or os.fdopen(descriptor, "w", closefd=False)
        form = old.encoding, "backslashreplace", None, old.line_buffering, old.write_through
        return cls(old.detach(), *form)

    def write(self, text: str) -> int:
        if text:
            self.is_cut = not text.endswith("\n")
        try:
            super().write(text.translate(_SHOWN))
            return len(text)
        except OSError as e:
            self._fail(e)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as e:
            self._fail(e)

    def _fail(self, error: OSError) -> None:
        # Python would try to write what the stream still holds at its end, fail, and exit with status 120.
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())
        if self.fileno() == 2:  # standard error
            return
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from error
        raise UserError(f"cannot write standard output: {error.strerror}; free space, or send it elsewhere") from error


class InterruptedRunError(KeyboardInterrupt):
    """A signal. Like KeyboardInterrupt no Exception, so that nothing on the way takes it for a failure."""


class Interruption:
    """Whether signals came while a program worked; ``number`` is the last one's, None without any."""

    number: int | None = None
    _ended = False
    _again: threading.Timer | None = None
    _first: float | None = None  # when the first came
    _dropped = False  # whether the exception was
    _own = 0  # signals that are on their way again

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A block in which signals raise InterruptedRunError; outside the main thread they do not.

        Where that does not end the program, because a library's call or a worker does not return, a second signal ends
        it at once, with all that it started; files that are not whole keep their temporary names.

        Python drops exceptions in finalizers: a signal that falls into one is sent again.
        """
        before = sys.unraisablehook

        def send_again(unraisable: sys.UnraisableHookArgs) -> None:
            if isinstance(unraisable.exc_value, InterruptedRunError) and self.number is not None:
                self._again = threading.Timer(_AGAIN, self._send, (self.number,))
                self._again.start()
            else:
                before(unraisable)

        with signals.handled_by(self._raise), signals.watched(self._came):
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
        if self.number is not None and not self._dropped:  # _came answers a second one; the first's cleaning up goes on
            return
        self.number, self._dropped = number, False
        raise InterruptedRunError

    def _send(self, number: int) -> None:
        self._dropped = True
        self._own += 1
        os.kill(os.getpid(), number)

    def _came(self, number: int) -> None:
        """In the thread that sees signals however busy the main one is."""
        now = time.monotonic()
        if self._own:
            self._own -= 1
        elif self._first is None:
            self._first = now
        elif not self._ended and now - self._first > _ECHO:
            descendants.kill()
            _end(number, None)


def _end(number: int, _frame: object) -> None:
    # Not through sys.stderr, in whose midst the signal may have come.
    with contextlib.suppress(OSError):
        os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)  # nothing of ours is open, and an exception would go through the import under way
