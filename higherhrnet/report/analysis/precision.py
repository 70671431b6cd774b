"""Precision over recall, average precision and recall: what COCOeval accumulates of its matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read, [R]."""


@dataclass(frozen=True)
class Curve:
    """Of T thresholds; all -1 where nobody had to be found."""

    precision: np.ndarray
    """float64 [T, R]: the highest at this recall or a higher one."""
    recall: np.ndarray
    """float64 [T]: the highest reached."""

    @property
    def ap(self) -> float:
        """Mean precision over thresholds and recalls; -1 where undefined."""
        return float(self.precision.mean())

    @property
    def ar(self) -> float:
        """Mean recall over thresholds; -1 where undefined."""
        return float(self.recall.mean())

    def ap_at(self, threshold: int) -> float:
        """Mean precision at the threshold of that index."""
        return float(self.precision[threshold].mean())

    def ar_at(self, threshold: int) -> float:
        """Recall at the threshold of that index."""
        return float(self.recall[threshold])


def by_score(scores: np.ndarray) -> np.ndarray:
    """int64 [D]: the order in which found people count; ties stay as they are."""
    return np.argsort(-scores, kind="stable")


def curve(right: np.ndarray, wrong: np.ndarray, people: float, weights: np.ndarray | None = None) -> Curve:
    """Accumulate.

    Parameters
    ----------
    right, wrong : bool [T, D], in the order of ``by_score``
    people : how many had to be found
    weights : float64 [D], how often each found person counts; once without them
    """
    if people == 0:
        return Curve(np.full((len(right), len(RECALLS)), -1.0), np.full(len(right), -1.0))
    weighted = (lambda hits: hits * weights) if weights is not None else (lambda hits: hits)
    hits = np.cumsum(weighted(right), axis=1, dtype=np.float64)
    faults = np.cumsum(weighted(wrong), axis=1, dtype=np.float64)
    recall = hits / people
    precision = hits / (faults + hits + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # Beyond the highest recall precision is 0.
    envelope = np.concatenate((envelope, np.zeros((len(right), 1))), axis=1)
    read = [row[np.searchsorted(reached, RECALLS)] for row, reached in zip(envelope, recall, strict=True)]
    last = recall[:, -1] if recall.shape[1] else np.zeros(len(right))
    return Curve(np.array(read), last)
