"""Model files under models/: {name}_bs{N}_dynamic.onnx."""

from __future__ import annotations

from pathlib import Path

from higherhrnet.errors import UserError


def onnx_name(weights: Path, batch: int) -> str:
    """The guide's name of the export of a checkpoint; batch -1 is a dynamic one."""
    return f"{weights.stem}_bs{batch}_dynamic.onnx"


def find_onnx(folder: Path, batch: int) -> Path:
    """The one export of this batch size (or, failing that, of a dynamic one) in a folder.

    Raises
    ------
    UserError : none, or several to choose from
    """
    for size in (batch, -1):
        found = sorted(folder.glob(f"*_bs{size}_dynamic.onnx"))
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(
                f"{folder} holds {len(found)} models of batch size {size} ({', '.join(f.name for f in found)}); "
                f"choose one with --model"
            )
    raise UserError(
        f"{folder} holds no *_bs{batch}_dynamic.onnx; run HigherHRNet_pth2onnx.py --bs {batch}, or give --model"
    )
