"""After grouping: quarter-pixel offsets, and missing joints filled from the heatmap and tags."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from higherhrnet.decode.cache import inlined, inner
from higherhrnet.decode.fuse import Scratch, heat_in, make_scratch, tags_in
from higherhrnet.decode.intrinsics import larger
from higherhrnet.decode.tiles import TILE, Limits

_FEW_TILES = 128
"""Where a joint's searches have evaluated more tiles than this, its map is noisy and the limits too high to choose by.
The true maxima of all tiles together cost about as much as this many tiles, or twice as many, one by one."""

_HEAT, _HEAT_AND_TAGS = 1, 2  # what a slot holds of its tile; 0: it is free


class _Search(NamedTuple):
    """Room for the searches of an image, and the tiles evaluated for one joint, kept for the people that follow.

    Evaluated tiles lie in slots, one after another: memory that is not used is not touched.
    """

    slot: np.ndarray  # int64 [rows, columns], -1 where the tile is not evaluated
    holds: np.ndarray  # int8 [slots]
    heat: np.ndarray  # float32 [slots, TILE, TILE], -inf beyond the map's border
    tag: np.ndarray  # float32 [slots, TILE, TILE]
    mirror_tag: np.ndarray  # float32 [slots, TILE, TILE]
    bound: np.ndarray  # float32 [rows, columns], the most that a score in the tile can be, -inf once visited
    column_bound: np.ndarray  # float32 [columns], the highest of each column of bound
    score: np.ndarray  # float32 [TILE, TILE]
    row_heat: np.ndarray  # float32 [TILE, columns * TILE]
    scratch: Scratch


@inlined
def points(maps, people, places, with_adjust):
    """Set the joints of people [P, K, 3], in place.

    Those that were found are moved from their pixel to its point ``with_adjust``; those that were not get the point of
    their place (``search``) and its heat, if that is above 0.

    The point of a pixel is its center, moved a quarter pixel toward the higher neighbour in x and in y. Newell et al.
    2016, Stacked Hourglass, section 3.3. Ties and lower neighbours move it the negative way; at the border the
    neighbour is the pixel itself.
    """
    half_height, half_width = maps.passes[0].output2.shape[1:]
    scratch, around = make_scratch(np.int64(3), np.int64(3)), np.empty((3, 3), np.float32)
    for person in range(people.shape[0]):
        for joint in range(people.shape[1]):
            if people[person, joint, 2] > 0:
                if not with_adjust:
                    continue
                x, y = np.int64(people[person, joint, 0]), np.int64(people[person, joint, 1])
            else:
                x, y = places[person, joint, 0], places[person, joint, 1]
                if x < 0:
                    continue
            left, right = max(x - 1, 0), min(x + 1, 2 * half_width - 1)
            top, bottom = max(y - 1, 0), min(y + 1, 2 * half_height - 1)
            heat_in(maps, joint, (top, bottom + 1, left, right + 1), scratch, around)
            value = around[y - top, x - left]
            if not value > 0:
                continue
            rightward = around[y - top, right - left] > around[y - top, 0]
            downward = around[bottom - top, x - left] > around[0, x - left]
            people[person, joint, 0] = x + 0.5 + (0.25 if rightward else -0.25)
            people[person, joint, 1] = y + 0.5 + (0.25 if downward else -0.25)
            people[person, joint, 2] = value


@inlined
def places(maps, limits, people, means):
    """Where each person's missing joints are, int64 [P, K, 2], x and y, -1 where there is no place or none is missing.

    people, means : float32 [P, K, 3] and [P, 2], the mean tags, from grouping
    limits : of all tiles; those of heat are lowered to the true maxima where these become known

    The place is the largest heat - round(tag distance), the first in row order among equals, where its heat is above 0.
    """
    found = np.full((people.shape[0], people.shape[1], 2), -1)
    rows, columns = limits.heat.shape[1:]
    search = _Search(
        np.empty((rows, columns), np.int64),
        np.empty(rows * columns, np.int8),
        np.empty((rows * columns, TILE, TILE), np.float32),
        np.empty((rows * columns, TILE, TILE), np.float32),
        np.empty((rows * columns, TILE, TILE), np.float32),
        np.empty((rows, columns), np.float32),
        np.empty(columns, np.float32),
        np.empty((TILE, TILE), np.float32),
        np.empty((TILE, columns * TILE), np.float32),
        make_scratch(np.int64(TILE), columns * TILE),
    )
    for joint in range(people.shape[1]):
        if not _highest(limits.heat[joint].reshape(-1)) > 0:
            continue  # whatever place is best, its heat is not above 0
        of_joint = Limits(
            limits.heat[joint],
            limits.tag_low[joint],
            limits.tag_high[joint],
            limits.mirror_low[joint],
            limits.mirror_high[joint],
        )
        for row in range(rows):
            for column in range(columns):
                search.slot[row, column] = -1
        for slot in range(len(search.holds)):
            search.holds[slot] = 0
        used, patience = np.int64(0), np.int64(_FEW_TILES)
        for person in range(people.shape[0]):
            if people[person, joint, 2] != 0:
                continue
            mean = means[person, 0], means[person, 1]
            if math.isnan(mean[0]):  # no found joint: all scores are NaN, and the first of them counts as the largest
                found[person, joint, 0], found[person, joint, 1] = 0, 0
                continue
            x, y, heat = -1, -1, np.float32(0)
            while x < 0:
                while used < len(search.holds) and search.holds[used]:
                    used += 1
                x, y, heat = _best_place(maps, joint, of_joint, mean, search, (used, patience))
                if x < 0:
                    _find_maxima(maps, joint, of_joint.heat, search)
                    patience = np.int64(rows * columns)
            if heat > 0:
                found[person, joint, 0], found[person, joint, 1] = x, y
    return found


@inlined
def _best_place(maps, joint, limits, mean, search, slots):
    """Column, row and heat of a joint's best place for a person of this mean tag.

    limits : the joint's, as arrays [rows, columns] of tiles
    mean : the mean tags of the image and of its mirror image
    slots : the first free one, and the last that may be used: instead of taking more the search gives up, with column
        and row -1

    Best first over tiles, exact: a tile's tags lie in [low, high], so the float32 distance of any of its pixels is at
    least that of the nearest tag in that range (subtraction, square, sum, root and rounding are monotone), and no
    score in it exceeds its heat limit - round(that distance), its bound. Tiles are taken in the order of their bounds,
    equal ones in row order. The search ends where the bound is below the best score, or equal to it with no pixel of
    the tile before the best place in row order: all tiles left have lower bounds, or the same bound and later pixels.
    Lowering limits to true maxima on the way keeps them limits.
    """
    height, width = 2 * maps.passes[0].output2.shape[1], 2 * maps.passes[0].output2.shape[2]
    _bound_tiles(limits, mean, search)
    used, patience = slots
    best, best_index, best_heat = np.float32(-np.inf), height * width, np.float32(0)
    while True:
        if used > patience:
            return -1, -1, best_heat
        bound = _highest(search.column_bound)
        row, column = _first_place(search.bound, search.column_bound, bound)
        y0, x0 = row * TILE, column * TILE
        first = y0 * width + x0
        if bound < best or (bound == best and first >= best_index):
            return best_index % width, best_index // width, best_heat
        box = (y0, min(y0 + TILE, height), x0, min(x0 + TILE, width))
        slot = search.slot[row, column]
        if slot < 0:
            slot = search.slot[row, column] = used
            used += 1
            search.holds[slot] = _HEAT
            heat = search.heat[slot]
            if box[1] - y0 < TILE or box[3] - x0 < TILE:  # the part beyond the map's border never counts
                _fill(heat, -np.inf)
                _fill(search.tag[slot], 0.0)
                _fill(search.mirror_tag[slot], 0.0)
            heat_in(maps, joint, box, search.scratch, heat)
            highest = _highest(heat.reshape(-1))
            if highest < limits.heat[row, column]:  # the true maximum: does this tile still come first?
                limits.heat[row, column] = highest
                search.bound[row, column] = highest - _distance(
                    _beyond(mean[0], limits.tag_low[row, column], limits.tag_high[row, column]),
                    _beyond(mean[1], limits.mirror_low[row, column], limits.mirror_high[row, column]),
                )
                search.column_bound[column] = _column_highest(search.bound, column)
                continue
        if search.holds[slot] == _HEAT:
            tags_in(maps, joint, box, search.scratch, search.tag[slot], search.mirror_tag[slot])
            search.holds[slot] = _HEAT_AND_TAGS
        heat = search.heat[slot]
        tag, mirror_tag = search.tag[slot].reshape(-1), search.mirror_tag[slot].reshape(-1)
        if _score_tile(heat.reshape(-1), tag, mirror_tag, mean, search.score.reshape(-1)) >= best:
            for y in range(box[1] - y0):
                for x in range(box[3] - x0):
                    index = first + y * width + x
                    score = search.score[y, x]
                    if score > best or (score == best and index < best_index):
                        best, best_index, best_heat = score, index, heat[y, x]
        search.bound[row, column] = -np.inf
        search.column_bound[column] = _column_highest(search.bound, column)


@inner
def _find_maxima(maps, joint, heat_limit, search):
    """Lower the limits of a joint's heat [rows, columns] to the true maxima, a row of tiles at a time."""
    height, width = 2 * maps.passes[0].output2.shape[1], 2 * maps.passes[0].output2.shape[2]
    row_heat = search.row_heat
    for row in range(heat_limit.shape[0]):
        _fill(row_heat, -np.inf)  # what lies beyond the map's border stays so
        heat_in(maps, joint, (row * TILE, min((row + 1) * TILE, height), np.int64(0), width), search.scratch, row_heat)
        for y in range(np.uintp(1), np.uintp(TILE)):
            for x in range(np.uintp(width)):
                row_heat[0, x] = larger(row_heat[y, x], row_heat[0, x])
        for column in range(heat_limit.shape[1]):
            heat_limit[row, column] = _highest(row_heat[0, column * TILE : (column + 1) * TILE])


@inner
def _fill(values, value):
    # Not values[:] = value: what that would say of shapes that do not fit takes seconds to compile.
    for y in range(np.uintp(values.shape[0])):
        for x in range(np.uintp(values.shape[1])):
            values[y, x] = value


@inner
def _distance(a, b):
    """Rounded length of the tag difference (a, b), in float32 as the reference."""
    return np.rint(math.sqrt(a * a + b * b))


@inner
def _beyond(value, low, high):
    """How far ``value`` lies outside [low, high]."""
    below, above = low - value, value - high
    outside = below if below > above else above
    return outside if outside > 0 else np.float32(0)


@inner
def _bound_tiles(limits, mean, search):
    """Set the bound of every tile, and of every column of tiles."""
    heat, low, high, mirror_low, mirror_high = limits
    bound, column_bound = search.bound, search.column_bound
    for i in range(np.uintp(len(column_bound))):
        column_bound[i] = -np.inf
    for row in range(np.uintp(bound.shape[0])):
        for i in range(np.uintp(bound.shape[1])):
            a = _beyond(mean[0], low[row, i], high[row, i])
            b = _beyond(mean[1], mirror_low[row, i], mirror_high[row, i])
            most = heat[row, i] - _distance(a, b)
            bound[row, i] = most
            column_bound[i] = most if most > column_bound[i] else column_bound[i]


@inner
def _score_tile(heat, tag, mirror_tag, mean, score):
    """Set ``score`` to heat - rounded distance over a whole tile, all flat; returns the highest."""
    highest = np.float32(-np.inf)
    for i in range(np.uintp(len(score))):
        score[i] = heat[i] - _distance(tag[i] - mean[0], mirror_tag[i] - mean[1])
        highest = larger(score[i], highest)
    return highest


@inner
def _highest(values):
    highest = values[0]
    for i in range(np.uintp(len(values))):
        highest = larger(values[i], highest)
    return highest


@inner
def _column_highest(values, column):
    i = np.uintp(column)
    highest = values[0, i]
    for row in range(np.uintp(values.shape[0])):
        highest = larger(values[row, i], highest)
    return highest


@inner
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
