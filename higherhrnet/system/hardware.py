"""What the host calls its processors, as Linux says it."""

from __future__ import annotations

import functools
import platform
import re
from pathlib import Path

from higherhrnet.system import workers

_CPU = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.+)$", re.MULTILINE)
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})  # of x86 and of Arm
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
def cpu_flags() -> frozenset[str]:
    """The CPU's instruction sets, as Linux names them; none where nothing says."""
    try:
        match = _FLAGS.search(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:  # not Linux
        match = None
    return frozenset(match[1].split()) if match else frozenset()


def multiplies_int8() -> bool:
    """Whether the CPU adds products of 8-bit numbers in 32 bits by one instruction: what makes INT8 fast."""
    return not _INT8.isdisjoint(cpu_flags())


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
