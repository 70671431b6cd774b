"""The tree of network inputs: ROOT/shape_{H}x{W}/{index:012d}.bin, raw float32 [3, H, W] each.

A flat tree, as ModelZoo's later page has it for one call of ais_bench, is ROOT/{index:012d}.npy, [1, 3, H, W] each.

They may be float16 instead, at half the bytes, or for AIPP uint8 RGB [H, W, 3], which the device normalises; the
tree's record says which.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import seen, sources
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.errors import UserError

CHANNELS = 3
FLOAT32 = "float32"
FLOAT16 = "float16"
UINT8 = "uint8"
_ITEM_BYTES = {FLOAT32: 4, FLOAT16: 2, UINT8: 1}
DTYPES = tuple(_ITEM_BYTES)
FOLDERS, FLAT = LAYOUTS = ("folders", "flat")
"""A folder of raw values for each shape, or .npy files side by side, which say their shape themselves."""
PICTURES = "pictures.jsonl"
"""The journal, in a tree, of the pictures that its inputs are of."""
Shape = tuple[int, int]
"""(H, W)"""
_FOLDER = re.compile(r"shape_(\d+)x(\d+)")
_NAME = re.compile(r"(\d{12})\.(?:bin|npy)")
_FLAT_NAME = re.compile(r"\d{12}\.npy")
NPY_HEADER = 128
"""Bytes before the values of a .npy of any shape here (NumPy's format 1.0)."""


def largest(shapes: Iterable[Shape]) -> Shape:
    """The shape (H, W) of most pixels; the first of equals."""
    return max(shapes, key=math.prod)


@dataclass(frozen=True, order=True)
class Input:
    """One .bin file: the image's index in the annotation file, its shape (H, W), and where it lies."""

    index: int
    shape: tuple[int, int]
    path: Path


def name(index: int, layout: str = FOLDERS) -> str:
    """What the input of an image is called."""
    return f"{index:012d}.{'npy' if layout == FLAT else 'bin'}"


def folder(root: Path, shape: tuple[int, int]) -> Path:
    """The folder of all inputs of shape (H, W)."""
    return root / f"shape_{shape[0]}x{shape[1]}"


def path(root: Path, shape: tuple[int, int], index: int) -> Path:
    """Where the input of an image lies; ``index`` is its place in the annotation file, from 0."""
    return folder(root, shape) / name(index)


def flat_path(root: Path, index: int) -> Path:
    """Where the input of an image lies in a flat tree."""
    return root / name(index, FLAT)


def flat_files(root: Path) -> list[Path]:
    """The inputs in a flat tree, in index order."""
    return sorted(file for file in root.iterdir() if _FLAT_NAME.fullmatch(file.name))


def flat_size(shape: tuple[int, int], dtype: str = FLOAT32) -> int:
    """Bytes of an input of shape (H, W) in a flat tree."""
    return NPY_HEADER + size(shape, dtype)


def npy(tensor: np.ndarray) -> bytes:
    """An input [3, H, W] as a flat tree has it, or a dump [C, h, w]: a .npy with a first axis of 1."""
    buffer = io.BytesIO()
    np.save(buffer, tensor[None])
    return buffer.getvalue()


def npy_form(file: Path) -> tuple[Shape, str]:
    """(H, W) and the type of a .npy of [1, 3, H, W], from its header.

    Raises
    ------
    OSError : it cannot be read
    ValueError : it is not such an array, or not whole
    """
    sources.open_file(file).close()
    try:
        array = np.lib.format.open_memmap(file, mode="r")
    except (TypeError, SyntaxError, EOFError) as e:
        raise ValueError(str(e)) from e
    if array.ndim != 4 or array.shape[:2] != (1, CHANNELS):
        raise ValueError(f"found {list(array.shape)}, expected [1, {CHANNELS}, H, W]")
    if not array.flags.c_contiguous or array.offset + array.nbytes != file.stat().st_size:
        raise ValueError("its values are not in C order, or more bytes follow them")
    return array.shape[2:], str(array.dtype)


def size(shape: tuple[int, int], dtype: str = FLOAT32) -> int:
    """Bytes of an input of shape (H, W)."""
    return CHANNELS * shape[0] * shape[1] * _ITEM_BYTES[dtype]


def index_of(file: Path) -> int:
    """The image index in an input's name. Raises UserError for another name."""
    match = _NAME.fullmatch(file.name)
    if not match:
        raise UserError(f"{file}: found this name, expected 12 digits and .bin or .npy, as preprocessing writes them")
    return int(match[1])


def folders(root: Path) -> dict[Path, tuple[int, int]]:
    """The folders of inputs in a tree, with their shapes (H, W)."""
    found = {directory: _FOLDER.fullmatch(directory.name) for directory in sorted(root.iterdir())}
    return {path: (int(name[1]), int(name[2])) for path, name in found.items() if name and path.is_dir()}


def find(root: Path, dtype: str = FLOAT32) -> list[Input]:
    """All inputs of a tree in index order, each checked for its size.

    Raises UserError: missing or empty tree, foreign file names, wrong sizes, or two inputs of one index.
    """
    if not root.is_dir():
        raise UserError(f"input tree {root} does not exist; run HigherHRNet_preprocess.py or give the right directory")
    found: dict[int, Input] = {}
    for directory, shape in folders(root).items():
        for file in directory.glob("*.bin"):
            index = index_of(file)
            if index in found:
                raise UserError(f"two inputs of index {index}: {found[index].path} and {file}; remove the stale one")
            found[index] = Input(index, shape, file)
            check_size(file, shape, dtype)
    if not found and flat_files(root):
        raise UserError(
            f"input tree {root} is of --layout flat, which ais_bench reads without lists; give it to "
            f"HigherHRNet_benchmark.py with --layout flat, or preprocess without --layout for lists"
        )
    if not found:
        raise UserError(
            f"input tree {root} holds no shape_HxW/*.bin files; run HigherHRNet_preprocess.py or correct the path"
        )
    return [found[index] for index in sorted(found)]


def check_flat(file: Path, dtype: str) -> Shape:
    """(H, W) of an input in a flat tree. Raises UserError unless it is one, of ``dtype``."""
    try:
        shape, found = npy_form(file)
    except OSError as e:
        raise UserError(f"cannot read input {file}: {e.strerror}; run preprocessing again") from e
    except ValueError as e:
        raise UserError(f"input {file} is no input of a flat tree ({e}); remove it and preprocess again") from e
    if found != dtype:
        raise UserError(f"input {file}: found {found}, expected {dtype}; remove it and run preprocessing again")
    return shape


def check_size(file: Path, shape: tuple[int, int], dtype: str = FLOAT32) -> Stamp:
    """The stamp of a file. Raises UserError unless it is there and has the size of shape (H, W)."""
    try:
        stamp = seen.stamp(file.stat())
    except OSError as e:
        raise UserError(f"cannot read input {file}: {e.strerror}; run preprocessing and gen_dataset_info again") from e
    if stamp.size != size(shape, dtype):
        of = "" if dtype == FLOAT32 else f"{dtype} of "
        raise UserError(
            f"input {file}: found {stamp.size} bytes, expected {size(shape, dtype)} for {of}shape "
            f"{shape[0]}x{shape[1]}; remove it and run preprocessing again"
        )
    return stamp
