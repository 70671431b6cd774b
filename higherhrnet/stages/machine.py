"""On what a figure was measured, and when."""

from __future__ import annotations

import contextlib
import datetime
import platform
from pathlib import Path

from higherhrnet.artifacts import claim
from higherhrnet.artifacts.figures import FigureFacts
from higherhrnet.artifacts.work import OmWork
from higherhrnet.errors import UserError
from higherhrnet.system import hardware

_ON_GPU = ("cuda", "tensorrt", "trtexec")


def facts(backend: str, model: Path, *, device: int, images: int) -> FigureFacts:
    """Of a figure measured now, here, by ``backend`` with ``model`` on the device of that number."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return FigureFacts(_plain(_device(backend, model, device)), _plain(platform.node()), now, images)


def _plain(text: str) -> str:
    """What can stand in a table."""
    return "".join(filter(str.isprintable, text))[:200]


def _device(backend: str, model: Path, number: int) -> str:
    """The hardware's name: of an .om the chip that its record names; '' where nothing says it."""
    if model.suffix == ".om":
        made = None
        with contextlib.suppress(UserError):  # the chip is not worth an error after the measurement
            made = claim.read(model, OmWork)
        return made.work.soc_version if made is not None else ""
    if any(name in backend.lower() for name in _ON_GPU):
        return hardware.nvidia(number)
    return "" if "cann" in backend.lower() or backend.startswith("torch npu") else hardware.cpu()
