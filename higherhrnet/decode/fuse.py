"""Fused heatmaps and tags at full resolution, in any rectangle of them, straight from the network's outputs.

The official code makes the full maps: output1 upsampled 2x and averaged with output2 (half resolution), the mirror
image's mirrored back, both upsampled 2x again and averaged. Here the same values are computed where they are asked for.
Upsampling is bilinear with half-pixel centers. Between neighbouring samples p and p + 1 lie the upsampled 2p + 1 and
2p + 2, three quarters of one and a quarter of the other; before the first and after the last sample the border repeats.

Arithmetic is float32 as PyTorch's CPU kernel has it: along x, then along y, each two-tap sum fma(a, wa, b * wb).

Two facts carry the exactness of every shortcut in this package:

- Monotone. Rounding, and so each step above, never turns a larger input into a smaller output.
- Constants stay. If both taps are M, the sum is M: with b * wb = M / 4 the product is exact (short of the smallest
  denormals) and M is the exact sum. With b * wb = fl(3M / 4) the error is at most half a unit of M's last place,
  and equals half a unit only where M's significand is 2 mod 4, thus even, so that the tie falls to M.
  Denormals are multiples of one unit, where the same two cases hold with both products rounded.

Hence an upsampled value never leaves the range of the samples under it, without any slack for rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from higherhrnet.decode.cache import inner
from higherhrnet.decode.intrinsics import fma

HALF = np.float32(0.5)
QUARTER = np.float32(0.25)
THREE_QUARTERS = np.float32(0.75)

# Indices in the loops over columns are unsigned: Numba tests each signed one for being negative, which counts from the
# end, and LLVM then cannot use vector instructions.
ONE = np.uintp(1)
TWO = np.uintp(2)


class PassMaps(NamedTuple):
    """The network's outputs for the image, or for its mirror image."""

    output1: np.ndarray  # float32 [2K, H/4, W/4]: K heatmaps, K tag maps
    output2: np.ndarray  # float32 [K, H/2, W/2]: heatmaps


class Maps(NamedTuple):
    """The outputs of both passes; without flip test there is one, and it stands in the other's place too."""

    passes: tuple[PassMaps, PassMaps]  # of the image, of its mirror image
    with_mirror: bool
    flip: np.ndarray  # int64 [K], the mirror pass's map that shows each joint


class Scratch(NamedTuple):
    """Room for the steps of one rectangle, so that none is allocated twice."""

    line: np.ndarray  # [columns]
    wide: np.ndarray  # [rows, columns], upsampled along x
    half: np.ndarray  # [rows, columns], half resolution
    upright: np.ndarray  # [rows, columns], half resolution upsampled along x
    mirrored: np.ndarray


@inner
def make_scratch(height: int, width: int) -> Scratch:
    """Scratch for rectangles of up to height x width full-resolution pixels."""
    rows, columns = height // 2 + 4, width + 8
    return Scratch(
        np.empty(columns, np.float32),
        np.empty((rows, columns), np.float32),
        np.empty((rows, columns), np.float32),
        np.empty((rows, columns), np.float32),
        np.empty((rows, columns), np.float32),
    )


@inner
def _mix_rows(rows, above, first, count, odd, out, out_row):
    """Row ``out_row`` of ``out``: between rows ``above`` and above + 1, columns [first, first + count).

    ``odd``: the upsampled row nearer to ``above``, else the one nearer to the row below it.
    """
    a, b, to = np.uintp(above), np.uintp(above + 1), np.uintp(out_row)
    skip = np.uintp(first)
    weight_a = THREE_QUARTERS if odd else QUARTER
    weight_b = QUARTER if odd else THREE_QUARTERS
    for x in range(np.uintp(count)):
        out[to, x] = fma(rows[a, x + skip], weight_a, rows[b, x + skip] * weight_b)


@inner
def _half_resolution(maps, channel, with_heat, top, bottom, left, right, scratch):
    """Fill scratch.half with rows [top, bottom) and columns [left, right) of one pass at half resolution.

    Half resolution is output1[channel] upsampled 2x and, for heat, averaged with output2[channel].
    One row or column beyond each border may be asked for: it repeats the border.
    """
    quarter, heat = maps.output1, maps.output2
    height, width = quarter.shape[1:]
    first_row, last_row = (top - 1) >> 1, bottom >> 1  # of the samples around them, both inclusive
    first_column, last_column = (left - 1) >> 1, right >> 1
    line, wide, half = scratch.line, scratch.wide, scratch.half
    samples = last_column - first_column + 1
    pad = np.uintp(max(-first_column, 0))
    start = np.uintp(max(first_column, 0))
    inner = np.uintp(min(last_column, width - 1) - max(first_column, 0) + 1)
    plane = np.uintp(channel)
    for i in range(last_row - first_row + 1):
        row = np.uintp(min(max(first_row + i, 0), height - 1))
        to = np.uintp(i)
        for x in range(inner):
            line[x + pad] = quarter[plane, row, x + start]
        if first_column < 0:
            line[0] = quarter[channel, row, 0]
        if last_column >= width:
            line[samples - 1] = quarter[channel, row, width - 1]
        for p in range(np.uintp(samples - 1)):
            a, b = line[p], line[p + ONE]
            wide[to, TWO * p] = fma(a, THREE_QUARTERS, b * QUARTER)
            wide[to, TWO * p + ONE] = fma(a, QUARTER, b * THREE_QUARTERS)
    skip = left - (2 * first_column + 1)  # columns of wide before ``left``: 0 or 1
    columns = right - left
    for row in range(top, bottom):
        _mix_rows(wide, ((row - 1) >> 1) - first_row, skip, columns, row & 1, half, row - top)
    if with_heat:
        pad = np.uintp(max(-left, 0))
        start = np.uintp(max(left, 0))
        inner = np.uintp(min(right, 2 * width) - max(left, 0))
        for i in range(bottom - top):
            row = np.uintp(min(max(top + i, 0), 2 * height - 1))
            to = np.uintp(i)
            for x in range(inner):
                half[to, x + pad] = (half[to, x + pad] + heat[plane, row, x + start]) * HALF
            if left < 0:
                half[i, 0] = half[i, 1]
            if right > 2 * width:
                half[i, columns - 1] = half[i, columns - 2]


@inner
def _upsample_along_x(half, rows, columns, mirrored, wide):
    last = np.uintp(columns - 1)
    for i in range(np.uintp(rows)):
        if mirrored:
            for p in range(last):
                a, b = half[i, last - p], half[i, last - p - ONE]
                wide[i, TWO * p] = fma(a, THREE_QUARTERS, b * QUARTER)
                wide[i, TWO * p + ONE] = fma(a, QUARTER, b * THREE_QUARTERS)
        else:
            for p in range(last):
                a, b = half[i, p], half[i, p + ONE]
                wide[i, TWO * p] = fma(a, THREE_QUARTERS, b * QUARTER)
                wide[i, TWO * p + ONE] = fma(a, QUARTER, b * THREE_QUARTERS)


@inner
def _upsample(maps, joint, first_channel, box, scratch):
    """Fill scratch.upright and, of two passes, scratch.mirrored with the rows around ``box`` upsampled along x.

    first_channel : output1's channel of the first joint: 0 for heat, K for tags

    Returns the half-resolution row that comes first in them and the columns before the box's first.
    """
    top, bottom, left, right = box
    half_top, half_bottom = (top - 1) >> 1, (bottom >> 1) + 1
    half_left, half_right = (left - 1) >> 1, (right >> 1) + 1
    rows, columns = half_bottom - half_top, half_right - half_left
    width = maps.passes[0].output2.shape[2]
    for number in range(2 if maps.with_mirror else 1):
        mirrored = number == 1
        channel = first_channel + (maps.flip[joint] if mirrored else joint)
        first = width - half_right if mirrored else half_left
        _half_resolution(
            maps.passes[number], channel, first_channel == 0, half_top, half_bottom, first, first + columns, scratch
        )
        _upsample_along_x(scratch.half, rows, columns, mirrored, scratch.mirrored if mirrored else scratch.upright)
    return half_top, left - (2 * half_left + 1)


@inner
def heat_in(maps, joint, box, scratch, heat):
    """Fill ``heat`` with a joint's fused heatmap in ``box``.

    box : rows [top, bottom) and columns [left, right) of the full resolution, as (top, bottom, left, right)
    heat : float32, at least [bottom - top, right - left]
    """
    top, bottom, left, right = box
    half_top, skip = _upsample(maps, joint, np.int64(0), box, scratch)
    upright, mirrored = scratch.upright, scratch.mirrored
    first = np.uintp(skip)
    for y in range(top, bottom):
        above, to = np.uintp(((y - 1) >> 1) - half_top), np.uintp(y - top)
        below = above + ONE
        weight_a = THREE_QUARTERS if y & 1 else QUARTER
        weight_b = QUARTER if y & 1 else THREE_QUARTERS
        if not maps.with_mirror:
            for x in range(np.uintp(right - left)):
                heat[to, x] = fma(upright[above, x + first], weight_a, upright[below, x + first] * weight_b)
            continue
        for x in range(np.uintp(right - left)):
            a = fma(upright[above, x + first], weight_a, upright[below, x + first] * weight_b)
            b = fma(mirrored[above, x + first], weight_a, mirrored[below, x + first] * weight_b)
            heat[to, x] = (a + b) * HALF


@inner
def tags_in(maps, joint, box, scratch, tag, mirror_tag):
    """Fill ``tag`` and ``mirror_tag`` with both passes' tags of a joint in ``box``; parameters as heat_in's.

    Without a mirror image its tags are 0, which changes no distance: the root of a square is the number itself.
    """
    top, bottom, left, right = box
    half_top, skip = _upsample(maps, joint, len(maps.flip), box, scratch)
    upright, mirrored = scratch.upright, scratch.mirrored
    first = np.uintp(skip)
    for y in range(top, bottom):
        above, to = np.uintp(((y - 1) >> 1) - half_top), np.uintp(y - top)
        below = above + ONE
        weight_a = THREE_QUARTERS if y & 1 else QUARTER
        weight_b = QUARTER if y & 1 else THREE_QUARTERS
        for x in range(np.uintp(right - left)):
            tag[to, x] = fma(upright[above, x + first], weight_a, upright[below, x + first] * weight_b)
            mirror_tag[to, x] = 0
        if maps.with_mirror:
            for x in range(np.uintp(right - left)):
                mirror_tag[to, x] = fma(mirrored[above, x + first], weight_a, mirrored[below, x + first] * weight_b)
