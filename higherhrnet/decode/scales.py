"""Outputs of any number of scales, with or without flip test, to people: whole maps, made as the official code makes
them (lib/core/inference.py, get_multi_stage_outputs and aggregate_results).

For each scale, largest first, and each of its passes: output1 is resized to output2's size; the mirrored pass is
mirrored back and its joints exchanged; heat is the average with output2. The passes' heat is resized to the size of the
fused maps and averaged (in this order with PROJECT2IMAGE, in the other without), the scales' heat summed and divided by
their number. Tags are those of scale 1, resized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.decode import filters, whole
from higherhrnet.decode.people import Outputs, People, check_options, decode, group_peaks, plain, search
from higherhrnet.decode.resize import resize
from higherhrnet.decode.tiles import MAGNITUDE_LIMIT
from higherhrnet.image import geometry
from higherhrnet.system import signals

_HALF = np.float32(0.5)


def fused(
    outputs: Sequence[Sequence[Outputs]], size: tuple[int, int] | None, tags_of: int = 0, options: Options | None = None
) -> People:
    """Decode an image from its outputs at all scales.

    What ``decode`` is for goes there, at a tenth of the time; the people are the same.

    Parameters
    ----------
    outputs : for each scale, largest first, the outputs of the input and, with flip test, of the mirrored input:
        output1 float32 [C + T, h/4, w/4], C heatmaps and T tag maps (C, or 1 that all joints share), and output2
        float32 [C, h/2, w/2], heatmaps
    size : (H, W) of the fused maps, in whose pixels the people are; None: output2's at the largest scale, without
        PROJECT2IMAGE
    tags_of : index of the scale whose tags count
    options : its ``flip`` and ``order`` are of K joints; where C is K + 1 the last, the center, is left out

    Raises
    ------
    ValueError : arrays of another type or shape, NaN, infinity or values beyond 1e37, or options that contradict them
    """
    options = options or Options()
    joints = len(options.flip)
    check_options(options, joints)
    kept = [[without_center(each, joints) for each in passes] for passes in outputs]
    if len(kept) == 1 and size == tuple(2 * side for side in kept[0][0][1].shape[1:]):
        first, mirrored = kept[0][0], kept[0][1] if len(kept[0]) == 2 else None
        if len(first[0]) == 2 * joints:
            return decode(first, mirrored, options)  # which checks the arrays as it reads them
    for number, passes in enumerate(kept):
        for output1, output2 in passes:
            _check(output1, output2, joints, f"scale {number}")
    heat, tags = whole_maps(kept, size, tags_of, options.flip)
    maps = plain(heat), plain(tags[0]), plain(tags[1] if len(tags) > 1 else np.zeros_like(tags[0]))
    peaks = whole.FIND(*maps, *search(options))
    people, people_tags, means = group_peaks(peaks, options)
    scores = people[:, :, 2].mean(axis=1)
    whole.FINISH(*maps, people, means, bool(options.adjust), bool(options.refine))
    return People(people, scores, people_tags[:, :, : len(tags)])


def without_center(outputs: Outputs, joints: int) -> Outputs:
    """The outputs of ``joints`` joints: a network's without its last, the center, where it has one more."""
    output1, output2 = outputs
    if len(output2) != joints + 1:
        return outputs
    center = len(output2) - 1
    last_tag = len(output1) - 1
    return np.delete(output1, [center, last_tag], axis=0), output2[:center]


def _check(output1: np.ndarray, output2: np.ndarray, joints: int, where: str) -> None:
    for name, array in (("output1", output1), ("output2", output2)):
        if array.dtype != np.float32 or array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"{where}: {name} is {array.dtype} {list(array.shape)}, expected float32, three dimensions"
            )
        if not (np.abs(array) <= MAGNITUDE_LIMIT).all():
            raise ValueError(f"{where}: {name} holds NaN, infinity or a value beyond 1e37")
    maps, height, width = output1.shape
    if output2.shape != (joints, 2 * height, 2 * width) or maps not in {2 * joints, joints + 1}:
        raise ValueError(
            f"{where}: output1 {list(output1.shape)} and output2 {list(output2.shape)} do not belong to {joints} joints"
        )


def whole_maps(
    scales: Sequence[Sequence[Outputs]], size: tuple[int, int] | None, tags_of: int, flip: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Fused heat float32 [K, H, W], and of each pass tags float32 [T, H, W]; parameters as of ``fused``."""
    joints = len(flip)
    projected = size is not None
    size = size or scales[0][0][1].shape[1:]
    total = np.zeros((0, 0, 0), np.float32)
    tags = []
    for number, passes in enumerate(scales):
        heats = []
        for mirrored, (output1, output2) in zip((False, True), passes, strict=False):
            half = resize(plain(output1), *output2.shape[1:])
            heat, tag = (half[:joints] + output2) * _HALF, half[joints:]
            if mirrored:
                heat = heat[list(flip), :, ::-1]
                tag = (tag[list(flip)] if len(tag) > 1 else tag)[:, :, ::-1]
            heats.append(resize(plain(heat), *size) if projected else heat)
            if number == tags_of:
                tags.append(resize(plain(tag), *size))
        heat = (heats[0] + heats[1]) * _HALF if len(heats) > 1 else heats[0]
        heat = heat if projected else resize(plain(heat), *size)
        total = heat if number == 0 else total + heat
    return total / np.float32(len(scales)), tags


def people_in_image(
    plan: Plan, width: int, height: int, outputs: Sequence[Sequence[Outputs]], options: Options
) -> People:
    """The people of an image of width x height from its network outputs, keypoints float64 in image pixels.

    Parameters
    ----------
    outputs : for each of the plan's factors, in order, the outputs of the input and, with ``flip``, of the mirrored one

    Raises
    ------
    ValueError : as ``fused``
    """
    size = geometry.of_plan(width, height, plan, 1).shape if plan.project else None
    people = fused(outputs, size, plan.tags_of, options)
    return in_image(people, plan, width, height, size or outputs[0][0][1].shape[1:], options)


def in_image(people: People, plan: Plan, width: int, height: int, size: tuple[int, int], options: Options) -> People:
    """People of fused maps of ``size`` (H, W) in pixels of their image, keypoints float64, filtered."""
    # The official code maps back with the last scale's frame; all frames agree up to rounding.
    last = geometry.of_plan(width, height, plan, plan.factors[-1])
    keypoints = people.keypoints.astype(np.float64)
    keypoints[:, :, :2] = last.to_image(people.keypoints[:, :, :2], size)
    return filtered(replace(people, keypoints=keypoints), options)


def filtered(people: People, options: Options) -> People:
    """The people, in image pixels, that options.min_score and oks_nms leave; all where both are 0.

    Similarity is that of the joints that have a sigma: a center, the last, has none.
    """
    if not (options.min_score or options.oks_nms):
        return people
    own, sigmas = people.keypoints[:, : len(options.sigmas)], options.sigmas
    kept = filters.left(own, people.scores, sigmas, least=options.min_score, threshold=options.oks_nms)
    return people.select(kept)


def decode_image(
    plan: Plan, width: int, height: int, outputs: Sequence[Sequence[Outputs]], options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """As ``people_in_image``: keypoints float64 [P, K, 3], x, y in image pixels and value, and scores float32 [P]."""
    with signals.held():  # Numba does not see that a handler raised while it makes what it returns, and crashes
        people = people_in_image(plan, width, height, outputs, options)
    return people.keypoints, people.scores
