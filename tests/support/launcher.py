"""Starts this project's scripts from a process that has imported everything: a start takes a moment, not seconds.

Reads a JSON line ``{"module": ..., "argv": [...], "cwd": ..., "log": ...}`` a start, answers with the new process's id,
which is its session's too, and, when it has ended, with its status as ``os.waitstatus_to_exitcode`` has it. Only for
tests that start and kill very often: what importing does is not tested so.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import process as pools
from multiprocessing import util
from pathlib import Path

from higherhrnet import decode
from higherhrnet.cli import merge, program, run, terminal  # noqa: F401
from tests.support.datasets import ROOT
from tests.support.processes import session, wait_until_gone
from tests.support.programs import MODULES, main_of

Command = tuple[str, list[object]]
"""A program's name and its arguments."""

POLITE = (signal.SIGINT, signal.SIGTERM)
"""Signals that a program answers with one line and an end without traces."""
INTERRUPTED = "interrupted; finished files are kept, the same command resumes from them"
"""That line."""


class Launcher:
    """The process that starts scripts, one at a time."""

    def __init__(self, log: Path) -> None:
        """What the scripts print goes to ``log``."""
        self._log = log
        self._ending: set[int] = set()  # processes of killed runs, which may write until they see that
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.launcher"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._answer() == "ready"

    def run(self, command: Command, cwd: Path, *, after: float = 0, number: int = 0) -> bool:
        """Run a command to its end, or send it signal ``number`` after so many seconds; return whether that ended it.

        SIGINT and SIGTERM must end it with their status, one line, no unfinished file and none of its processes.
        """
        module, arguments = command
        job = {"module": module, "argv": [str(a) for a in arguments], "cwd": str(cwd), "log": str(self._log)}
        self._log.unlink(missing_ok=True)  # what a killed one started may still write to the old file
        self._log.touch()
        unfinished = set(cwd.rglob(".*.part"))  # of killed runs before
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        pid = int(self._answer())
        if number:
            ended, _, _ = select.select([self._process.stdout], [], [], after)
            if not ended:
                with contextlib.suppress(ProcessLookupError):  # ended this moment
                    os.kill(pid, number)
        status = int(self._answer())
        said = self._log.read_text()
        if number in POLITE and status == 128 + number:
            assert said.splitlines()[-1] == INTERRUPTED, said
            assert said.count(INTERRUPTED) == 1, said
            assert "Traceback" not in said, said
            assert "Exception ignored" not in said, said
            assert wait_until_gone(session(pid)), said
            left = set(cwd.rglob(".*.part")) - unfinished
            assert [part for part in left if int(part.name.split(".")[-2]) not in self._ending] == [], said
            return True
        assert status in (0, -signal.SIGKILL), said
        if status != 0:
            self._ending.update(session(pid))
        return status != 0

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def main() -> None:
    """Serve until stdin ends."""
    mains = {name: main_of(name) for name in (*MODULES, "higherhrnet.__main__")}
    for library in ("torch", "onnx", "onnxruntime", "pycocotools.cocoeval"):
        importlib.import_module(library)
    decode.compile()
    signals = signal.SIGINT, signal.SIGTERM
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until the child answers them as a script does
        child = os.fork()
        if child == 0:
            os.setsid()
            log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(job["cwd"])
            terminal.prepare()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            status = program.run(mains[job["module"]], job["argv"])
            pools._python_exit()  # waits for workers that are starting, as Python does
            util._exit_function()  # type: ignore[attr-defined]  # as Python at its end; torch's own fails when forked
            os._exit(status)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
