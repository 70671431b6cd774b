"""Running other programs: their argument lists, their logs, and their end.

No shell is involved. A program runs in its own process group, so that Ctrl-C, a timeout or a failure elsewhere ends it
with everything it started.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from higherhrnet.artifacts import atomic
from higherhrnet.errors import UserError
from higherhrnet.system import signals

_POLL = 0.1  # seconds between looks at whether to stop: short enough that nobody notices the wait
_GRACE = 5.0  # seconds from the polite signal to the one that cannot be refused
_TAIL_BYTES = 1 << 16
_LINE = 300  # characters of a line that are quoted
_ERROR = re.compile(r"\[ERROR\]|^ERROR|^error")
_PROGRESS = re.compile(r"^.*\r")  # what a progress bar has drawn over


@dataclass(frozen=True)
class Command:
    """A program to run: its argument list, where, and what its environment has beyond ours."""

    arguments: tuple[str, ...]
    directory: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return Path(self.arguments[0]).name

    def shell(self) -> str:
        """The command as a line to paste into a shell; it leaves the shell's directory as it is."""
        line = shlex.join(self.arguments)
        if self.environment:
            line = shlex.join(["env", *(f"{key}={value}" for key, value in self.environment.items())]) + " " + line
        return line if self.directory == Path() else f"(cd {shlex.quote(str(self.directory))} && {line})"


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    status: int
    """Its exit status; negative: the number of the signal that killed it."""
    seconds: float
    log: Path
    text: str
    """What it wrote to stdout and stderr, its last 64 KiB."""

    @property
    def ending(self) -> str:
        """In words: 'ended with status 3', 'was killed by SIGSEGV'."""
        if self.status >= 0:
            return f"ended with status {self.status}"
        try:
            return f"was killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was killed by signal {-self.status}"

    def last_lines(self, count: int = 3) -> str:
        """The last lines with words in them, after the last errors before them, joined by ' | '."""
        lines = [_PROGRESS.sub("", line).strip() for line in self.text.split("\n")]
        said = [line for line in lines if re.search(r"\w", line)]
        errors = [line for line in said[:-count] if _ERROR.search(line)]
        return " | ".join(line[:_LINE] for line in errors[-2:] + said[-count:]) or "it printed nothing"


def run(
    command: Command,
    *,
    log: Path,
    timeout: float | None = None,
    stop: threading.Event | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Outcome:
    """Run a program to its end; its output goes to ``log``, which starts with the command.

    Parameters
    ----------
    timeout : seconds after which the program and all it started are ended; None or 0 waits for ever
    stop : ends them as well, when it is set from another thread
    tick : called about ten times a second while the program runs

    Raises UserError: a program that cannot be started, one that was ended for its time or for ``stop``, a log that
    cannot be written.
    """
    atomic.make_directory(log.parent)
    start = time.monotonic()
    try:
        with open_log(log, command.shell()) as file:
            offset = file.tell()
            ended = _run(command, file, timeout or None, stop, tick)
            text = tail(file, offset)
    except OSError as e:
        raise UserError(f"cannot write log {log}: {e.strerror}; free space or choose another directory") from e
    outcome = Outcome(ended.status, time.monotonic() - start, log, text)
    if ended.why:
        raise UserError(
            f"{command.program} was ended {ended.why}; its last lines: {outcome.last_lines()}; all of them: {log}"
        )
    return outcome


_LOG_START = b"$ "


def open_log(log: Path, command: str) -> BinaryIO:
    """A new log that starts with ``command``, in place of an earlier one. A link is replaced, not followed.

    Raises
    ------
    UserError : a file of others is there
    OSError : what the system says
    """
    if os.path.lexists(log) and not log.is_symlink() and not _is_log(log):
        raise UserError(f"cannot write log {log}: it is something that this program did not make; move it away")
    log.unlink(missing_ok=True)
    opened = log.open("x+b")
    opened.write(_LOG_START + f"{command}\n".encode(errors="surrogateescape"))
    opened.flush()
    return opened


def _is_log(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return content.read(len(_LOG_START)) in {_LOG_START, b""}


@dataclass(frozen=True)
class _End:
    status: int
    why: str = ""


def _run(
    command: Command,
    log: BinaryIO,
    timeout: float | None,
    stop: threading.Event | None,
    tick: Callable[[], object],
) -> _End:
    process: subprocess.Popen[bytes] | None = None
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with signals.held():  # or it runs and nobody knows
            process = _start(command, log)
        while True:
            if (status := wait(process, _POLL)) is not None:
                kill_group(process)  # of its children none runs on, whether it crashed, was killed or forgot them
                return _End(status)
            tick()
            if stop is not None and stop.is_set():
                return _End(_end_group(process), "because the run was stopped")
            if deadline is not None and time.monotonic() > deadline:
                return _End(_end_group(process), f"because it took longer than {timeout:g} s")
    except BaseException:
        if process is not None:
            _end_group(process)
        raise


def _start(command: Command, log: BinaryIO) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.arguments,
            cwd=command.directory,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as e:
        raise UserError(
            f"cannot start {command.arguments[0]}: {e.strerror}; check that it is installed for this machine, and that "
            f"the toolkit's set_env.sh was sourced in this shell"
        ) from e


def _end_group(process: subprocess.Popen[bytes]) -> int:
    """End a program and all of its group, politely first; return its status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        wait(process, _GRACE)
    finally:  # a second Ctrl-C during the wait included
        kill_group(process)
    wait(process)
    return process.returncode


def wait(process: subprocess.Popen[bytes], seconds: float = math.inf) -> int | None:
    """The status of a program when it ends; None where it still runs after ``seconds``.

    Signals are answered between looks. Popen.wait alone must not be used where a signal's handler raises: it takes its
    lock just before the block that gives it back, and an exception in between makes the next wait one for ever.
    """
    deadline = time.monotonic() + seconds
    while True:
        with signals.held(), contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(max(min(_POLL, deadline - time.monotonic()), 0))
        if time.monotonic() >= deadline:
            return None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and what it left behind in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def tail(file: BinaryIO, offset: int = 0) -> str:
    """The last 64 KiB of a log from ``offset`` on."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(offset, end - _TAIL_BYTES))
    return file.read().decode(errors="replace")
