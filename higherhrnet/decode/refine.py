"""After grouping: quarter-pixel offsets, and missing joints filled from the heatmap and tags."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from higherhrnet.decode.fuse import heat_in, make_scratch, tags_in
from higherhrnet.decode.intrinsics import larger
from higherhrnet.decode.tiles import TILE

_FEW_TILES = 128
"""Where a joint's searches have evaluated more tiles than this, its map is noisy and the limits too high to choose by.
The true maxima of all tiles together cost about as much as this many tiles, or twice as many, one by one."""


class _Tiles(NamedTuple):
    """What a search knows of tiles. Those evaluated for one joint are kept for the people that follow.

    Memory that is not used is not touched.
    """

    slot: np.ndarray  # int64 [rows, columns], the evaluated tile's place in the next four, -1 where not evaluated
    has_tags: np.ndarray  # bool [slots]
    heat: np.ndarray  # float32 [slots, TILE, TILE], -inf beyond the map's border
    tag: np.ndarray  # float32 [slots, TILE, TILE]
    mirror_tag: np.ndarray  # float32 [slots, TILE, TILE]
    bound: np.ndarray  # float32 [rows, columns], the most that a score in the tile can be, -inf once visited
    column_bound: np.ndarray  # float32 [columns], the highest of each column of bound
    score: np.ndarray  # float32 [TILE, TILE]
    row_heat: np.ndarray  # float32 [TILE, columns * TILE]
    has_maxima: np.ndarray  # bool [1], the limits of the joint's heat are the true maxima everywhere


@njit
def _shift(image, mirror, joint, mirror_joint, x, y, scratch, around):
    """The point of pixel (x, y): its center, moved a quarter pixel toward the higher neighbour in x and in y.

    Newell et al. 2016, Stacked Hourglass, section 3.3. Ties and lower neighbours move it the negative way; at the
    border the neighbour is the pixel itself.
    """
    half_height, half_width = image.output2.shape[1:]
    left, right = max(x - 1, 0), min(x + 1, 2 * half_width - 1)
    top, bottom = max(y - 1, 0), min(y + 1, 2 * half_height - 1)
    heat_in(image, mirror, joint, mirror_joint, (top, bottom + 1, left, right + 1), scratch, around)
    rightward = around[y - top, right - left] > around[y - top, 0]
    downward = around[bottom - top, x - left] > around[0, x - left]
    return x + 0.5 + (0.25 if rightward else -0.25), y + 0.5 + (0.25 if downward else -0.25)


@njit
def adjust(image, mirror, flip, people):
    """Move every found joint of people [P, K, 3] from its pixel to its point, in place."""
    scratch, around = make_scratch(3, 3), np.empty((3, 3), np.float32)
    for person in range(people.shape[0]):
        for joint in range(people.shape[1]):
            if people[person, joint, 2] > 0:
                x, y = int(people[person, joint, 0]), int(people[person, joint, 1])
                point = _shift(image, mirror, joint, flip[joint], x, y, scratch, around)
                people[person, joint, 0], people[person, joint, 1] = point


@njit
def mean_tags(people, people_tags):
    """Each person's mean tag [P, 2] over its found joints, summed in joint order as np.mean does; NaN where none is."""
    means = np.zeros((people.shape[0], 2), np.float32)
    for person in range(people.shape[0]):
        members = 0
        for joint in range(people.shape[1]):
            if people[person, joint, 2] > 0:
                members += 1
                means[person] += people_tags[person, joint]
        means[person] /= np.float32(members)
    return means


@njit
def refine(image, mirror, flip, limits, people, people_tags):
    """Fill each person's missing joints where heat is high and the tag is near the person's mean tag, in place.

    people, people_tags : float32 [P, K, 3] and [P, K, 2] from grouping; tags are read at the joints' own pixels
    limits : of all tiles; those of heat are lowered to the true maxima where these become known

    The place is the largest heat - round(tag distance), the first in row order among equals; it is taken if its heat
    is above 0.
    """
    rows, columns = limits.heat.shape[1:]
    means = mean_tags(people, people_tags)
    scratch, around = make_scratch(TILE, columns * TILE), np.empty((3, 3), np.float32)
    tiles = _Tiles(
        np.empty((rows, columns), np.int64),
        np.empty(rows * columns, np.bool_),
        np.empty((rows * columns, TILE, TILE), np.float32),
        np.empty((rows * columns, TILE, TILE), np.float32),
        np.empty((rows * columns, TILE, TILE), np.float32),
        np.empty((rows, columns), np.float32),
        np.empty(columns, np.float32),
        np.empty((TILE, TILE), np.float32),
        np.empty((TILE, columns * TILE), np.float32),
        np.empty(1, np.bool_),
    )
    for joint in range(people.shape[1]):
        if limits.heat[joint].max() <= 0:
            continue  # whatever place is best, its heat is not above 0
        tiles.slot[:] = -1
        tiles.has_maxima[0] = False
        used = 0
        for person in range(people.shape[0]):
            if people[person, joint, 2] != 0:
                continue
            x, y, heat, used = _best_place(
                image, mirror, joint, flip[joint], limits, means[person, 0], means[person, 1], tiles, used, scratch
            )
            if heat > 0:
                point = _shift(image, mirror, joint, flip[joint], x, y, scratch, around)
                people[person, joint, 0], people[person, joint, 1] = point
                people[person, joint, 2] = heat


@njit
def _best_place(image, mirror, joint, mirror_joint, limits, mean, mirror_mean, tiles, used, scratch):
    """Column, row and heat of the best place of ``joint`` for a person of this mean tag, and the slots now used.

    Best first over tiles, exact: a tile's tags lie in [low, high], so the float32 distance of any of its pixels is at
    least that of the nearest tag in that range (subtraction, square, sum, root and rounding are monotone), and no
    score in it exceeds its heat limit - round(that distance), its bound. Tiles are taken in the order of their bounds,
    equal ones in row order. The search ends where the bound is below the best score, or equal to it with no pixel of
    the tile before the best place in row order: all tiles left have lower bounds, or the same bound and later pixels.
    Lowering limits to true maxima on the way keeps them limits; a tile visited again finds nothing new.
    """
    height, width = 2 * image.output2.shape[1], 2 * image.output2.shape[2]
    if math.isnan(mean):  # no found joint: all scores are NaN, and the first of them counts as the largest
        heat_in(image, mirror, joint, mirror_joint, (0, 1, 0, 1), scratch, tiles.score)
        return 0, 0, tiles.score[0, 0], used
    heat_limit = limits.heat[joint]
    low, high = limits.tag_low[joint], limits.tag_high[joint]
    mirror_low, mirror_high = limits.mirror_low[joint], limits.mirror_high[joint]
    _bound_tiles(heat_limit, low, high, mirror_low, mirror_high, mean, mirror_mean, tiles.bound, tiles.column_bound)
    best, best_index, best_heat = np.float32(-np.inf), height * width, np.float32(0)
    while True:
        if used > _FEW_TILES and not tiles.has_maxima[0]:
            _find_maxima(image, mirror, joint, mirror_joint, heat_limit, tiles.row_heat, scratch)
            tiles.has_maxima[0] = True
            _bound_tiles(
                heat_limit, low, high, mirror_low, mirror_high, mean, mirror_mean, tiles.bound, tiles.column_bound
            )
        bound = _highest(tiles.column_bound)
        row, column = _first_place(tiles.bound, tiles.column_bound, bound)
        y0, x0 = row * TILE, column * TILE
        first = y0 * width + x0
        if bound < best or (bound == best and first >= best_index):
            return best_index % width, best_index // width, best_heat, used
        box = (y0, min(y0 + TILE, height), x0, min(x0 + TILE, width))
        slot = tiles.slot[row, column]
        if slot < 0:
            slot = tiles.slot[row, column] = used
            used += 1
            heat = tiles.heat[slot]
            tiles.has_tags[slot] = False
            if box[1] - y0 < TILE or box[3] - x0 < TILE:  # the part beyond the map's border never counts
                heat[:], tiles.tag[slot], tiles.mirror_tag[slot] = -np.inf, 0, 0
            heat_in(image, mirror, joint, mirror_joint, box, scratch, heat)
            highest = _highest(heat.reshape(-1))
            if highest < heat_limit[row, column]:  # the true maximum: does this tile still come first?
                heat_limit[row, column] = highest
                tiles.bound[row, column] = highest - _distance(
                    _beyond(mean, low[row, column], high[row, column]),
                    _beyond(mirror_mean, mirror_low[row, column], mirror_high[row, column]),
                )
                tiles.column_bound[column] = _column_highest(tiles.bound, column)
                continue
        heat = tiles.heat[slot]
        if not tiles.has_tags[slot]:
            tags_in(image, mirror, joint, mirror_joint, box, scratch, tiles.tag[slot], tiles.mirror_tag[slot])
            tiles.has_tags[slot] = True
        tag, mirror_tag = tiles.tag[slot].reshape(-1), tiles.mirror_tag[slot].reshape(-1)
        if _score_tile(heat.reshape(-1), tag, mirror_tag, mean, mirror_mean, tiles.score.reshape(-1)) >= best:
            for y in range(box[1] - y0):
                for x in range(box[3] - x0):
                    index = first + y * width + x
                    score = tiles.score[y, x]
                    if score > best or (score == best and index < best_index):
                        best, best_index, best_heat = score, index, heat[y, x]
        tiles.bound[row, column] = -np.inf
        tiles.column_bound[column] = _column_highest(tiles.bound, column)


@njit
def _find_maxima(image, mirror, joint, mirror_joint, heat_limit, row_heat, scratch):
    """Lower the limits of the joint's heat to the true maxima, a row of tiles at a time."""
    height, width = 2 * image.output2.shape[1], 2 * image.output2.shape[2]
    for row in range(heat_limit.shape[0]):
        row_heat[:] = -np.inf  # what lies beyond the map's border stays so
        box = (row * TILE, min((row + 1) * TILE, height), 0, width)
        heat_in(image, mirror, joint, mirror_joint, box, scratch, row_heat)
        for y in range(np.uintp(1), np.uintp(TILE)):
            for x in range(np.uintp(width)):
                row_heat[0, x] = larger(row_heat[y, x], row_heat[0, x])
        for column in range(heat_limit.shape[1]):
            heat_limit[row, column] = _highest(row_heat[0, column * TILE : (column + 1) * TILE])


@njit
def _distance(a, b):
    """Rounded length of the tag difference (a, b), in float32 as the reference."""
    return np.rint(math.sqrt(a * a + b * b))


@njit
def _beyond(value, low, high):
    """How far ``value`` lies outside [low, high]."""
    below, above = low - value, value - high
    outside = below if below > above else above
    return outside if outside > 0 else np.float32(0)


@njit
def _bound_tiles(heat, low, high, mirror_low, mirror_high, mean, mirror_mean, bound, column_bound):
    """bound[row, column] = the most that a score in the tile can be; column_bound the highest of each column."""
    column_bound[:] = -np.inf
    for row in range(np.uintp(bound.shape[0])):
        for i in range(np.uintp(bound.shape[1])):
            a = _beyond(mean, low[row, i], high[row, i])
            b = _beyond(mirror_mean, mirror_low[row, i], mirror_high[row, i])
            limit = heat[row, i] - _distance(a, b)
            bound[row, i] = limit
            column_bound[i] = limit if limit > column_bound[i] else column_bound[i]


@njit
def _score_tile(heat, tag, mirror_tag, mean, mirror_mean, score):
    """Set ``score`` to heat - rounded distance over a whole tile, all flat; returns the highest."""
    highest = np.float32(-np.inf)
    for i in range(np.uintp(len(score))):
        score[i] = heat[i] - _distance(tag[i] - mean, mirror_tag[i] - mirror_mean)
        highest = larger(score[i], highest)
    return highest


@njit
def _highest(values):
    highest = values[0]
    for i in range(np.uintp(len(values))):
        highest = larger(values[i], highest)
    return highest


@njit
def _column_highest(values, column):
    i = np.uintp(column)
    highest = values[0, i]
    for row in range(np.uintp(values.shape[0])):
        highest = larger(values[row, i], highest)
    return highest


@njit
def _first_place(bound, column_bound, value):
    """First row, and in it first column, where ``bound`` is ``value``, the highest of all."""
    first_row, first_column = bound.shape[0], 0
    for column in range(len(column_bound)):
        if column_bound[column] == value:
            row = 0
            while row < first_row and bound[row, column] != value:
                row += 1
            if row < first_row:
                first_row, first_column = row, column
    return first_row, first_column
