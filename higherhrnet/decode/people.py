"""The decode of one image: four output arrays in, people out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from higherhrnet import joints
from higherhrnet.decode import fuse, group, peaks, refine


@dataclass(frozen=True)
class Options:
    """What the official config's TEST and DATASET sections say about decoding. Defaults: W32-512 on COCO."""

    detection_threshold: float = 0.1
    """A peak must be higher than this to count."""
    tag_threshold: float = 1.0
    """A peak joins a person whose mean tag is nearer than this."""
    max_people: int = 30
    """Peaks taken of a heatmap, and people that later peaks are matched against."""
    nms_kernel: int = 5
    """Side of the window a peak must dominate, in input pixels; odd."""
    use_detection_value: bool = True
    ignore_too_much: bool = False
    adjust: bool = True
    refine: bool = True
    flip: tuple[int, ...] = joints.FLIP
    """flip[j] is the joint whose map of the mirrored pass shows joint j."""
    order: tuple[int, ...] = joints.GROUPING_ORDER


@dataclass(frozen=True)
class People:
    """P people of one image, in the order in which grouping founded them; P is 0 where nobody was found.

    keypoints : float32 [P, K, 3]; x, y in input pixels (pixel centers at .5) and value, 0 where not found
    scores : float32 [P]; mean value of the K joints before refine, missing ones counted as 0
    tags : float32 [P, K, 2]; tags of the image and its mirror image at the joints that grouping found, else 0
    """

    keypoints: np.ndarray
    scores: np.ndarray
    tags: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)


def decode(
    outputs: tuple[np.ndarray, np.ndarray], flip_outputs: tuple[np.ndarray, np.ndarray], options: Options | None = None
) -> People:
    """Decode the network outputs of an image and of its mirror image.

    Each pair is output1 float32 [2K, H/4, W/4] (K heatmaps, then K tag maps) and output2 float32 [K, H/2, W/2]
    (heatmaps), finite.
    """
    options = options or Options()
    heatmaps, tags = fuse.full_resolution(outputs, flip_outputs, options.flip)
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
