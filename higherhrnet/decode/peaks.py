"""Local maxima of fused heatmaps, evaluated only where a value above the threshold is possible."""

from __future__ import annotations

import numpy as np

from higherhrnet.decode.cache import inlined, inner
from higherhrnet.decode.fuse import heat_in, make_scratch, tags_in
from higherhrnet.decode.tiles import TILE


@inlined
def find(maps, tile_heat, kernel, limit, threshold):
    """The highest local maxima of each joint's fused heatmap, and the tags there.

    A pixel counts if it equals the maximum of the ``kernel`` x ``kernel`` window around it, cut at the borders, and is
    above ``threshold``. The ``limit`` highest are kept, equal ones in row order.

    Exact: a pixel above the threshold lies in a tile whose upper limit ``tile_heat`` [K, rows, columns] is above it.
    Runs of such tiles are evaluated with a margin of half a window, so every window is complete.

    Returns
    -------
    counts : int64 [K]
    points : int64 [K, limit, 2], x and y; values : float32 [K, limit]; tags : float32 [K, limit, 2]
        the first counts[j] of joint j are set, highest first
    """
    joints, half_height, half_width = maps.passes[0].output2.shape
    height, width = 2 * half_height, 2 * half_width
    margin = kernel // 2
    scratch = make_scratch(min(TILE + 2 * margin, height), width)
    heat = np.empty((min(TILE + 2 * margin, height), width), np.float32)
    counts = np.zeros(joints, np.int64)
    points = np.empty((joints, limit, 2), np.int64)
    values = np.empty((joints, limit), np.float32)
    tags = np.empty((joints, limit, 2), np.float32)
    tag, mirror_tag = np.empty((1, 1), np.float32), np.empty((1, 1), np.float32)
    rows, columns = tile_heat.shape[1:]
    for joint in range(joints):
        for row in range(rows):
            column = 0
            while column < columns:
                if not tile_heat[joint, row, column] > threshold:
                    column += 1
                    continue
                end = column + 1
                while end < columns and tile_heat[joint, row, end] > threshold:
                    end += 1
                inner = (row * TILE, min((row + 1) * TILE, height), column * TILE, min(end * TILE, width))
                outer = (
                    max(inner[0] - margin, 0),
                    min(inner[1] + margin, height),
                    max(inner[2] - margin, 0),
                    min(inner[3] + margin, width),
                )
                heat_in(maps, joint, outer, scratch, heat)
                counts[joint] = collect(
                    heat, inner, outer, margin, threshold, counts[joint], points[joint], values[joint]
                )
                column = end
        for i in range(counts[joint]):
            x, y = points[joint, i]
            tags_in(maps, joint, (y, y + 1, x, x + 1), scratch, tag, mirror_tag)
            tags[joint, i, 0] = tag[0, 0]
            tags[joint, i, 1] = mirror_tag[0, 0]
    return counts, points, values, tags


@inner
def collect(heat, inner, outer, margin, threshold, count, points, values):
    """Put the local maxima of the box ``inner`` in their places among the ``count`` best so far; the new count."""
    top, bottom, left, right = outer
    limit = len(values)
    for y in range(inner[0], inner[1]):
        for x in range(inner[2], inner[3]):
            value = heat[y - top, x - left]
            if not value > threshold:
                continue
            if count == limit and (limit == 0 or value < values[limit - 1]):
                continue
            window = (
                max(y - margin, top) - top,
                min(y + margin + 1, bottom) - top,
                max(x - margin, left) - left,
                min(x + margin + 1, right) - left,
            )
            if not _is_highest(heat, value, window):
                continue
            place = count
            while place > 0 and (
                value > values[place - 1]
                or (
                    value == values[place - 1]
                    and (y < points[place - 1, 1] or (y == points[place - 1, 1] and x < points[place - 1, 0]))
                )
            ):
                place -= 1
            if place == limit:
                continue
            count = min(count + 1, limit)
            for i in range(count - 1, place, -1):
                values[i] = values[i - 1]
                points[i, 0] = points[i - 1, 0]
                points[i, 1] = points[i - 1, 1]
            values[place] = value
            points[place, 0] = x
            points[place, 1] = y
    return count


@inner
def _is_highest(heat, value, window):
    """No value in the window is higher. The corners first: on a slope one of them is, which settles most pixels."""
    top, bottom, left, right = window
    if (
        heat[top, left] > value
        or heat[top, right - 1] > value
        or heat[bottom - 1, left] > value
        or heat[bottom - 1, right - 1] > value
    ):
        return False
    for y in range(top, bottom):
        for x in range(left, right):
            if heat[y, x] > value:
                return False
    return True
