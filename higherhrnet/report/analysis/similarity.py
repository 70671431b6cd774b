"""Object keypoint similarity of found people with annotated people of their image.

Formulas are COCOeval's (pycocotools, computeOks): ks = exp(-d^2 / (2 s^2 k^2)) of one joint, with d the distance, s^2
the person's area and k = 2 sigma; OKS is its mean over the annotated joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis.people import Found, Truth


@dataclass(frozen=True)
class Pairs:
    """P pairs of a found and an annotated person of one image, by image, then found, then annotated person."""

    found: np.ndarray
    """int64 [P], places in Found."""
    person: np.ndarray
    """int64 [P], places in Truth."""

    def __len__(self) -> int:
        return len(self.found)

    def chosen(self, which: np.ndarray) -> Pairs:
        """Some of them: bool [P], or places."""
        return Pairs(self.found[which], self.person[which])


def pairs(truth: Truth, found: Found) -> Pairs:
    """All pairs of all images."""
    count = len(truth.images)
    by_found, by_person = np.bincount(found.image, minlength=count), np.bincount(truth.image, minlength=count)
    size = by_found * by_person
    image = np.repeat(np.arange(count), size)
    place = np.arange(len(image)) - (np.cumsum(size) - size)[image]
    first_found, first_person = np.cumsum(by_found) - by_found, np.cumsum(by_person) - by_person
    return Pairs(first_found[image] + place // by_person[image], first_person[image] + place % by_person[image])


def of_joints(
    of: Pairs, truth: Truth, found: Found, variances: np.ndarray, joints: np.ndarray | None = None
) -> np.ndarray:
    """Ks [P, K] of each found joint with the same annotated one, or with ``joints`` (int [K]) of the person.

    -1 where that joint is not annotated.
    """
    annotated = truth.keypoints if joints is None else truth.keypoints[:, joints]
    person = annotated[of.person]
    e = _squared(found.keypoints[of.found], person) / variances / _twice_area(truth, of.person)
    return np.where(person[..., 2] > 0, np.exp(-e), -1.0)


def oks(of: Pairs, truth: Truth, found: Found, variances: np.ndarray, joints: slice = slice(None)) -> np.ndarray:
    """OKS [P] over the joints named.

    Of people without any of these joints annotated the distance is to their box, its sides tripled, as in COCOeval.
    """
    keypoints = truth.keypoints[:, joints]
    labelled: np.ndarray = keypoints[..., 2] > 0  # [G, K]
    squared = _squared(found.keypoints[:, joints][of.found], keypoints[of.person])
    without = np.logical_not(labelled.any(axis=1))
    if without.any():
        to_box = np.flatnonzero(without[of.person])
        points, boxes = found.keypoints[:, joints][of.found[to_box]], truth.boxes[of.person[to_box]]
        squared[to_box] = _beyond(points, boxes)
        labelled = labelled | without[:, None]
    e = squared / variances[joints] / _twice_area(truth, of.person)
    return (np.exp(-e) * labelled[of.person]).sum(axis=1) / labelled.sum(axis=1)[of.person]


def variances(sigmas: np.ndarray) -> np.ndarray:
    """k^2 [K]"""
    return (2 * sigmas) ** 2


def normalised(truth: Truth, people: np.ndarray, points: np.ndarray, joint: int, variances: np.ndarray) -> np.ndarray:
    """Errors d / (s k) of points [M, 2] as that joint of those people (int64 [M]), where it is annotated: [at most M].

    An error of 1 is a ks of 0.61.
    """
    annotated = truth.keypoints[people, joint]
    errors = np.sqrt(_squared(points, annotated) / variances[joint] / (truth.areas[people] + np.spacing(1)))
    return errors[annotated[:, 2] > 0]


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2


def _twice_area(truth: Truth, people: np.ndarray) -> np.ndarray:
    """2 s^2, [M, 1]; COCOeval adds the spacing, so that an area of 0 divides."""
    return 2 * (truth.areas[people] + np.spacing(1))[:, None]


def _beyond(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Squared distances [M, K] of points [M, K, 2] from boxes [M, 4] whose sides were tripled."""
    corner, side = boxes[:, None, :2], boxes[:, None, 2:]
    low, high = corner - side, corner + 2 * side
    outside = np.maximum(0, low - points) + np.maximum(0, points - high)
    return outside[..., 0] ** 2 + outside[..., 1] ** 2
