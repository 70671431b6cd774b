"""Bilinear resize of maps to any size with half-pixel centers, to the bit as PyTorch's CPU kernel
(interpolate, mode bilinear, align_corners False).

Positions and weights are float32. Along x, then along y, each two-tap sum is fma(a, wa, b * wb). Outputs whose height
and width together are at most 128 take another kernel in PyTorch; no network input here is that small.
"""

from __future__ import annotations

import numpy as np
from numba import types

from higherhrnet.decode.cache import Entry, inner
from higherhrnet.decode.intrinsics import fma

_HALF = np.float32(0.5)


@inner
def _taps(source, target):
    """The first of the two samples around each target pixel, the second, and the second's weight."""
    first = np.empty(target, np.int64)
    second = np.empty(target, np.int64)
    weight = np.zeros(target, np.float32)
    ratio = np.float32(source) / np.float32(target)
    for i in range(target):
        if source == target:
            first[i] = second[i] = i
            continue
        position = fma(ratio, np.float32(i) + _HALF, -_HALF)
        if position < 0:
            position = np.float32(0)
        first[i] = min(int(position), source - 1)
        second[i] = min(first[i] + 1, source - 1)
        weight[i] = min(max(position - np.float32(first[i]), np.float32(0)), np.float32(1))
    return first, second, weight


def _make(fingerprint):
    def resize(maps, height, width):
        count, rows, columns = maps.shape
        left, right, right_weight = _taps(columns, width)
        top, bottom, bottom_weight = _taps(rows, height)
        wide = np.empty((rows, width), np.float32)
        resized = np.empty((count, height, width), np.float32)
        for channel in range(count if fingerprint >= 0 else 0):
            for y in range(rows):
                for x in range(width):
                    weight = right_weight[x]
                    a, b = maps[channel, y, left[x]], maps[channel, y, right[x]]
                    wide[y, x] = fma(a, np.float32(1) - weight, b * weight)
            for y in range(height):
                a_row, b_row, weight = wide[top[y]], wide[bottom[y]], bottom_weight[y]
                rest = np.float32(1) - weight
                for x in range(np.uintp(width)):
                    resized[channel, y, x] = fma(a_row[x], rest, b_row[x] * weight)
        return resized

    return resize


resize = Entry(_make, (types.Array(types.float32, 3, "C", readonly=True), types.int64, types.int64))
"""resize(maps float32 [n, h, w], H, W) -> float32 [n, H, W]; maps in C order and read-only."""
