"""Where PyTorch computes: on which GPU or NPU, or why on the CPU."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

import torch

from higherhrnet.backends import torch_ascend
from higherhrnet.backends.base import AUTO, CPU, CUDA, NPU
from higherhrnet.errors import UserError


@dataclass(frozen=True)
class Place:
    """A GPU, an NPU, or the CPU."""

    kind: str
    """base.CUDA, NPU or CPU."""
    name: str
    """As the driver has it, or 'CPU'."""
    why: str
    """Why it is the CPU; '' of a GPU, and where the CPU was asked for."""
    runtime: str
    """PyTorch's version, those of the device's libraries, and a card's name: what results may depend on."""

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


def choose(on: str, index: int = 0) -> Place:
    """``auto`` takes a GPU where PyTorch can use one; an NPU has to be asked for.

    Parameters
    ----------
    on : one of base.DEVICES
    index : of the GPU or NPU, as PyTorch counts them

    Raises
    ------
    UserError : a GPU or NPU that was asked for, or that number, is not there
    """
    version = f"torch {torch.__version__}"
    if on == CPU:
        return Place(CPU, "CPU", "", version)
    if on == NPU:
        return _npu(index, version)
    why = _why_not()
    if why:
        if on != AUTO:
            raise UserError(f"--device {on}: PyTorch {torch.__version__} sees no GPU: {why}; give --device cpu or auto")
        return Place(CPU, "CPU", why, version)
    count = torch.cuda.device_count()
    if index >= count:
        raise UserError(f"GPU {index} is not there, PyTorch sees {count}; give --device_ids")
    name = torch.cuda.get_device_name(index)
    cudnn = torch.backends.cudnn.version() or 0
    numbers = f"CUDA {torch.version.cuda}, cuDNN {cudnn // 10000}.{cudnn // 100 % 100}.{cudnn % 100}"
    return Place(CUDA, f"{name} (cuda:{index})", "", f"{version}, {numbers}, {name}")


def _npu(index: int, version: str) -> Place:
    if why := torch_ascend.why_not():
        raise UserError(f"--device {NPU}: {why}, or give another --device")
    npu = torch_ascend.Npu(index)
    libraries = f"torch_npu {importlib.metadata.version('torch_npu')}"
    return Place(NPU, f"{npu.name} (npu:{index})", "", f"{version}, {libraries}, {npu.name}")


def _why_not() -> str:
    """Why PyTorch can use no GPU, in its words; '' where it can."""
    if not torch.backends.cuda.is_built():
        return "it is built without CUDA"
    if torch.cuda.is_available():
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as e:
        return " ".join(str(e).split())[:200]
    return "it does not say why"
