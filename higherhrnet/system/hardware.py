"""What the host calls its processors, as Linux says it, and NVIDIA's driver of GPUs."""

from __future__ import annotations

import ctypes
import functools
import platform
import re
from pathlib import Path

from higherhrnet.system import workers

_CPU = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.+)$", re.MULTILINE)
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})  # of x86 and of Arm
_DRIVER = "libcuda.so.1"  # comes with the driver: ONNX Runtime and trtexec, which say no name, have it loaded too
_LONGEST = 256  # bytes of a GPU's name


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
def nvidia(number: int) -> str:
    """The name of an NVIDIA GPU, counted as CUDA counts; '' where there is no driver or it does not say."""
    try:
        cuda = ctypes.CDLL(_DRIVER)
        device, name = ctypes.c_int(), ctypes.create_string_buffer(_LONGEST)
        if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), number):
            return ""
        if cuda.cuDeviceGetName(name, _LONGEST, device):
            return ""
    except (OSError, AttributeError):  # no library, or another of that name
        return ""
    return name.value.decode(errors="replace").strip()
