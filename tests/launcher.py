"""Starts this project's scripts from a process that has imported everything: a start takes a moment, not seconds.

Reads a JSON line ``{"module": ..., "argv": [...], "cwd": ..., "log": ...}`` a start, answers with the new process's id,
which is its session's too, and, when it has ended, with its status as ``os.waitstatus_to_exitcode`` has it. Only for
tests that start and kill very often: what importing does is not tested so.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from multiprocessing import util

from conftest import MODULES, main_of
from higherhrnet import decode
from higherhrnet.cli import merge, program, run, terminal  # noqa: F401


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
            util._exit_function()  # type: ignore[attr-defined]  # as Python at its end; torch's own fails when forked
            os._exit(status)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
