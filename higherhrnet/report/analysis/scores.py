"""How well scores say who is right: average precision knows scores by their order alone, a user also by their value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis.errors import Labels
from higherhrnet.report.analysis.evaluator import Evaluator

_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Found people of about the same score."""

    people: int
    low: float
    high: float
    score: float
    """Mean."""
    right: float
    """Share that is right at an OKS of 0.5."""
    oks: float
    """Mean with their own person; 0 for those that are nobody's."""


@dataclass(frozen=True)
class Calibration:
    """Of the found people that are right or wrong; ignored ones are in no bin."""

    bins: list[Bin]
    """By score, of as many people as the number of people allows."""
    error: float | None
    """Mean distance of score and share right over the people (expected calibration error); None where a score is no
    share: below 0 or above 1, or without people."""
    order: float | None
    """How often one that is right has the higher score than one that is wrong, a tie counting a half (area under the
    ROC curve); None where all are right, or all wrong."""


def calibrate(evaluator: Evaluator, labels: Labels) -> Calibration:
    """Compare scores with what became of the people."""
    matches = evaluator.matches
    counted = np.flatnonzero(~matches.ignored[0])
    counted = counted[np.argsort(evaluator.found.scores[counted], kind="stable")]
    scores, right = evaluator.found.scores[counted], matches.right[0, counted]
    oks = np.where(labels.person >= 0, labels.oks, 0)[counted]
    bins = [
        Bin(
            len(part),
            float(scores[part].min()),
            float(scores[part].max()),
            float(scores[part].mean()),
            float(right[part].mean()),
            float(oks[part].mean()),
        )
        for part in np.array_split(np.arange(len(counted)), _BINS)
        if len(part)
    ]
    shares = len(scores) and scores.min() >= 0 and scores.max() <= 1
    error = sum(b.people * abs(b.score - b.right) for b in bins) / len(scores) if shares else None
    return Calibration(bins, error, _order(scores, right))


def _order(scores: np.ndarray, right: np.ndarray) -> float | None:
    """The share of pairs, one right and one wrong, in which the right one has the higher score. ``scores`` ascend."""
    hits, faults = int(right.sum()), int((~right).sum())
    if not hits or not faults:
        return None
    _, inverse, count = np.unique(scores, return_inverse=True, return_counts=True)
    wrong = np.bincount(inverse, ~right, minlength=len(count))
    below = np.cumsum(wrong) - wrong
    return float((below[inverse] + wrong[inverse] / 2)[right].sum() / (hits * faults))
