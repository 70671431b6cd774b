"""Which found person is which annotated one: COCOeval's greedy matching, for all thresholds and images at once.

By falling score each found person takes the free annotated one of the highest OKS, if that reaches the threshold; one
that counts is preferred to one that is ignored, and of equals the later in the file is taken (pycocotools, evaluateImg).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis.people import Found, Truth
from higherhrnet.report.analysis.similarity import Block

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of OKS, [T]; AP is the mean over them."""
AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's sizes of people, pixels squared, both ends included."""


@dataclass(frozen=True)
class Matches:
    """For T thresholds, D found and G annotated people."""

    person: np.ndarray
    """int64 [T, D]: the annotated person, -1 for none."""
    oks: np.ndarray
    """float64 [T, D]: with that person, -1 without one."""
    ignored: np.ndarray
    """bool [T, D]: neither right nor wrong."""
    missing: np.ndarray
    """bool [T, G]: people that count and that nobody matched."""
    counted: np.ndarray
    """bool [G]: people that count."""

    @property
    def right(self) -> np.ndarray:
        """bool [T, D]"""
        return (self.person >= 0) & ~self.ignored

    @property
    def wrong(self) -> np.ndarray:
        """bool [T, D]"""
        return (self.person < 0) & ~self.ignored


def match(
    truth: Truth,
    found: Found,
    blocks: Sequence[Block],
    oks: Sequence[np.ndarray],
    *,
    thresholds: np.ndarray = THRESHOLDS,
    area: tuple[float, float] = AREAS["all"],
    ignored: np.ndarray | None = None,
) -> Matches:
    """Match the people of all images.

    Parameters
    ----------
    oks : [I, D, G] of each block
    area : annotated people of other sizes are ignored, and found ones that match nobody
    ignored : bool [G], in place of ``truth.ignored``
    """
    low, high = area
    unasked = truth.ignored if ignored is None else ignored
    unasked = unasked | (truth.areas < low) | (truth.areas > high)
    person = np.full((len(thresholds), len(found)), -1, np.int64)
    similar = np.full((len(thresholds), len(found)), -1.0)
    taken = np.zeros((len(thresholds), len(truth)), bool)
    for block, values in zip(blocks, oks, strict=True):
        rows, columns = np.nonzero(block.found >= 0)
        places = block.found[rows, columns]
        chosen, best = _match(block, values, thresholds, truth.crowd, unasked)
        person[:, places], similar[:, places] = chosen[:, rows, columns], best[:, rows, columns]
    for threshold, people in enumerate(person):
        taken[threshold, people[people >= 0]] = True
    outside = (found.areas < low) | (found.areas > high)
    is_ignored = np.where(person >= 0, np.append(unasked, False)[person], outside)
    return Matches(person, similar, is_ignored, ~taken & ~unasked, ~unasked)


def _match(
    block: Block, oks: np.ndarray, thresholds: np.ndarray, crowd: np.ndarray, ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places in Truth, -1 for none, and OKS, both [T, I, D]."""
    least = np.minimum(thresholds, 1 - 1e-10)[:, None, None]  # as in COCOeval: an OKS of 1 less rounding is enough
    there = block.people >= 0
    several = crowd[block.people]  # [I, G]
    asked, unasked = there & ~ignored[block.people], there & ignored[block.people]
    shape = (len(thresholds), *block.found.shape)
    chosen, best = np.full(shape, -1, np.int64), np.full(shape, -1.0)
    free = np.ones((len(thresholds), *there.shape), bool)
    images = np.arange(len(there))
    for rank in range(block.found.shape[1]):
        found = block.found[:, rank] >= 0
        value = oks[:, rank]  # [I, G]
        fits = free & (value >= least) & found[:, None]  # [T, I, G]
        place, similar = _highest(np.where(fits & asked, value, -1.0))
        if unasked.any():
            other, other_similar = _highest(np.where(fits & unasked, value, -1.0))
            place, similar = np.where(similar < 0, other, place), np.where(similar < 0, other_similar, similar)
        hit = similar >= 0
        chosen[:, :, rank] = np.where(hit, block.people[images, place], -1)
        best[:, :, rank] = similar
        t, i = np.nonzero(hit)
        free[t, i, place[t, i]] = several[i, place[t, i]]
    return chosen, best


def _highest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last place of the highest value along the last axis, and that value."""
    place = values.shape[-1] - 1 - values[..., ::-1].argmax(axis=-1)
    return place, np.take_along_axis(values, place[..., None], -1)[..., 0]
