"""Checkpoints: files of a network's parameters, of any family."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError
from higherhrnet.model import families, paddle
from higherhrnet.model.network import HigherHRNet

_LAST = "final_layers.1.weight"  # of the convolution that gives the heatmaps of output2
_HEAD = 16  # bytes that tell a plain pickle from PyTorch's formats
_LISTED = 5  # how many names an error message shows of a longer list
# What a training script's best figure or learning rate may be: numbers, of NumPy 2 and of 1.
_NUMPY_SCALARS: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.bool_, np.int32, np.int64, np.float16, np.float32, np.float64)),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
_GLOBAL = re.compile(r"GLOBAL ([\w.]+) was not an allowed global")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What people have, or get from a download that failed, under the name of a checkpoint.
_ARCHIVE = "an archive, to be unpacked first"
_OTHERS = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"$", "empty"),
        (rb"(?i)\s*<(?:!doctype|html|\?xml|head)", "a web page, as of a download that asks for a confirmation"),
        (rb"version https://git-lfs", "a Git LFS pointer, whose file was not fetched"),
        (rb".{7}\0\{", "a safetensors file"),
        (rb"\x89HDF", "an HDF5 file, as Keras has them"),
        (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", _ARCHIVE),
        (rb"\x08[\x03-\x0c]\x12", "an ONNX model, which the other backends run"),
        (rb"\{", "a JSON file"),
    )
)
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)  # int64: BatchNorm's counters


_CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
"""Under what training programs keep the parameters, beside optimizers and counters."""


def load(path: str | os.PathLike[str], network: HigherHRNet) -> families.Recognised:
    """Fill the network from a checkpoint of any family (families.py), and return what it was.

    That is a state_dict, plain or under one of _CONTAINERS, in PyTorch's formats or PaddlePaddle's. Nothing is
    unpickled but tensors and plain containers (``weights_only=True``), of PaddlePaddle's nothing but NumPy's arrays.

    Raises
    ------
    UserError : unreadable file, another network's, or parameters that are missing, unexpected or of another shape (all
        are counted, the first few are named)
    """
    expected = network.state_dict()
    found = families.recognise(_read(path), path)
    # Checkpoints from before PyTorch 0.4.1, and PaddlePaddle's, lack these counters, which inference never reads.
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    state = counters | found.state
    if problems := _differences(state, expected):
        raise UserError(
            f"weights {path} do not fit the config's network: {'; '.join(problems)}; found {found.brief}; "
            f"{found.remedy}"
        )
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise UserError(f"weights {path} hold NaN or infinity; download the file again")
    network.load_state_dict(state)
    return found


def joints(path: str | os.PathLike[str]) -> int | None:
    """The number of heatmaps of a checkpoint's network; None where it is none of a HigherHRNet. Raises as ``load``."""
    last = families.recognise(_read(path), path).state.get(_LAST)
    return None if last is None or not last.ndim else last.shape[0]


def _read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state_dict in a file."""
    try:
        with sources.open_file(path) as file:
            checkpoint = _loaded(file, path)
    except OSError as e:
        raise UserError(f"cannot read weights {path}: {e.strerror or e}; give an existing .pth file") from e
    except MemoryError:
        raise
    except paddle.ForbiddenError as e:
        raise UserError(
            f"weights {path}: it wants to call {str(e)[:80]}, which is no NumPy array; nothing was unpickled; get it "
            f"from its authors"
        ) from e
    except Exception as e:  # whatever the damage leads PyTorch's reader to
        raise UserError(f"weights {path}: not a checkpoint that loads as plain tensors: {_why(path, e)}") from e
    state = checkpoint
    for key in _CONTAINERS:
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            state = checkpoint[key]
            break
    if not isinstance(state, dict) or not all(map(_is_plain, state.values())):
        raise UserError(f"weights {path}: holds no state_dict of dense real tensors; save one with torch.save")
    return {str(name): value for name, value in state.items()}


def _loaded(file: BinaryIO, path: str | os.PathLike[str]) -> Any:
    if Path(path).suffix == ".pdparams" or paddle.is_pickle(file.peek(_HEAD)[:_HEAD]):  # type: ignore[attr-defined]
        return paddle.read(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd versions; whether it is sound is checked below
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(file, map_location="cpu", weights_only=True)


def _why(path: str | os.PathLike[str], error: Exception) -> str:
    """What a file is that PyTorch does not load, and what to do."""
    if refused := _GLOBAL.search(str(error)):
        if refused[1].startswith("numpy."):
            return (
                "it holds arrays of NumPy, as PaddlePaddle's .pdparams do; nothing was unpickled; give PyTorch's .pth"
            )
        return (
            f"it holds a {refused[1]}, which is no tensor, and nothing was unpickled; where it was made, save the "
            f"network's state_dict alone: torch.save(model.state_dict(), 'weights.pth')"
        )
    with sources.open_file(path) as file:
        start = file.read(512)
        kind = next((kind for pattern, kind in _OTHERS if pattern.match(start)), None)
        if kind is None and _is_other_zip(file):
            kind = _ARCHIVE
    if kind is not None:
        return f"it is {kind}; give the .pth file itself"
    message = " ".join(_COLOURS.sub("", str(error)).split())[:160]
    return (
        f"{len(start)} bytes or more that PyTorch does not read ({message}); nothing was unpickled; get the file again"
    )


def _is_other_zip(file: BinaryIO) -> bool:
    """Whether it is a whole .zip of something: PyTorch's own have a pickle of this name."""
    try:
        with zipfile.ZipFile(file) as archive:
            return not any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _is_plain(value: object) -> bool:
    """Whether it is a tensor of real numbers in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.dtype in _DTYPES
        and value.device.type == "cpu"
        and not value.is_nested
    )


def _differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What keeps the parameters from fitting, a phrase a kind."""
    both = [(name, state[name], value) for name, value in expected.items() if name in state]
    kinds = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": [f"{n} {list(a.shape)} for {list(b.shape)}" for n, a, b in both if a.shape != b.shape],
        "whole numbers for real ones or the reverse": [
            name for name, a, b in both if a.is_floating_point() != b.is_floating_point()
        ],
    }
    return [_counted(kind, names) for kind, names in kinds.items() if names]


def _counted(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{more}"
