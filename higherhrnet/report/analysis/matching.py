"""Which found person is which annotated one: COCOeval's greedy matching, for all thresholds and images at once.

By falling score each found person takes the free annotated one of the highest OKS, if that reaches the threshold; one
that counts is preferred to one that is ignored, of equals the later in the file is taken (pycocotools, evaluateImg).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis.people import Found, Truth
from higherhrnet.report.analysis.similarity import Pairs

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
        """Bool [T, D]"""
        return (self.person >= 0) & ~self.ignored

    @property
    def wrong(self) -> np.ndarray:
        """Bool [T, D]"""
        return (self.person < 0) & ~self.ignored


def match(
    truth: Truth,
    found: Found,
    pairs: Pairs,
    oks: np.ndarray,
    *,
    thresholds: np.ndarray = THRESHOLDS,
    area: tuple[float, float] = AREAS["all"],
    ignored: np.ndarray | None = None,
) -> Matches:
    """Match the people of all images.

    Parameters
    ----------
    oks : float64 [P], of the pairs
    area : annotated people of other sizes are ignored, and found ones that match nobody
    ignored : bool [G], in place of ``truth.ignored``
    """
    low, high = area
    unasked = truth.ignored if ignored is None else ignored
    unasked = unasked | (truth.areas < low) | (truth.areas > high)
    least = np.minimum(thresholds, 1 - 1e-10)  # as in COCOeval: an OKS of 1 less rounding is enough
    person = np.full((len(thresholds), len(found)), -1, np.int64)
    similar = np.full((len(thresholds), len(found)), -1.0)
    free = np.ones((len(thresholds), len(truth)), bool)
    near = oks >= least.min()
    close, value = pairs.chosen(near), oks[near]
    rank = found.rank[close.found]
    for of_rank in _parts(rank):
        _match(close.chosen(of_rank), value[of_rank], least, unasked, truth.crowd, free, person, similar)
    taken = np.zeros_like(free)
    for of_threshold, people in zip(taken, person, strict=True):
        of_threshold[people[people >= 0]] = True
    outside = (found.areas < low) | (found.areas > high)
    is_ignored = np.where(person >= 0, np.append(unasked, False)[person], outside)
    return Matches(person, similar, is_ignored, ~taken & ~unasked, ~unasked)


def _parts(rank: np.ndarray) -> list[np.ndarray]:
    """Places of equal rank, ascending; within each as they are."""
    order = np.argsort(rank, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(rank[order])) + 1) if len(order) else []


def _match(
    pairs: Pairs,
    oks: np.ndarray,
    least: np.ndarray,
    unasked: np.ndarray,
    crowd: np.ndarray,
    free: np.ndarray,
    person: np.ndarray,
    similar: np.ndarray,
) -> None:
    """Match found people of one rank, at most one of each image; fills in ``free``, ``person`` and ``similar``."""
    starts = np.flatnonzero(np.diff(pairs.found, prepend=-1))  # of each found person's pairs, which are together
    ends = np.append(starts[1:], len(pairs))
    found = pairs.found[starts]
    fits = free[:, pairs.person] & (oks >= least[:, None])  # [T, P]
    ignored = unasked[pairs.person]
    place = _last_highest(np.where(fits & ~ignored, oks, -1.0), starts, ends)
    if ignored.any():
        place = np.where(place < 0, _last_highest(np.where(fits & ignored, oks, -1.0), starts, ends), place)
    t, i = np.nonzero(place >= 0)
    chosen = place[t, i]
    person[t, found[i]] = pairs.person[chosen]
    similar[t, found[i]] = oks[chosen]
    free[t, pairs.person[chosen]] = crowd[pairs.person[chosen]]


def _last_highest(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """int64 [T, F]: the last place of each run's highest value [T, P]; -1 where all of a run are negative."""
    highest = np.maximum.reduceat(values, starts, axis=1)
    is_highest = (values == np.repeat(highest, ends - starts, axis=1)) & (values >= 0)
    return np.maximum.reduceat(np.where(is_highest, np.arange(values.shape[1]), -1), starts, axis=1)
