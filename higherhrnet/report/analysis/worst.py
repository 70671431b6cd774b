"""The pictures in which an error shows most, kind by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis import errors
from higherhrnet.report.analysis.difference import ChangedPeople
from higherhrnet.report.analysis.errors import Labels
from higherhrnet.report.analysis.evaluator import Evaluator

SORTS = (*errors.ERRORS, "missed", "background", "duplicate")
"""What pictures are chosen by, and with another set of results by CHANGES too."""
CHANGES = ("gained", "lost", "better", "worse")


@dataclass(frozen=True)
class Picture:
    """One that is shown."""

    image: int
    """Its place in Truth.images."""
    sorts: tuple[str, ...]
    """All that it shows of SORTS and CHANGES, in their order."""
    joints: tuple[int, ...]
    """Joints with an error."""


def weights(evaluator: Evaluator, labels: Labels) -> dict[str, np.ndarray]:
    """How much of each of SORTS there is in each picture, float64 [N].

    Joints and missed people are counted; found ones that are nobody's weigh as much as their scores, as the lowest ones
    cost no precision.
    """
    truth, found = evaluator.truth, evaluator.found
    count = len(truth.images)

    def per_image(image: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(image, values, minlength=count)

    result = {
        name: per_image(found.image, (labels.joints == kind).sum(axis=1).astype(float))
        for kind, name in enumerate(errors.KINDS)
        if kind != errors.GOOD
    }
    result["missed"] = per_image(truth.image, labels.missed.astype(float))
    for kind in (errors.BACKGROUND, errors.DUPLICATE):
        result[errors.PEOPLE[kind]] = per_image(found.image, np.where(labels.people == kind, found.scores, 0))
    return result


def of_changes(evaluator: Evaluator, changed: ChangedPeople) -> dict[str, np.ndarray]:
    """The same of CHANGES."""
    truth = evaluator.truth
    change = {
        "gained": changed.gained,
        "lost": changed.lost,
        "better": np.where(changed.better, changed.oks - changed.oks_before, 0),
        "worse": np.where(changed.worse, changed.oks_before - changed.oks, 0),
    }
    return {name: np.bincount(truth.image, values, minlength=len(truth.images)) for name, values in change.items()}


def choose(weighed: Mapping[str, np.ndarray], evaluator: Evaluator, labels: Labels, *, of_each: int) -> list[Picture]:
    """The ``of_each`` pictures that have most of each sort, those with most joints and people wrong first."""
    chosen: set[int] = set()
    for values in weighed.values():
        most = np.argsort(-values, kind="stable")[:of_each]
        chosen.update(most[values[most] > 0].tolist())
    total = np.sum([values for name, values in weighed.items() if name in SORTS], axis=0)
    wrong = np.isin(labels.joints, range(errors.GOOD + 1, len(errors.KINDS)))
    result = []
    for image in sorted(chosen, key=lambda image: (-total[image], image)):
        joints = np.flatnonzero(wrong[evaluator.found.image == image].any(axis=0))
        sorts = tuple(name for name, values in weighed.items() if values[image] > 0)
        result.append(Picture(image, sorts, tuple(joints.tolist())))
    return result
