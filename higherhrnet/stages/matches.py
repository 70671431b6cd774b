"""Who is whom among the people of one image that two runs found.

Those with all keypoints within a distance of each other are paired first, the nearest before all: equal people find
each other. Of the others those of the highest object keypoint similarity (OKS) are, down to LEAST_OKS. Who is left then
is one run's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from higherhrnet.decode import filters

LEAST_OKS = 0.5
"""Two people less alike are not one person who moved: COCO's lowest threshold of a person found."""
_LEAST_AREA = 32.0**2  # pixels, of COCO's small people: one keypoint, or several in a line, have no extent


@dataclass(frozen=True)
class Pair:
    """One person, found by both runs."""

    first: int
    """Place among the first run's people,"""
    second: int
    """and among the second's."""
    moved: int
    """Keypoints that both runs found, farther apart than the distance."""
    unshared: int
    """Keypoints that one run alone found."""
    shift: float
    """The largest distance of a keypoint that both found, in pixels; 0 where there is none."""
    joint: int
    """Which keypoint that is."""

    @property
    def is_same(self) -> bool:
        """Whether no keypoint moved, came or went."""
        return not self.moved and not self.unshared


@dataclass(frozen=True)
class Matches:
    """All people of one image."""

    pairs: tuple[Pair, ...]
    """By place in the first run."""
    gone: tuple[int, ...]
    """Places of people whom the first run alone found, ascending."""
    new: tuple[int, ...]
    """Places of those whom the second alone found, ascending."""

    @property
    def moved(self) -> tuple[Pair, ...]:
        """The pairs that are not the same."""
        return tuple(pair for pair in self.pairs if not pair.is_same)

    @property
    def changed(self) -> int:
        """People that moved, came or went."""
        return len(self.moved) + len(self.gone) + len(self.new)


def match(first: np.ndarray, second: np.ndarray, sigmas: Sequence[float], *, distance: float) -> Matches:
    """Match people [P, K, 3] with people [Q, K, 3]: x, y in image pixels and value, 0 where a joint was not found.

    Equal arguments give equal matches: of equally near pairs the first in the order of both runs counts.

    Parameters
    ----------
    sigmas : of the first joints, which OKS is the mean over
    distance : pixels that a keypoint may move while its person stays the same
    """
    found = closest(_apart(first, second), distance)
    rows, columns = (
        np.setdiff1d(np.arange(len(people)), [pair[side] for pair in found])
        for side, people in enumerate((first, second))
    )
    judged = slice(len(sigmas))
    alike = filters.similarities(first[rows, judged], second[columns, judged], sigmas, _LEAST_AREA)
    found += [(int(rows[p]), int(columns[q])) for p, q in closest(-alike, -LEAST_OKS)]
    pairs = [_pair(p, q, first[p], second[q], distance) for p, q in sorted(found)]
    gone, new = (
        tuple(sorted(set(range(len(people))).difference(pair[side] for pair in found)))
        for side, people in enumerate((first, second))
    )
    return Matches(tuple(pairs), gone, new)


def closest(apart: np.ndarray, most: float) -> list[tuple[int, int]]:
    """Pairs of rows and columns [P, Q] that are ``most`` apart or less, the closest first, each in one pair."""
    pairs: list[tuple[int, int]] = []
    rows: set[int] = set()
    columns: set[int] = set()
    near = np.argwhere(apart <= most)
    for p, q in near[np.argsort(apart[apart <= most], kind="stable")].tolist():
        if p not in rows and q not in columns:
            pairs.append((p, q))
            rows.add(p)
            columns.add(q)
    return pairs


def _apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The largest distance of two people's keypoints, [P, Q]; infinite where one alone has some keypoint."""
    apart = np.zeros((len(first), len(second)))
    found = second[:, :, 2] > 0
    for row, person in zip(apart, first, strict=True):  # one person a time: memory does not grow with P times Q
        own = person[:, 2] > 0
        distances = np.linalg.norm(second[:, :, :2] - person[:, :2], axis=2)
        row[:] = np.where(own & found, distances, np.where(own == found, 0, np.inf)).max(axis=1, initial=0)
    return apart


def _pair(p: int, q: int, first: np.ndarray, second: np.ndarray, distance: float) -> Pair:
    """What two people [K, 3] that are one differ by."""
    found = first[:, 2] > 0, second[:, 2] > 0
    shifts = np.where(found[0] & found[1], np.linalg.norm(first[:, :2] - second[:, :2], axis=1), 0)
    joint = int(shifts.argmax())
    return Pair(p, q, int((shifts > distance).sum()), int((found[0] != found[1]).sum()), float(shifts[joint]), joint)
