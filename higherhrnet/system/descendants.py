"""The processes that this one started, and those that they started, as Linux lists them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_ROUNDS = 5  # looks for what was started while the others were being killed
_TRACKER = b"multiprocessing.resource_tracker"  # ends by itself, and frees what killed processes hold in /dev/shm


def kill() -> None:
    """Kill all of them at once, stopped ones too, with what is left in process groups that they lead.

    Nothing of theirs is put in order, so only for a process that is about to end itself that way. Does nothing where
    there is no /proc.
    """
    for _ in range(_ROUNDS):
        found = _below(os.getpid())
        if not found:
            return
        for pid in found:
            with contextlib.suppress(OSError):  # ended this moment
                if os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)


def _below(root: int) -> list[int]:
    """The living descendants of a process, but for Python's own."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended this moment
            # A name in parentheses precedes state and parent.
            state, parent, *_ = (process / "stat").read_bytes().rpartition(b")")[2].split()
            if state != b"Z" and _TRACKER not in (process / "cmdline").read_bytes():
                parents[int(process.name)] = int(parent)
    found = [root]
    for above in found:
        found += [pid for pid, parent in parents.items() if parent == above]
    return found[1:]
