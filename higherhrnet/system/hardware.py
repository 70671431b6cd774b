"""What the host calls its processors, as Linux says it."""

from __future__ import annotations

import functools
import platform
import re
from pathlib import Path

from higherhrnet.system import workers

_CPU = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
_GPU = re.compile(r"^Model:\s*(.+)$", re.MULTILINE)
_GPUS = Path("/proc/driver/nvidia/gpus")


@functools.cache
def cpu() -> str:
    """The CPU's name and how many cores this process may use; the architecture where it has no name."""
    try:
        match = _CPU.search(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:  # not Linux
        match = None
    return f"{' '.join(match[1].split()) if match else platform.machine()}, {workers.cores()} cores"


@functools.cache
def nvidia() -> str:
    """The kinds of NVIDIA's GPUs in this host; '' where the driver does not say."""
    names = set()
    for file in _GPUS.glob("*/information"):
        try:
            names |= set(_GPU.findall(file.read_text(encoding="utf-8", errors="replace")))
        except OSError:  # not for this user
            continue
    return " or ".join(sorted(name.strip() for name in names))
