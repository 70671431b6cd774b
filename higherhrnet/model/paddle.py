"""PaddlePaddle's .pdparams: a pickled dict of NumPy arrays, read without running anything that is in the file.

What the pickle may name is NumPy's array and dtype, and these are not called either: their values are checked and the
arrays are made here. Format: paddle.save (python/paddle/framework/io.py of github.com/PaddlePaddle/Paddle) and
numpy.ndarray.__reduce__.
"""

from __future__ import annotations

import math
import os
import pickle
import sys
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

_NAMES = "StructuredToParameterName@@"
"""An entry of names beside the arrays."""
_TYPES = {"f2": np.float16, "f4": np.float32, "f8": np.float64, "i8": np.int64}
_MOST_DIMENSIONS = 8


class ForbiddenError(Exception):
    """The pickle names something that is neither an array nor a dtype."""


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins so is a plain pickle of protocol 2 or later with a dict, as paddle.save writes.

    PyTorch's old format begins with a pickled number.
    """
    return head[:1] == pickle.PROTO and head[1:2] >= b"\x02" and not head[2:].startswith(b"\x8a\x0a")


def read(file: BinaryIO) -> dict[str, Tensor]:
    """The arrays by name.

    Raises
    ------
    ForbiddenError : naming what the file wants to call
    ValueError : a file that is no pickled dict of arrays, whatever is wrong with it
    """
    try:
        found = _Reader(_Bounded(file)).load()
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__.lstrip('_').lower()}, expected a dict of arrays")
        return {str(name): _tensor(name, value) for name, value in found.items() if name != _NAMES}
    except (ForbiddenError, MemoryError, ValueError):
        raise
    except Exception as e:  # whatever a damaged pickle leads its reader to
        raise ValueError(f"{type(e).__name__}: {e}") from e


def _tensor(name: Any, value: Any) -> Tensor:
    if not isinstance(name, str) or not isinstance(value, _Array):
        kind = type(value).__name__.lstrip("_").lower()
        raise ValueError(f"{str(name)[:80]!r} is a {kind}, expected a name and an array")
    return torch.from_numpy(value.array())


class _Bounded:
    """A file that is not asked for more bytes than it has, whatever a length in it says."""

    def __init__(self, file: BinaryIO) -> None:
        self.readline = file.readline
        self._read, self._size = file.read, os.fstat(file.fileno()).st_size

    def read(self, size: int) -> bytes:
        return self._read(min(size, self._size))


class _Reader(pickle._Unpickler):  # in Python: its memo cannot be made to eat memory
    """Knows the few names that a pickled array consists of."""

    def find_class(self, module: str, name: str) -> Any:
        if module in {"numpy.core.multiarray", "numpy._core.multiarray"} and name == "_reconstruct":
            return _Array
        if (module, name) == ("numpy", "ndarray"):
            return _NDARRAY
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 spells bytes
            return _bytes
        raise ForbiddenError(f"{module}.{name}")


_NDARRAY = object()


def _bytes(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in {"latin1", "latin-1"}:
        raise ValueError(f"bytes in {encoding!r}")
    return text.encode("latin-1")


class _Dtype:
    """numpy.dtype("f4", False, True) and the state that follows."""

    def __init__(self, text: Any, *_: Any) -> None:
        if text not in _TYPES:
            raise ValueError(f"values of type {str(text)[:20]!r}, expected {', '.join(_TYPES)}")
        self.type = np.dtype(_TYPES[text])

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in {"<", ">", "=", "|"}:
            raise ValueError(f"byte order {order!r}")
        self.type = self.type.newbyteorder(order if order != "|" else "=")


class _Array:
    """numpy's _reconstruct(ndarray, (0,), b"b") and the state that follows: version, shape, dtype, order, bytes."""

    def __init__(self, kind: Any, *_: Any) -> None:
        if kind is not _NDARRAY:
            raise ValueError("an array of another kind")

    _state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> np.ndarray:
        """The array, its own memory, in this machine's byte order."""
        if not isinstance(self._state, tuple) or len(self._state) != len(("version", "shape", "dtype", "order", "raw")):
            raise ValueError("an array without content")
        _, shape, dtype, fortran, raw = self._state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes) or not isinstance(shape, tuple):
            raise ValueError("an array without shape, type or bytes")
        if len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and 0 <= n <= sys.maxsize for n in shape):
            raise ValueError(f"an array of shape {str(shape)[:80]}")
        if math.prod(shape) * dtype.type.itemsize != len(raw):
            raise ValueError(f"an array of shape {shape} with {len(raw)} bytes")
        values = np.frombuffer(raw, dtype.type).reshape(shape, order="F" if fortran else "C")
        return np.array(values, dtype.type.newbyteorder("="), order="C")
