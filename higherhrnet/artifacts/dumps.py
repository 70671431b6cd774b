"""Dumps: what a backend leaves of a network's outputs, a file an output and image.

Ours and the Ascend benchmark tool's are {index:012d}_1.bin and _2.bin, raw float32; ours may be float16 instead, at
half the bytes, which the directory's record says. ais_bench numbers from 0 and may write .npy; those are read too.
"""

from __future__ import annotations

import os
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from higherhrnet.artifacts import sources
from higherhrnet.artifacts.inputs import FLOAT16, FLOAT32, NPY_HEADER, npy
from higherhrnet.errors import UserError

# What NumPy raises for a header that is not one: it is a Python literal.
_BAD_HEADER = (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, EOFError, OverflowError, MemoryError)

_NAME = re.compile(r"(\d{12})_([012])\.(bin|npy)")
_TYPES: dict[str, np.dtype[Any]] = {FLOAT32: np.dtype("<f4"), FLOAT16: np.dtype("<f2")}
DTYPES = tuple(_TYPES)


@dataclass(frozen=True)
class Naming:
    """How one tool numbers and stores its dumps."""

    first: int
    """Number of output1: 1 for the benchmark tool, 0 for ais_bench."""
    suffix: str
    """bin or npy."""

    def paths(self, directory: Path, index: int) -> tuple[Path, Path]:
        """Where output1 and output2 of an image lie."""
        names = (f"{index:012d}_{self.first + k}.{self.suffix}" for k in (0, 1))
        first, second = (directory / name for name in names)
        return first, second


BENCHMARK = Naming(first=1, suffix="bin")
"""The benchmark tool's naming, which every backend here leaves without --layout flat."""
AIS_BENCH = Naming(first=0, suffix="npy")
"""ais_bench's with --outfmt NPY, which every backend here leaves with --layout flat: [1, C, h, w] each."""


class Heads(NamedTuple):
    """How many maps a network gives: K heatmaps, twice, and T tag maps; T is K, or 1 where all joints share one."""

    joints: int
    tags: int


def output_shapes(shape: tuple[int, int], heads: Heads) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Shapes of output1 [K + T, H/4, W/4] and output2 [K, H/2, W/2] for an input of shape (H, W)."""
    height, width = shape
    return (heads.joints + heads.tags, height // 4, width // 4), (heads.joints, height // 2, width // 2)


def output_bytes(shape: tuple[int, int], heads: Heads, dtype: str = FLOAT32) -> tuple[int, int]:
    """Bytes of output1 and output2 for an input of shape (H, W)."""
    first, second = (_size(dims, dtype) for dims in output_shapes(shape, heads))
    return first, second


def _size(shape: tuple[int, int, int], dtype: str) -> int:
    return int(np.prod(shape)) * _TYPES[dtype].itemsize


def heatmaps(file: Path, shape: tuple[int, int], dtype: str = FLOAT32) -> int | None:
    """How many heatmaps a raw dump of output2 holds for an input of shape (H, W); None where its size fits none."""
    one = output_bytes(shape, Heads(1, 1), dtype)[1]
    size = file.stat().st_size if file.suffix == ".bin" and file.is_file() else 0
    return size // one if size and size % one == 0 else None


def encode(output: np.ndarray, dtype: str, image: str) -> np.ndarray:
    """A float32 output as a dump of ``dtype`` stores it; ``image`` names it in the error.

    Raises UserError: a finite value that float16 cannot hold (beyond 65504).
    """
    with np.errstate(over="ignore"):  # what overflows is refused below, by name
        stored = output.astype(_TYPES[dtype], copy=False)
    if dtype != FLOAT32 and np.isinf(stored).any() and np.isfinite(output).all():
        raise UserError(
            f"image {image}: a network output of {np.abs(output).max():.4g} does not fit float16; run without --dtype"
        )
    return stored


def stored(file: Path, content: np.ndarray) -> np.ndarray | bytes:
    """What a dump file holds of an encoded output [C, h, w], by its suffix."""
    return npy(content) if file.suffix == ".npy" else content


def header(naming: Naming) -> int:
    """Bytes before the values of a dump."""
    return NPY_HEADER if naming.suffix == "npy" else 0


def is_dump(file: Path) -> bool:
    """Whether a file has a dump's name."""
    return bool(_NAME.fullmatch(file.name))


def find(directory: Path) -> tuple[list[int], Naming]:
    """The indices with at least one dump, ascending, and the naming they share.

    Raises UserError: missing or empty directory, or dumps of several tools in it.
    """
    if not directory.is_dir():
        raise UserError(f"dump directory {directory} does not exist; run HigherHRNet_benchmark.py or correct the path")
    numbers: dict[str, set[int]] = {}
    indices: set[int] = set()
    for file in directory.iterdir():
        if match := _NAME.fullmatch(file.name):
            indices.add(int(match[1]))
            numbers.setdefault(match[3], set()).add(int(match[2]))
    if not indices:
        raise UserError(
            f"dump directory {directory} holds no dumps (names like {BENCHMARK.paths(Path(), 0)[0]}); "
            f"run HigherHRNet_benchmark.py or correct the path"
        )
    if len(numbers) > 1 or {0, 2} <= set().union(*numbers.values()):
        raise UserError(
            f"dump directory {directory} holds dumps of several runs (both .bin and .npy, or numbers 0 to 2); "
            f"keep one tool's files"
        )
    suffix, found = numbers.popitem()
    return sorted(indices), Naming(first=0 if 0 in found else 1, suffix=suffix)


def read(file: Path, shape: tuple[int, int, int], largest: tuple[int, int, int], dtype: str = FLOAT32) -> np.ndarray:
    """One dump as a float32 array of ``shape``, read-only: a raw float32 file is mapped, not copied.

    A raw dump has exactly that many values, or as many as ``largest``: under dynamic image size the benchmark tool
    writes the whole buffer of the largest shape and only its beginning counts.

    Raises UserError: missing, of another size, or not of ``dtype``.
    """
    if file.suffix == ".npy":
        return _read_npy(file, shape)
    exact, whole = (_size(dims, dtype) for dims in (shape, largest))
    try:
        with sources.open_file(file) as opened:
            found = os.fstat(opened.fileno()).st_size
            if found not in {exact, whole}:
                raise UserError(
                    f"dump {file}: found {found} bytes, expected {exact} for {list(shape)} or {whole} for a whole "
                    f"buffer; run HigherHRNet_benchmark.py again"
                )
            # Measured on 20 MB per image in the page cache: 0.6 ms mapped, 6 to 11 ms read.
            mapped = np.memmap(opened, _TYPES[dtype], "r", shape=shape)
        return mapped.view(np.ndarray).astype(np.float32, copy=False)
    except OSError as e:
        raise UserError(f"cannot read dump {file}: {e.strerror}; run HigherHRNet_benchmark.py again") from e


def _read_npy(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    try:
        sources.open_file(file).close()
        # Mapped: a header can announce any number of values, and only as many as the file has are looked at.
        array = np.lib.format.open_memmap(file, mode="r")
    except OSError as e:
        raise UserError(f"cannot read dump {file}: {e.strerror or e}; run the network again") from e
    except _BAD_HEADER as e:
        raise UserError(f"dump {file} is not a NumPy array ({e}); run the network again") from e
    if array.dtype not in _TYPES.values() or array.shape not in {shape, (1, *shape)}:
        raise UserError(
            f"dump {file}: found {array.dtype} {list(array.shape)}, expected float32 or float16 {list(shape)}; "
            f"run the network again on this data set's inputs"
        )
    return np.ascontiguousarray(array.reshape(shape).view(np.ndarray), np.float32)


def missing(files: Sequence[Path], shapes: Sequence[tuple[int, int, int]], dtype: str = FLOAT32) -> str | None:
    """Name the first file that is not there with exactly its shape's bytes; None where all are."""
    for file, shape in zip(files, shapes, strict=True):
        expected = _size(shape, dtype) + (NPY_HEADER if file.suffix == ".npy" else 0)
        found = file.stat().st_size if file.is_file() else None
        if found != expected:
            return f"{file}: found {'no file' if found is None else f'{found} bytes'}, expected {expected} bytes"
    return None
