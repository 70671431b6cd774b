"""A process beside this one that answers messages, for a library that may hang or take its process down with it.

A message is a JSON object, with open files where they are given; it travels over a socket of the two alone. The process
ends when that socket closes, so it does not outlive this one, unless it hangs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import atomic
from higherhrnet.errors import UserError
from higherhrnet.system import processes, signals

MOST_BYTES = 1 << 16
"""Of a message."""
_POLL = 0.1  # seconds between looks at whether to stop
_GRACE = 5.0  # seconds from the closed socket to the signal


class GoneError(Exception):
    """The process ended, or was ended; the text says how, with its last words."""


class Companion:
    """A module of Python in a process of its own; its first argument is the number of its end of the socket.

    Its output goes to a log. One thread sends and receives at a time.
    """

    def __init__(self, module: str, *, log: Path, directory: Path) -> None:
        """Start it in ``directory``.

        Raises
        ------
        UserError : a log that cannot be written, a process that cannot be started
        """
        self.log = log
        atomic.make_directory(log.parent)
        # The folders that modules are found in here, for what is importable in this process must be in that one.
        folders = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            arguments = [sys.executable, "-m", module, str(theirs.fileno())]
            with theirs, processes.open_log(log, shlex.join(arguments)) as file, signals.held():
                self._begin = file.tell()
                self._process = subprocess.Popen(
                    arguments,
                    cwd=directory,
                    env={**os.environ, "PYTHONPATH": folders, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C in a terminal ends it through us
                )
        except UserError:
            ours.close()
            raise
        except OSError as e:
            ours.close()
            raise UserError(f"cannot start a process with its log {log}: {e.strerror}; free space or processes") from e
        self._socket = ours
        self._start = time.monotonic()
        self._end = weakref.finalize(self, _end, self._process, ours)

    def send(self, message: dict[str, Any], files: Sequence[int] = ()) -> None:
        """Send a message. That nobody takes it any more is what ``receive`` reports."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._socket, [json.dumps(message).encode()], list(files))

    def receive(self, *, timeout: float | None, stop: threading.Event) -> dict[str, Any]:
        """Wait for the next message.

        Raises
        ------
        GoneError : the process ended, took more than ``timeout`` seconds (None or 0: no limit), or ``stop`` was set;
            in all cases it is gone
        """
        deadline = time.monotonic() + timeout if timeout else None
        try:
            while not select.select([self._socket], [], [], _POLL)[0]:
                if stop.is_set():
                    raise GoneError(f"was ended because the run was stopped{self._said()}")
                if deadline is not None and time.monotonic() > deadline:
                    self.kill()
                    raise GoneError(f"was ended because it took longer than {timeout:g} s{self._said()}")
            try:
                content = self._socket.recv(MOST_BYTES)
            except ConnectionResetError:  # it ended with messages unread; what it said before is still to be had
                content = self._socket.recv(MOST_BYTES)
            if content:
                return json.loads(content)
        except BaseException:
            self.kill()
            raise
        processes.wait(self._process, _GRACE)  # what closed its socket is about to end
        self.kill()
        raise GoneError(f"{self._outcome().ending}{self._said()}")

    def kill(self) -> None:
        """End it at once, with all that it started."""
        processes.kill_group(self._process)
        processes.wait(self._process)

    def last_lines(self) -> str:
        """What it said last."""
        return self._outcome().last_lines()

    def _said(self) -> str:
        return f"; its last lines: {self.last_lines()}; all of them: {self.log}"

    def _outcome(self) -> processes.Outcome:
        try:
            with self.log.open("rb") as file:
                text = processes.tail(file, self._begin)
        except OSError:
            text = ""
        return processes.Outcome(processes.wait(self._process, 0) or 0, time.monotonic() - self._start, self.log, text)


def _end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    """Let it end by itself, for a while."""
    ours.close()
    try:
        processes.wait(process, _GRACE)
    finally:
        processes.kill_group(process)
        processes.wait(process)
