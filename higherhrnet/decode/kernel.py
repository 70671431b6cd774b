"""The compiled whole of the fast decode: one scale, flip test, a tag map per joint."""

from __future__ import annotations

import numpy as np
from numba import types

from higherhrnet.decode.cache import Entry
from higherhrnet.decode.fuse import PassMaps
from higherhrnet.decode.group import group
from higherhrnet.decode.peaks import find
from higherhrnet.decode.refine import adjust, refine
from higherhrnet.decode.tiles import limits

_MAPS = types.Array(types.float32, 3, "C", readonly=True)
_INDICES = types.Array(types.int64, 1, "C")
_SIGNATURE = (
    *(_MAPS, _MAPS, _MAPS, _MAPS),
    *(_INDICES, _INDICES),  # flip, order
    *(types.float64, types.float64),  # thresholds
    *(types.int64, types.int64),  # max_people, nms_kernel
    *(types.boolean, types.boolean, types.boolean, types.boolean),
)


def _make(fingerprint):
    def people(
        output1,
        output2,
        flip_output1,
        flip_output2,
        flip,
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
        image, mirror = PassMaps(output1, output2), PassMaps(flip_output1, flip_output2)
        joints = output2.shape[0]
        tile_limits, bad = limits(image, mirror, flip)
        if bad != 0 or fingerprint < 0:  # never negative: named here so that it belongs to this function
            nobody = np.empty((0, joints, 3), np.float32)
            return bad, nobody, nobody, np.empty((0, joints, 2), np.float32)
        counts, points, values, tags = find(
            image, mirror, flip, tile_limits.heat, nms_kernel, max_people, detection_threshold
        )
        found, found_tags = group(
            counts, points, values, tags, order, max_people, tag_threshold, use_detection_value, ignore_too_much
        )
        result = found.copy()
        if with_adjust:
            adjust(image, mirror, flip, result)
        if with_refine:
            refine(image, mirror, flip, tile_limits, result, found_tags)
        return bad, result, found, found_tags

    return people


PEOPLE = Entry(_make, _SIGNATURE)
"""Arguments as in _SIGNATURE; returns which array is bad, people, people before adjust, tags.

Compiling takes about half a minute.
"""
