"""All numbers of a report, as JSON has them: the page is drawn from these alone.

Figures that are undefined are null. Places of joints are those of ``names``; pixels are the picture's, x before y.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from higherhrnet.dataset.coco import Image
from higherhrnet.dataset.joints import JointSet
from higherhrnet.report.analysis import difference, errors, figures, groups, scores, similarity, worst
from higherhrnet.report.analysis.errors import Labels, Mended
from higherhrnet.report.analysis.evaluator import Evaluator
from higherhrnet.report.analysis.figures import Draws
from higherhrnet.report.analysis.groups import Group
from higherhrnet.report.analysis.matching import THRESHOLDS
from higherhrnet.report.analysis.people import Found, Truth
from higherhrnet.report.analysis.precision import RECALLS, Curve

FORMAT = 1
"""Of the JSON."""
_SHOWN = 0.25
"""Found people that are nobody's are drawn from this part of the highest score in their picture."""
_AFTER_POINT = 2  # of pixels, in what is drawn


@dataclass(frozen=True)
class Study:
    """What is analysed."""

    truth: Truth
    found: Found
    before: Found | None
    """Other results over the same pictures, which these are compared with."""
    joints: JointSet
    sigmas: np.ndarray
    """float64 [K]"""
    kind: str
    """Of data set: dataset.coco.COCO or CROWD_POSE."""
    images: Mapping[int, Image]
    """By image id."""
    crowd_index: Mapping[int, float] | None = None
    """CrowdPose's, by image id; None where the annotations have none."""


@dataclass(frozen=True)
class Amount:
    """How much is computed and shown."""

    draws: int = 1000
    """Of the bootstrap."""
    seed: int = 0
    pictures: int = 8
    """Of each kind of error."""


def compute(study: Study, amount: Amount = Amount()) -> dict[str, Any]:
    """Analyse, in this order: figures, errors, what mending them gives, joints, groups, scores, differences."""
    evaluator = Evaluator(study.truth, study.found, study.sigmas, study.joints.flip)
    labels = errors.label(evaluator)
    draws = Draws(len(study.truth.images), amount.draws, amount.seed)
    parts = figures.parts(evaluator, study.kind, study.crowd_index)
    drawn = figures.resampled(parts, study.kind, draws)
    weighed = worst.weights(evaluator, labels)
    result = {
        "format": FORMAT,
        "names": list(study.joints.names),
        "limbs": [list(limb) for limb in study.joints.limbs],
        "flip": list(study.joints.flip),
        "sides": list(study.joints.sides),
        "sigmas": study.sigmas.tolist(),
        "kind": study.kind,
        "bootstrap": {"draws": amount.draws, "seed": amount.seed, "interval": figures.INTERVAL},
        "counts": _counts(evaluator, labels),
        "figures": [
            {"name": name, "value": _defined(value), "interval": figures.interval(drawn[name]) if drawn else None}
            for name, value in figures.read(parts, study.kind).items()
        ],
        "curves": _curves(evaluator.curve(evaluator.matches)),
        "mending": {
            "alone": [_mended(mended) for mended in errors.mend(evaluator, labels)],
            "in_turn": [_mended(mended) for mended in errors.mend_in_turn(evaluator, labels)],
        },
        "joints": [_joint(evaluator, labels, joint, name) for joint, name in enumerate(study.joints.names)],
        "groups": _groups(evaluator),
        "scores": asdict(scores.calibrate(evaluator, labels)),
        "comparison": None,
    }
    other, other_labels = None, None
    if study.before is not None:
        other = Evaluator(study.truth, study.before, study.sigmas, study.joints.flip)
        other_labels = errors.label(other)
        changed = difference.people(evaluator, other)
        weighed |= worst.of_changes(evaluator, changed)
        before = figures.parts(other, study.kind, study.crowd_index)
        result["comparison"] = _against(difference.changes(parts, before, study.kind, draws), changed) | {
            "counts": _counts(other, other_labels)
        }
    chosen = worst.choose(weighed, evaluator, labels, of_each=amount.pictures)
    result["pictures"] = [
        _picture(picture, study, [(evaluator, labels)] + ([(other, other_labels)] if other and other_labels else []))
        for picture in chosen
    ]
    return result


def _defined(value: float) -> float | None:
    """COCOeval's -1 says that there is none."""
    return None if value < 0 else value


def _counts(evaluator: Evaluator, labels: Labels) -> dict[str, Any]:
    truth, found = evaluator.truth, evaluator.found
    return {
        "images": len(truth.images),
        "people": int((~truth.ignored).sum()),
        "people_ignored": int(truth.ignored.sum()),
        "joints": int((labels.joints >= 0).sum()),
        "found": len(found),
        "beyond": found.beyond,
        "missed": int(labels.missed.sum()),
        **{f"found_{name}": int((labels.people == kind).sum()) for kind, name in enumerate(errors.PEOPLE)},
        **{name: int((labels.joints == kind).sum()) for kind, name in enumerate(errors.KINDS)},
    }


def _curves(curve: Curve) -> dict[str, Any]:
    return {
        "recall": RECALLS.tolist(),
        "precision": {
            f"{threshold:.2f}": row.tolist() for threshold, row in zip(THRESHOLDS, curve.precision, strict=True)
        },
    }


def _mended(mended: Mended) -> dict[str, Any]:
    curve = mended.curve
    return {
        "name": mended.name,
        "AP": _defined(curve.ap),
        "AP .5": _defined(curve.ap_at(0)),
        "AP .75": _defined(curve.ap_at(5)),
        "AR": _defined(curve.ar),
    }


def _joint(evaluator: Evaluator, labels: Labels, joint: int, name: str) -> dict[str, Any]:
    of_somebody = labels.person >= 0
    e = similarity.normalised(
        evaluator.truth,
        labels.person[of_somebody],
        evaluator.found.keypoints[of_somebody, joint],
        joint,
        evaluator.variances,
    )
    kinds = {kind: int((labels.joints[:, joint] == place).sum()) for place, kind in enumerate(errors.KINDS)}
    median, most = np.quantile(e, [0.5, 0.9]).tolist() if len(e) else (None, None)
    return {
        "name": name,
        "annotated": int((~evaluator.truth.ignored & evaluator.truth.labelled[:, joint]).sum()),
        "AP": _defined(evaluator.curve(evaluator.of_joint(joint)).ap),
        "AP_mended": _defined(errors.mend_joint(evaluator, labels, joint).ap),
        "median": median,
        "p90": most,
        "mirrored": _mirrored(evaluator, labels, joint),
        "kinds": kinds,
    }


def _mirrored(evaluator: Evaluator, labels: Labels, joint: int) -> float | None:
    """The share of joints nearer to where their mirror partner is annotated, of those where both are."""
    partner = evaluator.flip[joint]
    of_somebody = labels.person >= 0
    person = labels.person[of_somebody]
    both = evaluator.truth.labelled[person][:, [joint, partner]].all(axis=1)
    if partner == joint or not both.any():
        return None
    points = evaluator.found.keypoints[of_somebody, joint][both]
    annotated = evaluator.truth.keypoints[person[both]][..., :2]
    own, other = (np.linalg.norm(points - annotated[:, place], axis=1) for place in (joint, partner))
    return float((other < own).mean())


def _groups(evaluator: Evaluator) -> list[dict[str, Any]]:
    made = (
        ("size of people", groups.by_size),
        ("people in the picture", groups.by_count),
        ("crowding of the picture", groups.by_crowding),
        ("occlusion in the picture", groups.by_occlusion),
        ("overlap of the person", groups.people_by_overlap),
        ("occlusion of the person", groups.people_by_occlusion),
        ("joints annotated of the person", groups.people_by_joints),
    )
    return [{"by": by, "groups": [_group(group) for group in make(evaluator)]} for by, make in made]


def _group(group: Group) -> dict[str, Any]:
    curve = group.curve
    return {
        "label": group.label,
        "images": group.images,
        "people": group.people,
        "AP": None if curve is None else _defined(curve.ap),
        "AP .5": None if curve is None else _defined(curve.ap_at(0)),
        "AR": _defined(float(group.recall.mean())),
        "AR .5": _defined(float(group.recall[0])),
    }


def _against(changes: Sequence[difference.Change], changed: difference.ChangedPeople) -> dict[str, Any]:
    return {
        "figures": [
            {
                "name": change.name,
                "value": _defined(change.value),
                "before": _defined(change.before),
                "difference": change.difference,
                "interval": change.interval,
            }
            for change in changes
        ],
        "people": {name: int(getattr(changed, name).sum()) for name in worst.CHANGES}
        | {"wrong": changed.wrong, "wrong_before": changed.wrong_before},
    }


def _picture(picture: worst.Picture, study: Study, results: Sequence[tuple[Evaluator, Labels]]) -> dict[str, Any]:
    image = study.images[int(study.truth.images[picture.image])]
    places = np.flatnonzero((study.truth.image == picture.image) & ~study.truth.ignored)
    first_labels = results[0][1]
    return {
        "image_id": image.image_id,
        "file": image.file_name,
        "width": image.width,
        "height": image.height,
        "sorts": list(picture.sorts),
        "joints": list(picture.joints),
        "annotated": [
            {
                "joints": np.round(study.truth.keypoints[place], _AFTER_POINT).tolist(),
                "missed": bool(first_labels.missed[place]),
            }
            for place in places
        ],
        "found": [_found_in(picture.image, places, *result) for result in results],
    }


def _found_in(image: int, people: np.ndarray, evaluator: Evaluator, labels: Labels) -> dict[str, Any]:
    """The people of one set of results in a picture, and how many are not among them."""
    found = evaluator.found
    places = np.flatnonzero(found.image == image)
    least = _SHOWN * found.scores[places].max(initial=0)
    shown = [place for place in places if labels.person[place] >= 0 or found.scores[place] >= least]
    numbers = {person: number for number, person in enumerate(people.tolist())}
    return {
        "people": [
            {
                "joints": np.round(found.keypoints[place], _AFTER_POINT).tolist(),
                "score": float(found.scores[place]),
                "sort": errors.PEOPLE[labels.people[place]],
                "of": numbers.get(int(labels.person[place])),
                "oks": float(labels.oks[place]),
                "errors": {
                    errors.KINDS[kind]: np.flatnonzero(labels.joints[place] == kind).tolist()
                    for kind in range(errors.GOOD + 1, len(errors.KINDS))
                    if (labels.joints[place] == kind).any()
                },
            }
            for place in shown
        ],
        "more": len(places) - len(shown),
    }
