"""Fewer people than grouping found: near duplicates, and those of low scores. Both are off in the official test path.

Arrays only: people of one image, in any pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def left(
    keypoints: np.ndarray, scores: np.ndarray, sigmas: Sequence[float], *, least: float, threshold: float
) -> np.ndarray:
    """Indices of the people whom both leave, ascending: ``min_score`` of ``least``, then ``oks_nms``; 0 is off."""
    kept = min_score(scores, least) if least else np.arange(len(scores))
    if threshold and len(kept):
        own = keypoints[kept]
        kept = kept[oks_nms(own, scores[kept], extents(own), sigmas, threshold)]
    return kept


def min_score(scores: np.ndarray, least: float) -> np.ndarray:
    """Indices of the people whose score [P] is at least ``least``, ascending."""
    return np.nonzero(scores >= least)[0]


def oks_nms(
    keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: Sequence[float], threshold: float
) -> np.ndarray:
    """Indices of the people who are left, ascending, when of two that are alike only the better one is kept.

    From the highest score down, each person removes all later ones whose object keypoint similarity to it is at least
    ``threshold``; of equal scores the first counts as the better one.

    Parameters
    ----------
    keypoints : [P, K, 3], x, y in pixels and value; a value of 0 says that the joint was not found
    scores : [P]
    areas : [P], in pixels squared
    sigmas : of the K joints
    threshold : above 0 to 1
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for person in order:
        if not kept or (oks(keypoints[person], areas[person], keypoints[kept], areas[kept], sigmas) < threshold).all():
            kept.append(int(person))
    return np.array(sorted(kept), np.intp)


def oks(person: np.ndarray, area: float, others: np.ndarray, areas: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """Object keypoint similarity of a person [K, 3] of ``area`` to each of others [N, K, 3] of ``areas`` [N]: [N].

    The mean over joints that both have of exp(-d^2 / (2 s^2 (2 sigma)^2)), where s^2 is the mean of both areas (lib/nms
    of the official code, which its test path never calls); 0 where they share no joint.
    """
    both = (person[:, 2] > 0) & (others[:, :, 2] > 0)  # [N, K]
    distances = ((others[:, :, :2] - person[:, :2]) ** 2).sum(axis=2)
    variances = (2 * np.asarray(sigmas)) ** 2
    scale = (area + areas) / 2 + np.spacing(1)
    similar = np.exp(-distances / variances / scale[:, None] / 2)
    return np.where(both, similar, 0).sum(axis=1) / np.maximum(both.sum(axis=1), 1)


def similarities(first: np.ndarray, second: np.ndarray, sigmas: Sequence[float], least_area: float = 0.0) -> np.ndarray:
    """``oks`` of each of people [P, K, 3] to each of people [Q, K, 3], by their ``extents``: [P, Q].

    ``least_area`` is that of people of less extent, in pixels squared.
    """
    own, areas = (np.maximum(extents(people), least_area) for people in (first, second))
    rows = [oks(person, area, second, areas, sigmas) for person, area in zip(first, own, strict=True)]
    return np.array(rows).reshape(len(first), len(second))


def extents(keypoints: np.ndarray) -> np.ndarray:
    """Area of the box around each person's found joints, keypoints [P, K, 3]: [P]; 0 of a person without any."""
    found = keypoints[:, :, 2:] > 0
    low = np.where(found, keypoints[:, :, :2], np.inf).min(axis=1)
    high = np.where(found, keypoints[:, :, :2], -np.inf).max(axis=1)
    return np.where(found.any(axis=(1, 2)), np.prod(np.where(high > low, high - low, 0), axis=1), 0)
