"""The figures of the official table, and the intervals that the choice of pictures leaves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from higherhrnet.dataset import coco, evaluation
from higherhrnet.report.analysis import precision
from higherhrnet.report.analysis.evaluator import Evaluator
from higherhrnet.report.analysis.matching import AREAS, Matches
from higherhrnet.report.analysis.precision import Curve

_READ: dict[str, tuple[str, Callable[[Curve], float]]] = {
    "AP": ("all", lambda curve: curve.ap),
    "Ap .5": ("all", lambda curve: curve.ap_at(0)),
    "AP .75": ("all", lambda curve: curve.ap_at(5)),
    "AP (M)": ("medium", lambda curve: curve.ap),
    "AP (L)": ("large", lambda curve: curve.ap),
    "AR": ("all", lambda curve: curve.ar),
    "AR .5": ("all", lambda curve: curve.ar_at(0)),
    "AR .75": ("all", lambda curve: curve.ar_at(5)),
    "AR (M)": ("medium", lambda curve: curve.ar),
    "AR (L)": ("large", lambda curve: curve.ar),
}
"""By name of the official table: of which sizes, and how it is read from their curve."""
_CROWDED = {"AP (easy)": "easy", "AP (medium)": "medium", "AP (hard)": "hard"}


@dataclass(frozen=True)
class Part:
    """People and pictures that a figure is over, as found people that count by falling score."""

    right: np.ndarray
    """bool [T, D]"""
    wrong: np.ndarray
    """bool [T, D]"""
    image: np.ndarray
    """int64 [D], places in Truth.images."""
    people: np.ndarray
    """int64 [N], how many of each image have to be found."""

    def curve(self, times: np.ndarray | None = None) -> Curve:
        """The curve where each image counts so many times (int64 [N]); once each without."""
        if times is None:
            return precision.curve(self.right, self.wrong, int(self.people.sum()))
        return precision.curve(self.right, self.wrong, int(self.people @ times), times[self.image].astype(np.float64))


def parts(evaluator: Evaluator, kind: str, crowd_index: Mapping[int, float] | None) -> dict[str, Part]:
    """The parts that the figures of this kind of data set are over: by COCO's sizes, or by CrowdPose's crowd index.

    ``crowd_index`` by image id; None where the annotations have none, and then there are no figures by it.
    """
    made = {"all": _part(evaluator, evaluator.matches)}
    if kind == coco.COCO:
        for name in ("medium", "large"):
            made[name] = _part(evaluator, evaluator.match(area=AREAS[name]))
    elif crowd_index is not None:
        # crowdposetools' bounds; its paper has other ones.
        index = np.array([crowd_index[image_id] for image_id in evaluator.truth.images.tolist()])
        chosen = {"easy": index < 0.2, "medium": (index >= 0.2) & (index < 0.8), "hard": index >= 0.8}
        made |= {name: _part(evaluator, evaluator.matches, images) for name, images in chosen.items()}
    return made


def _part(evaluator: Evaluator, matches: Matches, images: np.ndarray | None = None) -> Part:
    truth, order = evaluator.truth, evaluator.order
    counted = matches.counted
    if images is not None:
        order, counted = order[images[evaluator.found.image[order]]], counted & images[truth.image]
    right, wrong = matches.right[:, order], matches.wrong[:, order]
    used = (right | wrong).any(axis=0)  # those ignored throughout change no figure
    used[np.flatnonzero(right.any(axis=0)).max(initial=-1) + 1 :] = False  # nor do wrong ones after the last right one
    people = np.bincount(truth.image[counted], minlength=len(truth.images))
    return Part(right[:, used], wrong[:, used], evaluator.found.image[order[used]], people)


def read(made: Mapping[str, Part], kind: str, times: np.ndarray | None = None) -> dict[str, float]:
    """The figures by the names of the official table; -1 where undefined.

    Ten of COCO, nine of CrowdPose, six where it has no crowd index. ``times`` as in Part.curve.
    """
    curves = {name: part.curve(times) for name, part in made.items()}
    if kind == coco.COCO:
        return {name: value(curves[part]) for name, (part, value) in _READ.items()}
    of_all = {name: _READ[name][1](curves["all"]) for name in evaluation.CROWD_POSE_STATISTICS if name in _READ}
    of_parts = {name: round(curves[part].ap, 4) for name, part in _CROWDED.items() if part in curves}  # as printed
    return of_all | of_parts


@dataclass(frozen=True)
class Draws:
    """Sets of N pictures drawn from the N pictures with replacement: a bootstrap."""

    images: int
    count: int
    seed: int

    def times(self, number: int) -> np.ndarray:
        """int64 [N]: how often each image is in that draw, the same whoever asks."""
        generator = np.random.default_rng((self.seed, number))
        return np.bincount(generator.integers(0, self.images, self.images), minlength=self.images)


INTERVAL = 0.95


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The middle INTERVAL of values over draws (nan where undefined); None where none is defined."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def resampled(made: Mapping[str, Part], kind: str, draws: Draws) -> dict[str, np.ndarray]:
    """Each figure over all draws, float64 [draws]; nan where a draw leaves nobody to find."""
    rows = [read(made, kind, draws.times(number)) for number in range(draws.count)]
    values = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    return {name: np.where(found < 0, np.nan, found) for name, found in values.items()}
