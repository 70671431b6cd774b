"""Where PyTorch computes: on which GPU or NPU, or why on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from higherhrnet.backends import torch_npu
from higherhrnet.backends.base import AUTO, CPU, CUDA, NPU
from higherhrnet.errors import UserError


@dataclass(frozen=True)
class Place:
    """A GPU, an NPU of Ascend, or the CPU."""

    kind: str
    """CPU, CUDA or NPU of base.DEVICES."""
    name: str
    """As the driver has it, or 'CPU'."""
    why: str
    """Why it is the CPU; '' of a GPU, and where the CPU was asked for."""
    runtime: str
    """PyTorch's version, on a device with those of its libraries and the card's name: what results may depend on."""

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


def choose(on: str, index: int = 0) -> Place:
    """``auto`` takes a GPU where PyTorch can use one.

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
    npu, installed = torch_npu.load()
    count = npu.device_count()
    if index >= count:
        raise UserError(f"NPU {index} is not there, torch_npu sees {count}; give --device npu:N or --device_ids")
    name = npu.get_device_name(index)
    cann = getattr(torch.version, "cann", None) or "of unknown version"
    return Place(NPU, f"{name} (npu:{index})", "", f"{version}, torch_npu {installed}, CANN {cann}, {name}")


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
