"""The compiled steps of the fast decode: one scale, with or without flip test, a tag map per joint.

Each is compiled by itself: as one function they took twice as long to compile, and going from one to the next takes
microseconds. An entry's arguments are those of its step, where ``maps`` is what ``passes`` returns.
"""

from __future__ import annotations

import numpy as np
from numba import types

from higherhrnet.config.options import Options
from higherhrnet.decode.cache import Entry, inlined
from higherhrnet.decode.fuse import Maps, PassMaps
from higherhrnet.decode.group import group
from higherhrnet.decode.peaks import find
from higherhrnet.decode.refine import places, points
from higherhrnet.decode.tiles import Limits, limits

_INT, _FLOAT, _BOOL = types.int64, types.float64, types.boolean
_GIVEN = types.Array(types.float32, 3, "C", readonly=True)
_INTS1, _INTS3 = types.Array(_INT, 1, "C"), types.Array(_INT, 3, "C")
_FLOATS2, _FLOATS3 = types.Array(types.float32, 2, "C"), types.Array(types.float32, 3, "C")
_PASSES = (_GIVEN, _GIVEN, _GIVEN, _GIVEN, _INTS1, _BOOL)

Passes = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]


def passes(arrays: list[np.ndarray], options: Options) -> Passes:
    """What the steps take of output1 and output2 of the image and, with flip test, of its mirror image.

    Arrays are float32 in C order and read-only.
    """
    first, second, *mirror = arrays
    mirror1, mirror2 = mirror or (first, second)
    return first, second, mirror1, mirror2, np.array(options.flip, np.int64), bool(mirror)


@inlined
def _maps(output1, output2, mirror1, mirror2, flip, with_mirror):
    return Maps((PassMaps(output1, output2), PassMaps(mirror1, mirror2)), with_mirror, flip)


# Fingerprints are never negative: each is named in its step so that it belongs to it.


def _limits(fingerprint):
    def step(o1, o2, m1, m2, flip, with_mirror):
        found, bad = limits(_maps(o1, o2, m1, m2, flip, with_mirror and fingerprint >= 0))
        # A plain tuple: Numba calls Python to make a named one, a signal's handler may raise there, and Numba, which
        # does not look, hands on a pointer to nothing.
        return (found.heat, found.tag_low, found.tag_high, found.mirror_low, found.mirror_high), bad

    return step


def _find(fingerprint):
    def step(o1, o2, m1, m2, flip, with_mirror, tile_heat, kernel, limit, threshold):
        return find(_maps(o1, o2, m1, m2, flip, with_mirror and fingerprint >= 0), tile_heat, kernel, limit, threshold)

    return step


def _group(fingerprint):
    def step(counts, points, values, tags, order, max_people, tag_threshold, use_detection_value, ignore_too_much):
        ignores = ignore_too_much and fingerprint >= 0
        return group(counts, points, values, tags, order, max_people, tag_threshold, use_detection_value, ignores)

    return step


def _places(fingerprint):
    def step(o1, o2, m1, m2, flip, with_mirror, limits, people, means):
        return places(_maps(o1, o2, m1, m2, flip, with_mirror and fingerprint >= 0), limits, people, means)

    return step


def _points(fingerprint):
    def step(o1, o2, m1, m2, flip, with_mirror, people, places, with_adjust):
        points(_maps(o1, o2, m1, m2, flip, with_mirror and fingerprint >= 0), people, places, with_adjust)

    return step


LIMITS = Entry(_limits, _PASSES)
FIND = Entry(_find, (*_PASSES, _FLOATS3, _INT, _INT, _FLOAT))
GROUP = Entry(_group, (_INTS1, _INTS3, _FLOATS2, _FLOATS3, _INTS1, _INT, _FLOAT, _BOOL, _BOOL))
PLACES = Entry(_places, (*_PASSES, types.NamedUniTuple(_FLOATS3, 5, Limits), _FLOATS3, _FLOATS2))
POINTS = Entry(_points, (*_PASSES, _FLOATS3, _INTS3, _BOOL))
