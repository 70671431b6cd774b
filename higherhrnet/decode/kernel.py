"""The compiled whole of decode, and its place in Numba's cache.

One entry is compiled and cached; the functions that it calls become part of it. Numba tells whether a cached entry is
stale by the file and the constants that belong to it alone, so the fingerprint of all the package's sources is made
one of those constants.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types

from higherhrnet.decode.fuse import Pass
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


def _fingerprint() -> int:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return int.from_bytes(hashlib.sha256(b"".join(path.read_bytes() for path in sources)).digest()[:7], "little")


@cache
def _entry() -> Any:
    """The dispatcher of the whole; not compiled yet."""
    fingerprint = _fingerprint()

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
        image, mirror = Pass(output1, output2), Pass(flip_output1, flip_output2)
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

    return njit(cache=True)(people)


def is_compiled() -> bool:
    """True where the next decode starts at once: this process or the cache has it for these sources and this CPU."""
    entry = _entry()
    # Numba has no public way to look into a cache without compiling what is not there.
    return bool(entry.signatures) or entry._cache.load_overload(_SIGNATURE, entry.targetctx) is not None


def compile() -> None:
    """Load the kernel from the cache, or compile it, which takes about half a minute, and leave it there.

    The cache is __pycache__ beside the sources, or where that cannot be written a folder of the user's.
    """
    entry = _entry()
    if not entry.signatures:
        entry.compile(_SIGNATURE)
        entry.disable_compile()  # arguments of another type are a mistake of ours, not a reason to compile again


def run(*arguments: Any) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Call the kernel, with arguments as in _SIGNATURE: which array is bad, people, people before adjust, tags."""
    compile()
    return _entry()(*arguments)
