"""Choosing and making a backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from higherhrnet.backends import Backend

BACKENDS = ("auto", "onnxruntime")


def choose(requested: str) -> tuple[str, str]:
    """The backend to use and, in a few words, why."""
    if requested != "auto":
        return requested, "requested"
    return "onnxruntime", "no Ascend backend in this version"


def make(name: str, model: Path, *, batch: int, device: int, threads: int, done: Callable[[int], None]) -> Backend:
    """Make a backend by name; ``done`` is called with the number of images after each step.

    Backends are imported when chosen: none needs another's libraries.
    """
    assert name == "onnxruntime"
    from higherhrnet.backends.onnxruntime import OnnxRuntime  # noqa: PLC0415

    return OnnxRuntime(model, batch=batch, device=device, threads=threads, done=done)
