"""Model files under models/: {name}_bs{N}_dynamic.onnx, what ATC makes of it."""

from __future__ import annotations

import os
from pathlib import Path

from higherhrnet.errors import UserError


def onnx_name(weights: Path, batch: int) -> str:
    """The guide's name of the export of a checkpoint; batch -1 is a dynamic one."""
    return f"{weights.stem}_bs{batch}_dynamic.onnx"


def find_onnx(folder: Path, batch: int) -> Path:
    """The one export of this batch size (or, failing that, of a dynamic one) in a folder.

    Raises UserError: none, or several to choose from.
    """
    for size in (batch, -1):
        if found := _only(folder, f"*_bs{size}_dynamic.onnx", size):
            return found
    raise UserError(
        f"{folder} holds no *_bs{batch}_dynamic.onnx; run HigherHRNet_pth2onnx.py --bs {batch}, or give --model"
    )


def find_checkpoint(folder: Path) -> Path:
    """The one checkpoint (.pth) in a folder. Raises UserError: none, or several to choose from."""
    found = sorted(folder.glob("*.pth"))
    if len(found) != 1:
        names = f" ({', '.join(f.name for f in found)})" if found else ""
        raise UserError(f"{folder} holds {len(found) or 'no'} checkpoints{names}; give one with --model")
    return found[0]


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file that is there."""
    return one.exists() and other.exists() and os.path.samefile(one, other)


def find_om(folder: Path, batch: int, *, aipp: bool, dynamic_dims: bool) -> Path | None:
    """The one .om of this batch size in a folder, for a host to which no .onnx was copied; None without any.

    Raises UserError: several to choose from.
    """
    return _only(folder, f"*_bs{batch}_dynamic{_suffix(aipp=aipp, dynamic_dims=dynamic_dims)}.om", batch)


def _only(folder: Path, pattern: str, batch: int) -> Path | None:
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        raise UserError(
            f"{folder} holds {len(found)} models of batch size {batch} ({', '.join(f.name for f in found)}); "
            f"choose one with --model"
        )
    return found[0] if found else None


def om_output(onnx: Path, batch: int, *, aipp: bool, dynamic_dims: bool) -> Path:
    """ATC's --output for an .onnx: the guide's name, the .onnx's without suffix.

    Other kinds of .om get a suffix, and one of a dynamic batch its own batch size, so that none replaces another.
    """
    name = onnx.stem.replace("_bs-1_", f"_bs{batch}_")
    return onnx.with_name(name + _suffix(aipp=aipp, dynamic_dims=dynamic_dims))


def _suffix(*, aipp: bool, dynamic_dims: bool) -> str:
    return "_aipp" * aipp + "_dims" * dynamic_dims
