"""Limits of heat and tags in every tile of the full resolution, in one pass over the network's outputs.

A tile is TILE x TILE full-resolution pixels: 8 x 8 of half resolution, 4 x 4 of a quarter. The pass also finds NaN,
infinity and values too large for float32 sums, since it reads every value anyway.

Proof that the limits hold: all samples that a tile's pixels are made of lie in the tile or in the ring of one sample
around it (the border's samples repeated beyond the border). An upsampled value never leaves the range of its samples
(fuse.py), so output1 upsampled 2x stays within its own extremes over tile and ring. Average and mirroring are
monotone, so putting the extremes of output1 and output2, and then of both passes, through the same float32 averages as
fuse.py bounds each fused value; rounding is monotone too, so no slack is needed, whatever the magnitude.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from higherhrnet.decode.cache import inlined, inner, reordered
from higherhrnet.decode.fuse import HALF, ONE, TWO

TILE = 16
"""Side of a tile in full-resolution pixels. Smaller ones cost more to compare, larger ones more to evaluate."""

MAGNITUDE_LIMIT = np.float32(1e37)
"""Largest value accepted: sums of a few of them must not overflow float32."""

_SIDE1, _SIDE2 = TILE // 4, TILE // 2  # of a tile in samples of output1 and of output2
_THREE, _FOUR, _FIVE = np.uintp(3), np.uintp(4), np.uintp(5)


class Limits(NamedTuple):
    """Limits of each tile's values, float32 [K, rows, columns] of tiles."""

    heat: np.ndarray  # at least the largest fused heat
    tag_low: np.ndarray  # the image's tags
    tag_high: np.ndarray
    mirror_low: np.ndarray  # the mirror image's tags
    mirror_high: np.ndarray


@inlined
def limits(maps):
    """Limits of all tiles, and which array has values beyond MAGNITUDE_LIMIT or NaN.

    The second result is 1 to 4 for the first such array in the order output1 and output2 of the image, output1 and
    output2 of the mirror image, and 0 where all are fine. Without a mirror image its limits are 0, as its tags are.
    """
    joints, height, width = maps.passes[0].output2.shape
    rows, columns = (2 * height + TILE - 1) // TILE, (2 * width + TILE - 1) // TILE
    result = Limits(
        np.empty((joints, rows, columns), np.float32),
        np.empty((joints, rows, columns), np.float32),
        np.empty((joints, rows, columns), np.float32),
        np.zeros((joints, rows, columns), np.float32),
        np.zeros((joints, rows, columns), np.float32),
    )
    low, high = (result.tag_low, result.mirror_low), (result.tag_high, result.mirror_high)
    # Of the columns of one tile row, of output1 and output2:
    highest1, highest2 = np.empty(width // 2, np.float32), np.empty(width, np.float32)
    lowest = np.empty(width // 2, np.float32)
    of_tiles = np.empty((2, 2, columns), np.float32)
    padded1 = np.empty(columns * _SIDE1 + 2, np.float32)
    padded2 = np.empty(columns * _SIDE2 + 2, np.float32)
    are_small = np.ones((2, 2), np.bool_)
    for joint in range(joints):
        for row in range(rows):
            for number in range(2 if maps.with_mirror else 1):
                mirrored = number == 1
                one = maps.passes[number]
                channel = maps.flip[joint] if mirrored else joint
                tag = joints + channel
                first1, end1 = row * _SIDE1, min((row + 1) * _SIDE1, height // 2)
                first2, end2 = row * _SIDE2, min((row + 1) * _SIDE2, height)
                # This reads them from memory, in order, at its speed; what follows finds them in the cache.
                are_small[number, 0] &= _are_small(one.output1, channel, first1, end1)
                are_small[number, 0] &= _are_small(one.output1, tag, first1, end1)
                are_small[number, 1] &= _are_small(one.output2, channel, first2, end2)
                _highest_columns1(one.output1, channel, first1, highest1)
                _highest_tiles1(highest1, mirrored, padded1, of_tiles[number, 0])
                _highest_columns2(one.output2, channel, first2, highest2)
                _highest_tiles2(highest2, mirrored, padded2, of_tiles[number, 1])
                _extreme_columns(one.output1, tag, first1, highest1, lowest)
                _highest_tiles1(highest1, mirrored, padded1, high[number][joint, row])
                _lowest_tiles1(lowest, mirrored, padded1, low[number][joint, row])
            for i in range(np.uintp(columns)):
                upright = (of_tiles[0, 0, i] + of_tiles[0, 1, i]) * HALF
                if maps.with_mirror:
                    other = (of_tiles[1, 0, i] + of_tiles[1, 1, i]) * HALF
                    upright = (upright + other) * HALF
                result.heat[joint, row, i] = upright
    for number in range(2 if maps.with_mirror else 1):
        for which in range(2):
            if not are_small[number, which] and _exceeds_limit(maps.passes[number][which]):
                return result, 2 * number + which + 1
    return result, 0


@reordered
def _are_small(maps, channel, first, end):
    """False if these rows of a map hold NaN, infinity or a value whose square is infinite, as of all beyond the limit.

    Maybe for smaller ones too, which add up to infinity. In whatever order the sum is made: no square is negative.
    """
    height, width = maps.shape[1:]
    values = maps.reshape(maps.size)
    start = np.uintp((channel * height + first) * width)
    total = np.float32(0)
    for i in range(np.uintp((end - first) * width)):
        total += values[start + i] * values[start + i]
    return np.isfinite(total)


@inner
def _exceeds_limit(maps):
    within = True
    for value in maps.flat:
        within = within and abs(value) <= MAGNITUDE_LIMIT  # False of NaN too
    return not within


@inner
def _larger(a, b):
    return a if a > b else b


@inner
def _smaller(a, b):
    return a if a < b else b


def _over_ring(side: int):
    """``highest_columns`` and ``extreme_columns`` over the ``side`` rows of a tile and one on either side.

    That many rows are a constant: the loop over them is unrolled, and each value is loaded once.
    """
    inside = side + 2

    @inner
    def highest_columns(maps, channel, first, highest):
        height, width = maps.shape[1:]
        plane = np.uintp(channel)
        row, end = np.uintp(max(first - 1, 0)), np.uintp(min(first + side + 1, height))
        if end - row == inside:
            for x in range(np.uintp(width)):
                value = maps[plane, row, x]
                for k in range(ONE, np.uintp(inside)):
                    value = _larger(maps[plane, row + k, x], value)
                highest[x] = value
            return
        for x in range(np.uintp(width)):
            highest[x] = maps[plane, row, x]
        for y in range(row + ONE, end):
            for x in range(np.uintp(width)):
                highest[x] = _larger(maps[plane, y, x], highest[x])

    @inner
    def extreme_columns(maps, channel, first, highest, lowest):
        height, width = maps.shape[1:]
        plane = np.uintp(channel)
        row, end = np.uintp(max(first - 1, 0)), np.uintp(min(first + side + 1, height))
        if end - row == inside:
            for x in range(np.uintp(width)):
                high = low = maps[plane, row, x]
                for k in range(ONE, np.uintp(inside)):
                    value = maps[plane, row + k, x]
                    high, low = _larger(value, high), _smaller(value, low)
                highest[x], lowest[x] = high, low
            return
        for x in range(np.uintp(width)):
            highest[x] = lowest[x] = maps[plane, row, x]
        for y in range(row + ONE, end):
            for x in range(np.uintp(width)):
                value = maps[plane, y, x]
                highest[x], lowest[x] = _larger(value, highest[x]), _smaller(value, lowest[x])

    return highest_columns, extreme_columns


_highest_columns1, _extreme_columns = _over_ring(_SIDE1)
_highest_columns2, _ = _over_ring(_SIDE2)


@inner
def _pad(values, mirrored, padded):
    """Copy ``values``, mirrored if asked, with the border repeated: once before, and to the end of ``padded`` after."""
    width = np.uintp(len(values))
    last = width - ONE
    if mirrored:
        for x in range(width):
            padded[x + ONE] = values[last - x]
    else:
        for x in range(width):
            padded[x + ONE] = values[x]
    padded[0] = padded[1]
    for x in range(width + ONE, np.uintp(len(padded))):
        padded[x] = padded[width]


@inner
def _highest_tiles1(columns, mirrored, padded, highest):
    """highest[i] = maximum of output1's ``columns`` over tile i and the ring around it."""
    _pad(columns, mirrored, padded)
    for i in range(np.uintp(len(highest))):
        x = np.uintp(_SIDE1) * i
        a = _larger(_larger(padded[x], padded[x + ONE]), _larger(padded[x + TWO], padded[x + _THREE]))
        highest[i] = _larger(a, _larger(padded[x + _FOUR], padded[x + _FIVE]))


@inner
def _lowest_tiles1(columns, mirrored, padded, lowest):
    _pad(columns, mirrored, padded)
    for i in range(np.uintp(len(lowest))):
        x = np.uintp(_SIDE1) * i
        a = _smaller(_smaller(padded[x], padded[x + ONE]), _smaller(padded[x + TWO], padded[x + _THREE]))
        lowest[i] = _smaller(a, _smaller(padded[x + _FOUR], padded[x + _FIVE]))


@inner
def _highest_tiles2(columns, mirrored, padded, highest):
    """highest[i] = maximum of output2's ``columns`` over tile i and the ring around it."""
    _pad(columns, mirrored, padded)
    for i in range(np.uintp(len(highest))):
        x = np.uintp(_SIDE2) * i
        y = x + _FOUR
        a = _larger(_larger(padded[x], padded[x + ONE]), _larger(padded[x + TWO], padded[x + _THREE]))
        b = _larger(_larger(padded[y], padded[y + ONE]), _larger(padded[y + TWO], padded[y + _THREE]))
        highest[i] = _larger(_larger(a, b), _larger(padded[y + _FOUR], padded[y + _FIVE]))
