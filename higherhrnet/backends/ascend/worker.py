"""The process that holds a device: it loads an .om with ais_bench's Python interface and runs batches in shared memory.

    python3 -m higherhrnet.backends.ascend.worker SOCKET

A process a device: the front end of 2023 sets the device of a thread when a session is made and never again, so that
two sessions in one process mix their devices. What is used here is what the front ends of 2023 to 2025 share, under
the names of each (InferSession in ais_bench/infer/interface.py of github.com/Ascend/tools and of ait, later msit).
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from higherhrnet.backends.ascend.shared import Arrays, Layout
from higherhrnet.system.companion import MOST_BYTES

_MOST_FILES = 1


def main() -> None:
    """Answer messages until the socket closes; after an error, which is the last answer, end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))

    def answer(message: dict[str, Any]) -> None:
        channel.send(json.dumps(message).encode())

    worker = _Worker()
    try:
        while True:
            content, files, _, _ = socket.recv_fds(channel, MOST_BYTES, _MOST_FILES)
            if not content:
                break
            if (reply := worker.take(json.loads(content), files)) is not None:
                answer(reply)
    except (BrokenPipeError, ConnectionResetError):
        return
    except Exception as e:  # whatever the library raises; the other side says it in a line
        ctypes.CDLL(None).fflush(None)  # the compiled part's own words may still be in C's buffer
        answer({"error": f"{type(e).__name__}: {e}".rstrip(": ")})
        sys.exit(1)
    worker.release()


class _Worker:
    """One session, and the memory of all shapes that are open."""

    def __init__(self) -> None:
        self._arrays: dict[int, Arrays] = {}
        self._profile: tuple[int, int] | None = None

    def take(self, message: dict[str, Any], files: list[int]) -> dict[str, Any] | None:
        if "load" in message:
            return self._load(**message["load"])
        if "open" in message:
            return self._open(files[0], **message["open"])
        if "run" in message:
            return self._run(*message["run"])
        del self._arrays[message["close"]]
        return None

    def _load(self, model: str, device: int, *, dynamic_dims: bool) -> dict[str, Any]:
        from ais_bench.infer import interface  # noqa: PLC0415  # what it says on loading belongs to this answer

        self._session = interface.InferSession(device, model)
        self._dynamic_dims = dynamic_dims
        self._times = _Times(self._session, interface)
        inputs = self._session.get_inputs()
        self._name = inputs[0].name if inputs else ""
        return {"inputs": [list(value.shape) for value in inputs], "outputs": len(self._session.get_outputs())}

    def _open(self, file: int, number: int, **layout: Any) -> dict[str, Any]:
        try:
            memory = mmap.mmap(file, 0)
        finally:
            os.close(file)
        self._arrays[number] = Layout.of(**layout).on(memory)
        return {}

    def _run(self, number: int, slot: int, turn: int) -> dict[str, Any]:
        arrays = self._arrays[number]
        self._set_profile(arrays.shape, len(arrays.sources[slot]))
        self._times.reset()
        start = time.perf_counter()
        outputs = self._session.run([arrays.sources[slot]], out_array=True)
        seconds = time.perf_counter() - start
        for result in arrays.results[slot]:
            found = [output for output in outputs if output.size == result.size]
            if len(found) != 1 or len(outputs) != len(arrays.results[slot]):
                shapes = ", ".join(str(list(output.shape)) for output in outputs)
                wanted = ", ".join(str(list(result.shape)) for result in arrays.results[slot])
                raise ValueError(f"the model gives outputs {shapes}, expected {wanted}")
            np.copyto(result, found[0].reshape(result.shape))
        execute, copies = self._times.read()
        infer = seconds if math.isnan(copies) else execute + copies
        return {"turn": turn, "execute": execute, "infer": infer}

    def _set_profile(self, shape: tuple[int, int], batch: int) -> None:
        if shape == self._profile:
            return
        if self._dynamic_dims:
            self._session.set_dynamic_dims(f"{self._name}:{batch},3,{shape[0]},{shape[1]}")
        else:
            self._session.set_dynamic_hw(*shape)  # height first, whatever its parameters are called
        self._profile = shape

    def release(self) -> None:
        """Give the device back, in the front ends that have a way to."""
        for name in ("free_resource", "finalize"):
            if hasattr(self, "_session") and hasattr(self._session, name):
                getattr(self._session, name)()


class _Times:
    """The session's own times of its last run; milliseconds there, seconds here."""

    def __init__(self, session: Any, interface: Any) -> None:
        memory = getattr(interface, "MemorySummary", None)
        self._summary = _first(session, "summary", "sumary")
        self._resets = [_first(session, "reset_summaryinfo", "reset_sumaryinfo"), *([memory.reset] if memory else [])]
        self._copies = [
            _first(memory, f"get_{way.lower()}_time_list", f"get_{way}_time_list") for way in ("H2D", "D2H") if memory
        ]

    def reset(self) -> None:
        """Forget earlier runs."""
        for reset in self._resets:
            reset()

    def read(self) -> tuple[float, float]:
        """Seconds of the network alone, and of the copies; nan where the latter are not known."""
        copies = [sum(read()) for read in self._copies]
        return sum(self._summary().exec_time_list) / 1000, sum(copies) / 1000 if all(copies) else math.nan


def _first(owner: Any, *names: str) -> Callable[[], Any]:
    """The method of ``owner``, under the first name that it has."""
    for name in names:
        if hasattr(owner, name):
            return getattr(owner, name)
    raise AttributeError(f"ais_bench's {type(owner).__name__} has none of {', '.join(names)}")


if __name__ == "__main__":
    main()
