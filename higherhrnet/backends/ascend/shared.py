"""Memory of one shape that two processes share: sources and results of all slots, one after another."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from higherhrnet.artifacts import dumps, inputs

SLOTS = 2
"""One is computed while the next is filled and the last one read."""
_ALIGNMENT = 4096


@dataclass(frozen=True)
class Layout:
    """What one shape's memory holds."""

    shape: tuple[int, int]
    """(H, W)"""
    batch: int
    joints: int
    tags: int
    dtype: str
    """Of the sources: float32 or float16 [N, 3, H, W], or uint8 [N, H, W, 3] where the device normalises."""

    @classmethod
    def of(cls, shape: Sequence[int], **more: Any) -> Layout:
        """From a message."""
        height, width = shape
        return cls((height, width), **more)

    def message(self) -> dict[str, Any]:
        """What ``of`` reads."""
        return asdict(self)

    def _blocks(self) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
        """Of a slot: the source and the two results, which are float32 whatever the model gives."""
        planes = (*self.shape, inputs.CHANNELS) if self.dtype == inputs.UINT8 else (inputs.CHANNELS, *self.shape)
        results = dumps.output_shapes(self.shape, dumps.Heads(self.joints, self.tags))
        float32 = np.dtype(np.float32)
        return [
            (np.dtype(self.dtype), (self.batch, *planes)),
            *((float32, (self.batch, *result)) for result in results),
        ]

    @property
    def size(self) -> int:
        """Bytes of all slots."""
        return SLOTS * sum(_rounded(dtype.itemsize * int(np.prod(dims))) for dtype, dims in self._blocks())

    def on(self, memory: mmap.mmap) -> Arrays:
        """The arrays, as views of ``memory``."""
        offset, slots = 0, []
        for _ in range(SLOTS):
            arrays = []
            for dtype, dims in self._blocks():
                count = int(np.prod(dims))
                arrays.append(np.frombuffer(memory, dtype, count, offset).reshape(dims))
                offset += _rounded(dtype.itemsize * count)
            slots.append(arrays)
        return Arrays(self.shape, [slot[0] for slot in slots], [(slot[1], slot[2]) for slot in slots])


@dataclass(frozen=True)
class Arrays:
    """The views of one shape's memory, by slot; they keep it."""

    shape: tuple[int, int]
    sources: list[np.ndarray]
    results: list[tuple[np.ndarray, np.ndarray]]


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
