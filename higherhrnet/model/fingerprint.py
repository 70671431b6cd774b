"""What a model file computes, as one hash: equal for every batch size that one checkpoint was exported for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from higherhrnet.artifacts import atomic
from higherhrnet.model import onnx_graph


def sha256(model: Path) -> str:
    """SHA-256 of a model's file; of an .onnx, of its nodes and weights with those that it keeps in files of its own.

    Sizes of an .onnx's inputs and outputs and what its exporter wrote about itself do not count: neither changes what
    is computed of an image.

    Raises UserError: a file that cannot be read, of an .onnx its external data too.
    """
    if model.suffix != ".onnx":
        return atomic.sha256(model)
    computed = onnx_graph.computed(model)
    digest = hashlib.sha256(computed.sha256.encode())
    for name in computed.external:
        digest.update(f"\n{name} {atomic.sha256(model.parent / name)}".encode())
    return digest.hexdigest()
