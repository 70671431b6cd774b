"""Peak memory of processes, as Linux counts it, and errors that mean that there was too little."""

from __future__ import annotations

import multiprocessing
import os
import re
from pathlib import Path

# Of PyTorch, CUDA, ONNX Runtime, OpenCV, C++ and the loader of shared libraries.
_LACK = re.compile(r"out of memory|allocate memory|bad[_ ]alloc|insufficient memory|failed to alloc", re.IGNORECASE)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def is_lack(error: BaseException) -> bool:
    """Whether an exception says that memory could not be had; libraries raise it as what they like."""
    return isinstance(error, MemoryError) or (isinstance(error, Exception) and bool(_LACK.search(str(error))))


def peak_mb(pid: int | None = None) -> float:
    """Largest resident size in MB that a process (this one without ``pid``) has had; 0 where that is not known.

    VmHWM and not getrusage, which counts the process before exec too.
    """
    try:
        match = _PEAK.search(Path(f"/proc/{pid or os.getpid()}/status").read_text())
    except OSError:  # ended, or not Linux
        return 0.0
    return int(match[1]) / 1024 if match else 0.0


def children_peak_mb() -> float:
    """The largest peak of this process's living worker processes; 0 without any."""
    return max((peak_mb(child.pid) for child in multiprocessing.active_children()), default=0.0)
