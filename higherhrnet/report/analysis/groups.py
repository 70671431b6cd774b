"""Average precision and recall of groups of pictures and people: by size, number, crowding and occlusion.

Average precision is of groups of whole pictures, or of sizes as COCO has them: each wrong person has its place then.
Of other groups of people only recall is said: a wrong person is of no group of annotated ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from higherhrnet.report.analysis.evaluator import Evaluator
from higherhrnet.report.analysis.people import Truth
from higherhrnet.report.analysis.precision import Curve

SIZES = ((0, 32), (32, 64), (64, 96), (96, 192), (192, 1e5))
"""Square roots of areas in pixels, both ends included as COCO's; 96 parts its medium from its large."""
_COUNTS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, None))
_OVERLAPS = (0.0, 0.1, 0.3)
"""Largest intersection over union of a person's box with another's: none, up to 0.1, up to 0.3, more."""
_HIDDEN = (0.0, 0.1, 0.25, 0.5)
"""Share of annotated joints that are hidden (visibility 1): none, up to a tenth, ..."""


@dataclass(frozen=True)
class Group:
    """Some of the pictures or people."""

    label: str
    images: int | None
    """None where it is of people."""
    people: int
    """That count."""
    curve: Curve | None
    """None where it is of people."""
    recall: np.ndarray
    """float64 [T]: share of its people that were found; -1 without people."""


def by_size(evaluator: Evaluator) -> list[Group]:
    """People of SIZES; others, and found people of other sizes that match nobody, are ignored."""
    result = []
    for low, high in SIZES:
        matches = evaluator.match(area=(float(low) ** 2, float(high) ** 2))
        curve = evaluator.curve(matches)
        label = f"{low} px and more" if high > 1e4 else f"{low} to {high} px"
        result.append(Group(label, None, int(matches.counted.sum()), curve, curve.recall))
    return result


def by_count(evaluator: Evaluator) -> list[Group]:
    """Pictures by how many people in them count."""
    truth = evaluator.truth
    counts = np.bincount(truth.image[~truth.ignored], minlength=len(truth.images))
    chosen = [(counts >= low) & (counts <= (high or counts.max(initial=0))) for low, high in _COUNTS]
    labels = [_span(low, high) for low, high in _COUNTS]
    return _of_pictures(evaluator, [f"{label} {'person' if label == '1' else 'people'}" for label in labels], chosen)


def by_crowding(evaluator: Evaluator) -> list[Group]:
    """Pictures by how much their people's boxes overlap on average."""
    return _by_share(evaluator, overlaps(evaluator.truth), _OVERLAPS, "overlap")


def by_occlusion(evaluator: Evaluator) -> list[Group]:
    """Pictures by the share of their people's annotated joints that are hidden, on average."""
    return _by_share(evaluator, hidden(evaluator.truth), _HIDDEN, "hidden")


def people_by_overlap(evaluator: Evaluator) -> list[Group]:
    """People by how much their boxes overlap another's."""
    values = overlaps(evaluator.truth)
    return [_of_people(evaluator, label, chosen) for label, chosen in _shares(values, _OVERLAPS, "overlap")]


def people_by_occlusion(evaluator: Evaluator) -> list[Group]:
    """People by the share of their annotated joints that are hidden."""
    values = hidden(evaluator.truth)
    return [_of_people(evaluator, label, chosen) for label, chosen in _shares(values, _HIDDEN, "hidden")]


def people_by_joints(evaluator: Evaluator) -> list[Group]:
    """People by how many of their joints are annotated, in quarters of all."""
    labelled = evaluator.truth.labelled
    joints, counts = labelled.shape[1], labelled.sum(axis=1)
    ends = sorted({-(-joints * part // 4) for part in range(5)})
    return [
        _of_people(evaluator, f"{_span(low + 1, high)} joints", (counts > low) & (counts <= high))
        for low, high in itertools.pairwise(ends)
    ]


def overlaps(truth: Truth) -> np.ndarray:
    """float64 [G]: the largest intersection over union of each person's box with that of another who counts."""
    result = np.zeros(len(truth))
    counted = np.flatnonzero(~truth.ignored)
    for places in np.split(counted, np.flatnonzero(np.diff(truth.image[counted])) + 1):
        if len(places) < 2:
            continue
        low, side = truth.boxes[places, :2], truth.boxes[places, 2:]
        shared = np.minimum(low[:, None] + side[:, None], low + side) - np.maximum(low[:, None], low)  # [P, P, 2]
        both = np.clip(shared, 0, None).prod(axis=2)
        area = side.prod(axis=1)
        union = np.maximum(area[:, None] + area - both, np.spacing(1))
        np.fill_diagonal(both, 0)
        result[places] = (both / union).max(axis=1)
    return result


def hidden(truth: Truth) -> np.ndarray:
    """float64 [G]: the share of each person's annotated joints that have visibility 1; 0 without joints."""
    visibility = truth.keypoints[..., 2]
    return (visibility == 1).sum(axis=1) / np.maximum((visibility > 0).sum(axis=1), 1)


def _by_share(evaluator: Evaluator, values: np.ndarray, ends: Sequence[float], word: str) -> list[Group]:
    """Pictures by the mean value of their people who count; those without such people are in no group."""
    truth = evaluator.truth
    image, counted = truth.image[~truth.ignored], values[~truth.ignored]
    count = np.bincount(image, minlength=len(truth.images))
    mean = np.bincount(image, counted, minlength=len(truth.images)) / np.maximum(count, 1)
    parts = _shares(mean, ends, word)
    return _of_pictures(evaluator, [label for label, _ in parts], [chosen & (count > 0) for _, chosen in parts])


def _shares(values: np.ndarray, ends: Sequence[float], word: str) -> list[tuple[str, np.ndarray]]:
    """Labels, and which values are exactly 0, up to each end, and beyond the last."""
    parts = [(f"no {word}", values <= 0)]
    for low, high in itertools.pairwise(ends):
        parts.append((f"{word} up to {high:g}", (values > low) & (values <= high)))
    return [*parts, (f"{word} over {ends[-1]:g}", values > ends[-1])]


def _of_pictures(evaluator: Evaluator, labels: Sequence[str], chosen: Sequence[np.ndarray]) -> list[Group]:
    counted = evaluator.matches.counted
    result = []
    for label, images in zip(labels, chosen, strict=True):
        curve = evaluator.curve(evaluator.matches, images)
        people = int((counted & images[evaluator.truth.image]).sum())
        result.append(Group(label, int(images.sum()), people, curve, curve.recall))
    return result


def _of_people(evaluator: Evaluator, label: str, chosen: np.ndarray) -> Group:
    matches = evaluator.matches
    asked = chosen & matches.counted
    people = int(asked.sum())
    recall = 1 - (matches.missing & asked).sum(axis=1) / people if people else np.full(len(matches.missing), -1.0)
    return Group(label, None, people, None, recall)


def _span(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} and more"
    return str(low) if low == high else f"{low} to {high}"
