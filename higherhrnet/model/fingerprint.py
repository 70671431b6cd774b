"""What a model file holds, as one hash: with the data that an .onnx keeps in files of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from higherhrnet.artifacts import atomic
from higherhrnet.model import onnx_graph


def sha256(model: Path) -> str:
    """SHA-256 of a model's file; where it names external data, over that file's and those files' hashes.

    Raises UserError: a file that cannot be read, of an .onnx its external data too.
    """
    own = atomic.sha256(model)
    if model.suffix != ".onnx":
        return own
    external = onnx_graph.external_data(model)
    if not external:
        return own
    parts = [own, *(f"{name} {atomic.sha256(model.parent / name)}" for name in external)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
