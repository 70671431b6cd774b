"""Starts this project's scripts from a process that has imported everything: a start takes a moment, not seconds.

Reads a JSON line ``{"module": ..., "argv": [...], "cwd": ..., "log": ...}`` a start, answers with the new process's id
and, when it has ended, with its status as ``os.waitstatus_to_exitcode`` has it. Only for tests that start and kill very
often: what importing does is not tested so.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from higherhrnet import cli, decode
from higherhrnet.commands import merge, run  # noqa: F401

SCRIPTS = (
    "HigherHRNet_preprocess",
    "gen_dataset_info",
    "HigherHRNet_pth2onnx",
    "HigherHRNet_benchmark",
    "HigherHRNet_postprocess",
    "HigherHRNet_performance",
    "higherhrnet.__main__",
)


def main() -> None:
    """Serve until stdin ends."""
    modules = {name: importlib.import_module(name) for name in SCRIPTS}
    for library in ("torch", "onnx", "onnxruntime", "pycocotools.cocoeval"):
        importlib.import_module(library)
    decode.compile()
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(job["cwd"])
            status = 70  # an exception: our bug
            try:
                status = cli.run(modules[job["module"]].main, job["argv"])
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
