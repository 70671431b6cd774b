"""Two sets of results over the same pictures: which figures differ, and who was gained, lost or moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis import figures
from higherhrnet.report.analysis.evaluator import Evaluator
from higherhrnet.report.analysis.figures import Draws, Part

MOVED = 0.1
"""Change of OKS from which a person found by both has moved."""


@dataclass(frozen=True)
class Change:
    """A figure of both."""

    name: str
    value: float
    before: float
    interval: tuple[float, float] | None
    """Of their difference, over the same draws of pictures for both; None where it is undefined."""

    @property
    def difference(self) -> float | None:
        """None where one of them is undefined."""
        return None if min(self.value, self.before) < 0 else self.value - self.before


def changes(parts: Mapping[str, Part], before: Mapping[str, Part], kind: str, draws: Draws) -> list[Change]:
    """All figures of the official table."""
    values, old = figures.read(parts, kind), figures.read(before, kind)
    drawn, drawn_old = figures.resampled(parts, kind, draws), figures.resampled(before, kind, draws)
    return [
        Change(name, value, old[name], figures.interval(drawn[name] - drawn_old[name]) if drawn else None)
        for name, value in values.items()
    ]


@dataclass(frozen=True)
class ChangedPeople:
    """What became of G annotated people, and who else was found, at an OKS of 0.5."""

    gained: np.ndarray
    """bool [G]: found now and not before."""
    lost: np.ndarray
    """bool [G]"""
    better: np.ndarray
    """bool [G]: found both times, OKS now higher by MOVED or more."""
    worse: np.ndarray
    """bool [G]"""
    wrong: int
    """Found people that are nobody's, now."""
    wrong_before: int
    oks: np.ndarray
    """float64 [G]: now, 0 where not found."""
    oks_before: np.ndarray
    """float64 [G]"""


def people(now: Evaluator, before: Evaluator) -> ChangedPeople:
    """Compare person by person. Both have one Truth."""
    oks, old = _oks(now), _oks(before)
    counted = now.matches.counted
    both = counted & (oks > 0) & (old > 0)
    return ChangedPeople(
        counted & (oks > 0) & (old == 0),
        counted & (oks == 0) & (old > 0),
        both & (oks - old >= MOVED),
        both & (old - oks >= MOVED),
        int(now.matches.wrong[0].sum()),
        int(before.matches.wrong[0].sum()),
        oks,
        old,
    )


def _oks(evaluator: Evaluator) -> np.ndarray:
    """float64 [G]: of the found person that each annotated one was matched with at 0.5, 0 without one."""
    result = np.zeros(len(evaluator.truth))
    matches = evaluator.matches
    right = matches.right[0]
    result[matches.person[0, right]] = matches.oks[0, right]
    return result
