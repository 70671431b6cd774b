"""People from whole heatmaps and tag maps: plain searches, where ``peaks`` and ``refine`` avoid most of them.

Maps are float32 [K, H, W]; tags come as two maps per joint, the second all 0 where there is no flip test, which changes
no distance: the root of a square is the number itself, in float32 and float64 alike.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from higherhrnet.decode.cache import Entry, inlined, inner
from higherhrnet.decode.intrinsics import larger
from higherhrnet.decode.peaks import collect

_GIVEN = types.Array(types.float32, 3, "C", readonly=True)
_MAPS = types.Array(types.float32, 3, "C")
_MEANS = types.Array(types.float32, 2, "C")


@inlined
def _find(heat, tags, mirror_tags, kernel, limit, threshold):
    """As peaks.find, over the whole maps; ``tags`` have one map where all joints share it."""
    joints, height, width = heat.shape
    counts = np.zeros(joints, np.int64)
    points = np.empty((joints, limit, 2), np.int64)
    values = np.empty((joints, limit), np.float32)
    found_tags = np.empty((joints, limit, 2), np.float32)
    box = (0, height, 0, width)
    for joint in range(joints):
        counts[joint] = collect(heat[joint], box, box, kernel // 2, threshold, 0, points[joint], values[joint])
        tag_map = joint if len(tags) > 1 else 0
        for i in range(counts[joint]):
            x, y = points[joint, i]
            found_tags[joint, i, 0] = tags[tag_map, y, x]
            found_tags[joint, i, 1] = mirror_tags[tag_map, y, x]
    return counts, points, values, found_tags


@inner
def _shift(heat, x, y):
    """As refine's: the center of pixel (x, y), moved a quarter pixel toward the higher neighbour in x and in y."""
    height, width = heat.shape
    rightward = heat[y, min(x + 1, width - 1)] > heat[y, max(x - 1, 0)]
    downward = heat[min(y + 1, height - 1), x] > heat[max(y - 1, 0), x]
    return x + 0.5 + (0.25 if rightward else -0.25), y + 0.5 + (0.25 if downward else -0.25)


@inner
def _best_place(heat, tag, mirror_tag, mean, mirror_mean, score):
    """Column and row of the largest heat - round(tag distance), the first in row order; ``score`` is room for a row."""
    height, width = heat.shape
    if math.isnan(mean):  # no found joint: all scores are NaN, and the first of them counts as the largest
        return 0, 0
    best, best_row = np.float32(-np.inf), 0
    for y in range(height):
        highest = np.float32(-np.inf)
        row, tag_row, mirror_row = heat[y], tag[y], mirror_tag[y]
        for x in range(np.uintp(width)):
            a, b = tag_row[x] - mean, mirror_row[x] - mirror_mean
            score[x] = row[x] - np.rint(math.sqrt(a * a + b * b))
            highest = larger(score[x], highest)
        if highest > best:
            best, best_row = highest, y
    for x in range(width):
        a, b = tag[best_row, x] - mean, mirror_tag[best_row, x] - mirror_mean
        if heat[best_row, x] - np.rint(math.sqrt(a * a + b * b)) == best:
            return x, best_row
    return 0, best_row


@inner
def _has_heat(heat):
    highest = heat[0, 0]
    for value in heat.flat:
        highest = larger(value, highest)
    return highest > 0


@inner
def _refine(heat, tags, mirror_tags, people, means):
    """Fill each person's missing joints, in place, as refine.places and refine.points do."""
    score = np.empty(heat.shape[2], np.float32)
    for joint in range(people.shape[1]):
        tag_map = joint if len(tags) > 1 else 0
        if not _has_heat(heat[joint]):
            continue  # whatever place is best, its heat is not above 0
        for person in range(people.shape[0]):
            if people[person, joint, 2] != 0:
                continue
            x, y = _best_place(
                heat[joint], tags[tag_map], mirror_tags[tag_map], means[person, 0], means[person, 1], score
            )
            if heat[joint, y, x] > 0:
                people[person, joint, 0], people[person, joint, 1] = _shift(heat[joint], x, y)
                people[person, joint, 2] = heat[joint, y, x]


@inner
def _adjust(heat, people):
    for person in range(people.shape[0]):
        for joint in range(people.shape[1]):
            if people[person, joint, 2] > 0:
                x, y = np.int64(people[person, joint, 0]), np.int64(people[person, joint, 1])
                people[person, joint, 0], people[person, joint, 1] = _shift(heat[joint], x, y)


def _make_find(fingerprint):
    def find(heat, tags, mirror_tags, kernel, limit, threshold):
        return _find(heat, tags, mirror_tags, kernel, limit if fingerprint >= 0 else 0, threshold)

    return find


def _make_finish(fingerprint):
    def finish(heat, tags, mirror_tags, people, means, with_adjust, with_refine):
        if with_adjust and fingerprint >= 0:
            _adjust(heat, people)
        if with_refine:
            _refine(heat, tags, mirror_tags, people, means)

    return finish


FIND = Entry(_make_find, (_GIVEN, _GIVEN, _GIVEN, types.int64, types.int64, types.float64))
"""Of heat [K, H, W], tags and mirror tags [K or 1, H, W], kernel, limit and threshold what peaks.find returns."""
FINISH = Entry(_make_finish, (_GIVEN, _GIVEN, _GIVEN, _MAPS, _MEANS, types.boolean, types.boolean))
"""Adjust and refine people in place, from the maps and the people's mean tags."""
