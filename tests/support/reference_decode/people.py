"""The decode of one image: four output arrays in, people out."""

from __future__ import annotations

import numpy as np

from higherhrnet.config.options import Options
from higherhrnet.decode import People

from . import fuse, group, peaks, refine


def decode(
    outputs: tuple[np.ndarray, np.ndarray],
    flip_outputs: tuple[np.ndarray, np.ndarray] | None = None,
    options: Options | None = None,
) -> People:
    """Decode the network outputs of an image and, with flip test, of its mirror image.

    Each pair is output1 float32 [2K, H/4, W/4] (K heatmaps, then K tag maps) and output2 float32 [K, H/2, W/2]
    (heatmaps), finite.
    """
    options = options or Options()
    return decode_maps(*fuse.full_resolution(outputs, flip_outputs, options.flip), options)


def decode_maps(heatmaps: np.ndarray, tags: np.ndarray, options: Options) -> People:
    """Decode whole maps: fused heat float32 [K, H, W] and tags [K, H, W, T]."""
    candidates = []
    for heatmap, tag in zip(heatmaps, tags, strict=True):
        points, values = peaks.find(
            heatmap, kernel=options.nms_kernel, limit=options.max_people, threshold=options.detection_threshold
        )
        candidates.append((points, values, tag[points[:, 1], points[:, 0]]))
    people, people_tags = group.group(
        candidates,
        order=options.order,
        max_people=options.max_people,
        tag_threshold=options.tag_threshold,
        use_detection_value=options.use_detection_value,
        ignore_too_much=options.ignore_too_much,
    )
    scores = people[:, :, 2].mean(axis=1)
    if options.adjust:
        people = refine.adjust(heatmaps, people)
    if options.refine:
        people = refine.refine(heatmaps, tags, people)
    return People(people, scores, people_tags)
