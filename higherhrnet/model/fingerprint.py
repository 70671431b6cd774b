"""What a model file computes, as one hash: equal for every batch size that one checkpoint was exported for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import atomic, seen
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph


@dataclass(frozen=True)
class Seen:
    """A model's content, and what its files were before they were read for it."""

    model: Path
    sha256: str
    """As ``sha256`` gives it."""
    stamps: Mapping[Path, Stamp]
    """Of the model and, of an .onnx, the files in which it keeps tensors."""

    def check(self, during: str = "it was loaded") -> None:
        """Raise UserError unless all files are as they were: then what was read meanwhile is of ``sha256``.

        ``during`` says in the message when that was.
        """
        if file := seen.changed(self.stamps, self.stamps):
            of = "" if file == self.model else f" of {self.model}"
            raise UserError(
                f"model {file}{of} was replaced or written to while {during}; run again when nothing writes to it"
            )


def see(model: Path) -> Seen:
    """Look at a model's files, then hash them as ``sha256`` does, whose errors are raised.

    Load the model after this, and ``check`` then: what was loaded is what was hashed.
    """
    stamps = {model: _stamp(model)}
    if model.suffix != ".onnx":
        return Seen(model, atomic.sha256(model), stamps)
    computed = onnx_graph.computed(model)
    digest = hashlib.sha256(computed.sha256.encode())
    for name in computed.external:
        file = model.parent / name
        stamps[file] = _stamp(file)
        digest.update(f"\n{name} {atomic.sha256(file)}".encode())
    return Seen(model, digest.hexdigest(), stamps)


def sha256(model: Path) -> str:
    """SHA-256 of a model's file; of an .onnx, of its nodes and weights with those that it keeps in files of its own.

    Sizes of an .onnx's inputs and outputs and what its exporter wrote about itself do not count: neither changes what
    is computed of an image.

    Raises UserError: a file that cannot be read, of an .onnx its external data too.
    """
    return see(model).sha256


def _stamp(file: Path) -> Stamp:
    try:
        return seen.stamp(file.stat())
    except OSError as e:
        raise UserError(f"cannot read model {file}: {e.strerror}; put it there or give another path") from e
