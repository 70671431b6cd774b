"""Annotated people drawn at random, results that find them exactly, and errors put into these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from higherhrnet.dataset import coco, coco_results, joints
from higherhrnet.report.analysis import people
from higherhrnet.report.analysis.evaluator import Evaluator
from higherhrnet.report.analysis.numbers import Study

Row = dict[str, Any]

FILE = Path("annotations.json")
SIDE = (640, 480)


def person(
    annotation_id: int, image_id: int, keypoints: np.ndarray, box: Sequence[float], **more: Any
) -> dict[str, Any]:
    """An annotation; keypoints are [K, 3]."""
    made = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "keypoints": keypoints.ravel().tolist(),
        "bbox": list(box),
        "area": float(box[2] * box[3]),
    }
    return made | more


def result(image_id: int, points: np.ndarray, score: float) -> dict[str, Any]:
    """An entry of a results file; points are [K, 2]."""
    values = np.column_stack((points, np.ones(len(points))))
    return {"image_id": image_id, "category_id": 1, "keypoints": values.ravel().tolist(), "score": score}


def content(image_ids: Sequence[int], annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An annotation file's."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": SIDE[0], "height": SIDE[1]} for i in image_ids]
    category = {"id": 1, "name": "person", "keypoints": list(joints.COCO.names), "skeleton": []}
    return {"images": images, "annotations": list(annotations), "categories": [category]}


def evaluator(
    annotated: dict[str, Any], entries: Sequence[dict[str, Any]], names: joints.JointSet = joints.COCO
) -> Evaluator:
    """Over all images."""
    made = study(annotated, entries, names=names)
    return Evaluator(made.truth, made.found, made.sigmas, names.flip)


def study(
    annotated: dict[str, Any],
    entries: Sequence[dict[str, Any]],
    before: Sequence[dict[str, Any]] | None = None,
    names: joints.JointSet = joints.COCO,
) -> Study:
    """Over all images."""
    ids = [row["id"] for row in annotated["images"]]
    truth = people.truth(annotated, ids, joints=len(names))
    found, old = (
        people.found(
            coco_results.check(rows, FILE, set(ids), joints=len(names), boxes=False, remedy="mend the test"),
            truth.images,
            joints=len(names),
        )
        for rows in (entries, before or [])
    )
    images = {
        row["id"]: coco.Image(place, row["id"], row["file_name"], row["width"], row["height"])
        for place, row in enumerate(annotated["images"])
    }
    return Study(truth, found, None if before is None else old, names, np.array(names.sigmas), coco.COCO, images)


def drawn(images: int, seed: int, names: joints.JointSet = joints.COCO) -> dict[str, Any]:
    """Images of two to five people apart from each other; mirror partners are at opposite sides of a person."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for image_id in range(1, images + 1):
        for place in range(rng.integers(2, 6)):
            side = float(rng.uniform(40, 100))
            corner = np.array([20 + 120.0 * place, rng.uniform(10, 300)])
            x = np.array([_across(name) for name in names.names]) + rng.uniform(-0.03, 0.03, len(names))
            points = corner + np.column_stack((x, rng.uniform(0, 1, len(names)))) * side
            visibility = rng.choice([0, 1, 2, 2, 2], len(names))
            visibility[:4] = 2  # nobody is without joints
            keypoints = np.column_stack((points * (visibility > 0)[:, None], visibility))
            rows.append(person(len(rows) + 1, image_id, keypoints, [*corner.tolist(), side, side]))
    return content(range(1, images + 1), rows)


def _across(name: str) -> float:
    return {"left": 0.1, "right": 0.9}.get(name.partition("_")[0], 0.5)


def exact(annotated: dict[str, Any], rng: np.random.Generator, noise: float = 0) -> list[dict[str, Any]]:
    """Results that find every annotated joint, up to a normal ``noise`` in parts of s k; other joints lie near."""
    entries = []
    for row in annotated["annotations"]:
        keypoints = np.array(row["keypoints"]).reshape(-1, 3)
        scale = np.sqrt(row["area"]) * 2 * SIGMAS[: len(keypoints), None]
        points = keypoints[:, :2] + rng.normal(0, 1, (len(keypoints), 2)) * noise * scale
        points[keypoints[:, 2] == 0] = keypoints[keypoints[:, 2] > 0, :2].mean(axis=0)
        entries.append(result(row["image_id"], points, float(rng.uniform(0.3, 1))))
    return entries


SIGMAS = np.array(joints.COCO.sigmas)


@dataclass
class Injected:
    """Results with errors put in, and which."""

    entries: list[dict[str, Any]]
    joints: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """(entry, joint) by kind of error."""
    missed: list[int] = field(default_factory=list)
    """Places of annotations."""
    invented: int = 0
    doubled: int = 0


def spoil(annotated: dict[str, Any], clean: Sequence[dict[str, Any]], rng: np.random.Generator) -> Injected:
    """Spoil up to three joints of each person, drop one person in twelve, invent and double one in ten.

    Every error is large enough to be of its kind: a jitter has a ks of 0.6 to 0.8, an inversion and a swap are where
    the mirror partner and another's joint are annotated, and a dropped joint lies at (0, 0), away from everybody.
    """
    made = Injected([], {kind: [] for kind in ("jitter", "inversion", "swap", "miss")})
    flip = joints.COCO.flip
    rows = annotated["annotations"]
    for place, (row, entry) in enumerate(zip(rows, clean, strict=True)):
        if place % 12 == 5:
            made.missed.append(place)
            continue
        truth = np.array(row["keypoints"]).reshape(-1, 3)
        points = np.array(entry["keypoints"]).reshape(-1, 3)[:, :2]
        others = [
            np.array(r["keypoints"]).reshape(-1, 3) for r in rows if r["image_id"] == row["image_id"] and r is not row
        ]
        labelled = rng.permutation(np.flatnonzero(truth[:, 2] > 0))[:3]
        for joint in labelled.tolist():
            kind = str(rng.choice(list(made.joints)))
            if kind == "jitter":
                distance = np.sqrt(-2 * np.log(rng.uniform(0.6, 0.8)) * row["area"]) * 2 * SIGMAS[joint]
                angle = rng.uniform(0, 2 * np.pi)
                points[joint] = truth[joint, :2] + distance * np.array([np.cos(angle), np.sin(angle)])
            elif kind == "inversion":
                if flip[joint] == joint or truth[flip[joint], 2] == 0:
                    continue
                points[joint] = truth[flip[joint], :2]
            elif kind == "swap":
                if not others:
                    continue
                other = others[int(rng.integers(len(others)))]
                if other[joint, 2] == 0:
                    continue
                points[joint] = other[joint, :2]
            else:
                points[joint] = 0
            made.joints[kind].append((len(made.entries), joint))
        made.entries.append(result(row["image_id"], points, entry["score"]))
        if place % 10 == 3:
            made.entries.append(result(row["image_id"], points + 0.01, entry["score"] * 0.9))
            made.doubled += 1
        if place % 10 == 7:
            made.entries.append(result(row["image_id"], points + np.array([0, 1000]), float(rng.uniform(0.3, 1))))
            made.invented += 1
    return made
