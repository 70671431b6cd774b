"""The parameters and input that golden/network_w32_forward.npz was computed with: a formula, not a checkpoint."""

from __future__ import annotations

import zlib

import numpy as np

_MASK = (1 << 64) - 1


def uniform(name: str, count: int) -> np.ndarray:
    """float64 [count] in [-1, 1): SplitMix64 (Steele et al. 2014) of the index, keyed by the parameter's name."""
    z = (np.arange(count, dtype=np.uint64) + np.uint64((1 + zlib.crc32(name.encode())) & _MASK)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / 2**52 - 1


def parameter(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 value of a parameter (int64 for the batch counters)."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    u = uniform(name, int(np.prod(shape))).reshape(shape)
    if name.endswith("running_var"):
        value = 1 + 0.1 * u
    elif len(shape) == 1 and name.endswith("weight"):
        value = 0.6 + 0.1 * u
    elif len(shape) == 4:
        value = u * np.sqrt(6 / np.prod(shape[1:]))
    else:
        value = 0.1 * u
    return value.astype(np.float32)


def image() -> np.ndarray:
    """The input: float32 [1, 3, 128, 192], sin of a hundredth of the flat index."""
    return np.sin(0.01 * np.arange(3 * 128 * 192)).astype(np.float32).reshape(1, 3, 128, 192)
