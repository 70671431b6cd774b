"""The decode of one image: four output arrays in, people out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from higherhrnet.config.options import Options
from higherhrnet.decode.kernel import FIND, GROUP, LIMITS, PLACES, POINTS, passes
from higherhrnet.decode.tiles import Limits

Outputs = tuple[np.ndarray, np.ndarray]
"""output1 and output2 of one input."""

ARRAYS = ("output1", "output2", "flip_output1", "flip_output2")
"""What error messages call the arrays of ``outputs`` and ``flip_outputs``."""


@dataclass(frozen=True)
class People:
    """P people of one image, in the order in which grouping founded them; P is 0 where nobody was found.

    keypoints : float32 [P, K, 3]; x, y in pixels of the fused maps, usually input pixels (centers at .5), and value, 0
        where not found
    scores : float32 [P]; mean value of the K joints before refine, missing ones counted as 0
    tags : float32 [P, K, T]; tags of the image and its mirror image (T is 1 without flip test) at the joints that
        grouping found, else 0
    """

    keypoints: np.ndarray
    scores: np.ndarray
    tags: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)

    def select(self, kept: np.ndarray) -> People:
        """The people at the places, or where the mask, ``kept`` says."""
        return People(self.keypoints[kept], self.scores[kept], self.tags[kept])


def decode(outputs: Outputs, flip_outputs: Outputs | None = None, options: Options | None = None) -> People:
    """Decode the network outputs of an image and, with flip test, of its mirror image.

    Each pair is output1 float32 [2K, H/4, W/4] (K heatmaps, then K tag maps) and output2 float32 [K, H/2, W/2]
    (heatmaps), of any memory layout, values finite and below 1e37 in magnitude.

    Raises
    ------
    ValueError : an array of another type or shape or with such values, named as in ARRAYS; options that contradict
        the arrays or themselves
    """
    options = options or Options()
    arrays = [np.asarray(array) for array in (*outputs, *(flip_outputs or ()))]
    _check_shapes(arrays)
    check_options(options, joint_count=len(arrays[1]))
    maps = passes([plain(array) for array in arrays], options)
    arrays_of_limits, bad = LIMITS(*maps)
    limits = Limits(*arrays_of_limits)
    if bad:
        raise ValueError(f"{ARRAYS[bad - 1]} holds NaN, infinity or a value beyond 1e37; expected finite heat and tags")
    peaks = FIND(*maps, limits.heat, *search(options))
    people, tags, means = group_peaks(peaks, options)
    scores = people[:, :, 2].mean(axis=1)
    missing = PLACES(*maps, limits, people, means) if options.refine else np.full((*people.shape[:2], 2), -1)
    POINTS(*maps, people, missing, bool(options.adjust))
    return People(people, scores, tags if flip_outputs else tags[:, :, :1].copy())


def search(options: Options) -> tuple[int, int, float]:
    """What ``find`` takes of the options."""
    return int(options.nms_kernel), int(options.max_people), float(options.detection_threshold)


def group_peaks(
    peaks: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], options: Options
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People, their tags and the means of these, from what a ``find`` returns."""
    order = np.array(options.order, np.int64)
    return GROUP(
        *peaks,
        order,
        int(options.max_people),
        float(options.tag_threshold),
        bool(options.use_detection_value),
        bool(options.ignore_too_much),
    )


def plain(array: np.ndarray) -> np.ndarray:
    """The array as the one type that the kernel is compiled for: read-only, C order, aligned, no subclass.

    To Numba, arrays that may be written, memory maps and other orders are types of their own.
    """
    view = np.require(array, requirements=("C", "A", "E")).view()
    view.flags.writeable = False
    return view


def _check_shapes(arrays: list[np.ndarray]) -> None:
    for name, array in zip(ARRAYS, arrays, strict=False):
        if array.dtype != np.float32 or array.ndim != 3 or 0 in array.shape:
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, expected float32 with three dimensions")
    joint_count, height, width = arrays[1].shape
    expected = ((2 * joint_count, height / 2, width / 2), arrays[1].shape) * 2
    for name, array, shape in zip(ARRAYS, arrays, expected, strict=False):
        if array.shape != shape:
            raise ValueError(
                f"{name} has shape {list(array.shape)}, expected {[int(n) for n in shape]} beside output2 of "
                f"{list(arrays[1].shape)}"
            )


def check_options(options: Options, joint_count: int) -> None:
    if options.nms_kernel < 1 or options.nms_kernel % 2 == 0:
        raise ValueError(f"nms_kernel is {options.nms_kernel}, expected an odd number of pixels")
    if options.max_people < 0:
        raise ValueError(f"max_people is {options.max_people}, expected 0 or more")
    if sorted(options.flip) != list(range(joint_count)):
        raise ValueError(f"flip is {options.flip}, expected each of the arrays' {joint_count} joints once")
    if not set(options.order) <= set(range(joint_count)):
        raise ValueError(f"order is {options.order}, expected joints 0 to {joint_count - 1}")
