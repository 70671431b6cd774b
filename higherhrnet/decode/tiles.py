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
from numba import njit

from higherhrnet.decode.fuse import HALF, ONE, TWO
from higherhrnet.decode.intrinsics import fma

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


class _Columns(NamedTuple):
    """What is known of the columns of one tile row."""

    highest: np.ndarray  # float32 [columns]
    lowest: np.ndarray
    squares: np.ndarray  # float32, sum of squares of all values ever seen, and 1


@njit
def limits(image, mirror, flip):
    """Limits of all tiles, and which array has values beyond MAGNITUDE_LIMIT or NaN.

    flip[j] is the mirrored pass's map that shows joint j. The second result is 1 to 4 for the first such array in the
    order image.output1, image.output2, mirror.output1, mirror.output2, and 0 where all are fine.
    """
    joints, height, width = image.output2.shape
    shape = (joints, (2 * height + TILE - 1) // TILE, (2 * width + TILE - 1) // TILE)
    result = Limits(
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
    )
    columns = (_columns(width // 2), _columns(width), _columns(width // 2), _columns(width))
    highest = np.empty((4, shape[2]), np.float32)
    padded1 = np.empty(shape[2] * _SIDE1 + 2, np.float32)
    padded2 = np.empty(shape[2] * _SIDE2 + 2, np.float32)
    for joint in range(joints):
        other = flip[joint]
        for row in range(shape[1]):
            _highest_columns(image.output1, joint, row * _SIDE1, _SIDE1, columns[0])
            _highest_columns(image.output2, joint, row * _SIDE2, _SIDE2, columns[1])
            _highest_columns(mirror.output1, other, row * _SIDE1, _SIDE1, columns[2])
            _highest_columns(mirror.output2, other, row * _SIDE2, _SIDE2, columns[3])
            _highest_tiles1(columns[0].highest, False, padded1, highest[0])
            _highest_tiles2(columns[1].highest, False, padded2, highest[1])
            _highest_tiles1(columns[2].highest, True, padded1, highest[2])
            _highest_tiles2(columns[3].highest, True, padded2, highest[3])
            for i in range(np.uintp(shape[2])):
                upright, mirrored = (highest[0, i] + highest[1, i]) * HALF, (highest[2, i] + highest[3, i]) * HALF
                result.heat[joint, row, i] = (upright + mirrored) * HALF

            _extreme_columns(image.output1, joints + joint, row * _SIDE1, _SIDE1, columns[0])
            _extreme_columns(mirror.output1, joints + other, row * _SIDE1, _SIDE1, columns[2])
            _highest_tiles1(columns[0].highest, False, padded1, result.tag_high[joint, row])
            _lowest_tiles1(columns[0].lowest, False, padded1, result.tag_low[joint, row])
            _highest_tiles1(columns[2].highest, True, padded1, result.mirror_high[joint, row])
            _lowest_tiles1(columns[2].lowest, True, padded1, result.mirror_low[joint, row])
    arrays = (image.output1, image.output2, mirror.output1, mirror.output2)
    for i in range(4):
        # Squares of values up to 1e19 leave the sum finite; where it is not, the values themselves decide.
        if not np.isfinite(columns[i].squares.sum()) and _exceeds_limit(arrays[i]):
            return result, i + 1
    return result, 0


@njit
def _columns(count):
    return _Columns(np.empty(count, np.float32), np.empty(count, np.float32), np.ones(count, np.float32))


@njit
def _exceeds_limit(maps):
    return not np.all(np.abs(maps) <= MAGNITUDE_LIMIT)


@njit
def _larger(a, b):
    return a if a > b else b


@njit
def _smaller(a, b):
    return a if a < b else b


@njit
def _highest_columns(maps, channel, first, count, columns):
    """Each column's highest value over ``count`` rows from ``first`` on and one row on either side."""
    height, width = maps.shape[1:]
    plane = np.uintp(channel)
    row, end = np.uintp(max(first - 1, 0)), np.uintp(min(first + count + 1, height))
    highest, squares = columns.highest, columns.squares
    for x in range(np.uintp(width)):
        a = maps[plane, row, x]
        highest[x] = a
        squares[x] = fma(a, a, squares[x])
    row += ONE
    while row + _THREE <= end:  # three rows at a time: a third of the loads and stores of the columns
        for x in range(np.uintp(width)):
            a, b, c = maps[plane, row, x], maps[plane, row + ONE, x], maps[plane, row + TWO, x]
            highest[x] = _larger(_larger(a, b), _larger(c, highest[x]))
            squares[x] = fma(a, a, fma(b, b, fma(c, c, squares[x])))
        row += _THREE
    while row < end:
        for x in range(np.uintp(width)):
            a = maps[plane, row, x]
            highest[x] = _larger(a, highest[x])
            squares[x] = fma(a, a, squares[x])
        row += ONE


@njit
def _extreme_columns(maps, channel, first, count, columns):
    """As _highest_columns, and the lowest values too."""
    height, width = maps.shape[1:]
    plane = np.uintp(channel)
    start, end = np.uintp(max(first - 1, 0)), np.uintp(min(first + count + 1, height))
    highest, lowest, squares = columns.highest, columns.lowest, columns.squares
    for x in range(np.uintp(width)):
        highest[x] = lowest[x] = maps[plane, start, x]
    for row in range(start, end):
        for x in range(np.uintp(width)):
            a = maps[plane, row, x]
            highest[x] = _larger(a, highest[x])
            lowest[x] = _smaller(a, lowest[x])
            squares[x] = fma(a, a, squares[x])


@njit
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
    padded[width + ONE :] = padded[width]


@njit
def _highest_tiles1(columns, mirrored, padded, highest):
    """highest[i] = maximum of output1's ``columns`` over tile i and the ring around it."""
    _pad(columns, mirrored, padded)
    for i in range(np.uintp(len(highest))):
        x = np.uintp(_SIDE1) * i
        a = _larger(_larger(padded[x], padded[x + ONE]), _larger(padded[x + TWO], padded[x + _THREE]))
        highest[i] = _larger(a, _larger(padded[x + _FOUR], padded[x + _FIVE]))


@njit
def _lowest_tiles1(columns, mirrored, padded, lowest):
    _pad(columns, mirrored, padded)
    for i in range(np.uintp(len(lowest))):
        x = np.uintp(_SIDE1) * i
        a = _smaller(_smaller(padded[x], padded[x + ONE]), _smaller(padded[x + TWO], padded[x + _THREE]))
        lowest[i] = _smaller(a, _smaller(padded[x + _FOUR], padded[x + _FIVE]))


@njit
def _highest_tiles2(columns, mirrored, padded, highest):
    """highest[i] = maximum of output2's ``columns`` over tile i and the ring around it."""
    _pad(columns, mirrored, padded)
    for i in range(np.uintp(len(highest))):
        x = np.uintp(_SIDE2) * i
        y = x + _FOUR
        a = _larger(_larger(padded[x], padded[x + ONE]), _larger(padded[x + TWO], padded[x + _THREE]))
        b = _larger(_larger(padded[y], padded[y + ONE]), _larger(padded[y + TWO], padded[y + _THREE]))
        highest[i] = _larger(_larger(a, b), _larger(padded[y + _FOUR], padded[y + _FIVE]))
