"""Object keypoint similarity of all found people with all annotated people of their image.

Images are taken together in blocks: padded arrays of images with about as many people, so that NumPy does the work.
Formulas are COCOeval's (pycocotools, computeOks): ks = exp(-d^2 / (2 s^2 k^2)) of one joint, with d the distance, s^2
the person's area and k = 2 sigma; OKS is its mean over the annotated joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis.people import Found, Truth

_LARGEST = 500_000  # elements of a block's widest array: a few megabytes, in the processor's cache or near it


@dataclass(frozen=True)
class Block:
    """I images, of up to D found and G annotated people; places in Found and Truth, -1 where an image has fewer."""

    found: np.ndarray
    """int64 [I, D], by falling score."""
    people: np.ndarray
    """int64 [I, G]"""

    @property
    def pairs(self) -> np.ndarray:
        """bool [I, D, G]: both are there."""
        return (self.found >= 0)[:, :, None] & (self.people >= 0)[:, None, :]


def blocks(truth: Truth, found: Found) -> list[Block]:
    """All images with people of both kinds."""
    count = len(truth.images)
    by_found, by_people = np.bincount(found.image, minlength=count), np.bincount(truth.image, minlength=count)
    both = np.flatnonzero((by_found > 0) & (by_people > 0))
    order = both[np.lexsort((by_found[both], by_people[both]))]
    first_found, first_person = np.cumsum(by_found) - by_found, np.cumsum(by_people) - by_people
    joints = truth.keypoints.shape[1]
    result = []
    start = 0
    while start < len(order):
        stop, widest = start, 0
        while stop < len(order):
            widest = max(widest, int(by_found[order[stop]]))
            if stop > start and (stop - start + 1) * widest * by_people[order[stop]] * joints > _LARGEST:
                break
            stop += 1
        taken = order[start:stop]
        result.append(
            Block(_places(first_found[taken], by_found[taken]), _places(first_person[taken], by_people[taken]))
        )
        start = stop
    return result


def _places(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """[I, most]: first, first + 1, ... of each row, -1 beyond its count."""
    steps = np.arange(count.max())
    return np.where(steps < count[:, None], first[:, None] + steps, -1)


def of_joints(
    block: Block, truth: Truth, found: Found, variances: np.ndarray, joints: np.ndarray | None = None
) -> np.ndarray:
    """ks [I, D, G, K] of each found joint with the same annotated one, or with ``joints`` (int [K]) of each person.

    -1 where that joint is not annotated; meaningless at padding.
    """
    annotated = truth.keypoints[block.people]  # [I, G, K, 3]
    if joints is not None:
        annotated = annotated[:, :, joints]
    squared = _squared(found.keypoints[block.found][:, :, None], annotated[:, None, :, :, :2])
    e = squared / variances / _twice_area(truth, block)[..., None]
    return np.where(annotated[:, None, :, :, 2] > 0, np.exp(-e), -1.0)


def oks(block: Block, truth: Truth, found: Found, variances: np.ndarray, joints: slice = slice(None)) -> np.ndarray:
    """OKS [I, D, G] over the joints named; -1 at padding.

    Of people without any of these joints annotated the distance is to their box, its sides tripled, as in COCOeval.
    """
    annotated = truth.keypoints[block.people][:, :, joints]
    points = found.keypoints[block.found][:, :, joints]
    labelled = annotated[..., 2] > 0  # [I, G, K]
    squared = _squared(points[:, :, None], annotated[:, None, :, :, :2])
    without = (block.people >= 0) & ~labelled.any(axis=2)
    if without.any():
        rows, columns = np.nonzero(without)
        squared[rows, :, columns] = _beyond(points[rows], truth.boxes[block.people[rows, columns]])
        labelled = labelled | without[..., None]
    e = squared / variances[joints] / _twice_area(truth, block)[..., None]
    count = np.maximum(labelled.sum(axis=2), 1)[:, None]
    return np.where(block.pairs, (np.exp(-e) * labelled[:, None]).sum(axis=3) / count, -1.0)


def variances(sigmas: np.ndarray) -> np.ndarray:
    """k^2 [K]"""
    return (2 * sigmas) ** 2


def normalised(truth: Truth, person: np.ndarray, points: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Errors d / (s k) [M, K] of points [M, K, 2] as joints of those people (int [M]); ``of``: k^2 [K]. nan where no
    joint is annotated. An error of 1 is a ks of 0.61."""
    annotated = truth.keypoints[person]
    squared = _squared(points, annotated[..., :2])
    e = np.sqrt(squared / of / (truth.areas[person] + np.spacing(1))[:, None])
    return np.where(annotated[..., 2] > 0, e, np.nan)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2


def _twice_area(truth: Truth, block: Block) -> np.ndarray:
    """2 s^2, [I, 1, G]; COCOeval adds the spacing, so that an area of 0 divides."""
    return 2 * (truth.areas[block.people] + np.spacing(1))[:, None]


def _beyond(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Squared distances [M, D, K] of points [M, D, K, 2] from boxes [M, 4] whose sides were tripled."""
    corner, side = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    low, high = corner - side, corner + 2 * side
    outside = np.maximum(0, low - points) + np.maximum(0, points - high)
    return outside[..., 0] ** 2 + outside[..., 1] ** 2
