"""People from whole heatmaps and tag maps: plain searches, where ``peaks`` and ``refine`` avoid most of them.

Maps are float32 [K, H, W]; tags come as two maps per joint, the second all 0 where there is no flip test, which changes
no distance: the root of a square is the number itself, in float32 and float64 alike.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from higherhrnet.decode.cache import Entry
from higherhrnet.decode.group import group
from higherhrnet.decode.intrinsics import larger
from higherhrnet.decode.peaks import collect
from higherhrnet.decode.refine import mean_tags

_MAPS = types.Array(types.float32, 3, "C", readonly=True)
_SIGNATURE = (
    *(_MAPS, _MAPS, _MAPS),
    types.Array(types.int64, 1, "C"),  # order
    *(types.float64, types.float64),  # thresholds
    *(types.int64, types.int64),  # max_people, nms_kernel
    *(types.boolean, types.boolean, types.boolean, types.boolean),
)


@njit
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


@njit
def _shift(heat, x, y):
    """As refine's: the center of pixel (x, y), moved a quarter pixel toward the higher neighbour in x and in y."""
    height, width = heat.shape
    rightward = heat[y, min(x + 1, width - 1)] > heat[y, max(x - 1, 0)]
    downward = heat[min(y + 1, height - 1), x] > heat[max(y - 1, 0), x]
    return x + 0.5 + (0.25 if rightward else -0.25), y + 0.5 + (0.25 if downward else -0.25)


@njit
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


@njit
def _refine(heat, tags, mirror_tags, people, people_tags):
    """As refine.refine: fill each person's missing joints, in place."""
    means = mean_tags(people, people_tags)
    score = np.empty(heat.shape[2], np.float32)
    for joint in range(people.shape[1]):
        tag_map = joint if len(tags) > 1 else 0
        if heat[joint].max() <= 0:
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


def _make(fingerprint):
    def people(
        heat,
        tags,
        mirror_tags,
        order,
        detection_threshold,
        tag_threshold,
        max_people,
        nms_kernel,
        use_detection_value,
        ignore_too_much,
        with_adjust,
        with_refine,
    ):
        limit = max_people if fingerprint >= 0 else 0
        counts, points, values, found_tags = _find(heat, tags, mirror_tags, nms_kernel, limit, detection_threshold)
        found, people_tags = group(
            counts, points, values, found_tags, order, max_people, tag_threshold, use_detection_value, ignore_too_much
        )
        result = found.copy()
        if with_adjust:
            for person in range(len(result)):
                for joint in range(result.shape[1]):
                    if result[person, joint, 2] > 0:
                        x, y = int(result[person, joint, 0]), int(result[person, joint, 1])
                        result[person, joint, 0], result[person, joint, 1] = _shift(heat[joint], x, y)
        if with_refine:
            _refine(heat, tags, mirror_tags, result, people_tags)
        return result, found, people_tags

    return people


PEOPLE = Entry(_make, _SIGNATURE)
"""Arguments as in _SIGNATURE: heat [K, H, W], tags and mirror tags [K or 1, H, W], ...; returns people, people before
adjust, tags.
"""
