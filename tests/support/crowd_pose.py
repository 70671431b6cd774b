"""A made data set in CrowdPose's format, with results: what its own package was run on, see tests/golden/README.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from higherhrnet.dataset import joints

IMAGES, PART, SEED = 240, 30, 20261
"""Images of the whole, how many of them are the part, and what they are drawn from."""
_CROWD_INDICES = (0.0, 0.1, 0.19, 0.2, 0.21, 0.5, 0.79, 0.8, 0.81, 1.09)  # on both sides of easy, medium and hard


def annotation_file() -> dict[str, Any]:
    """An annotation file's content.

    People of all sizes; some crowds, some without visible joints, some whose num_keypoints is 0 though joints are
    visible, and images without anybody, as there are in CrowdPose's own file.
    """
    rng = np.random.default_rng(SEED)
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for number in range(IMAGES):
        image_id = 100_000 + 7 * number
        crowd_index = _CROWD_INDICES[number % len(_CROWD_INDICES)]
        name = f"{image_id}.jpg"
        images.append({"id": image_id, "file_name": name, "width": 640, "height": 480, "crowdIndex": crowd_index})
        for _ in range(int(rng.integers(0, 7))):
            size = float(np.exp(rng.uniform(np.log(20), np.log(300))))
            left, top = rng.uniform(0, 640 - size / 2), rng.uniform(0, 480 - size)
            keypoints = np.zeros((len(joints.CROWD_POSE), 3))
            keypoints[:, 0] = rng.uniform(left, left + size / 2, len(keypoints)).round()
            keypoints[:, 1] = rng.uniform(top, top + size, len(keypoints)).round()
            keypoints[:, 2] = 0 if rng.random() < 0.05 else rng.choice([0, 1, 2], len(keypoints), p=[0.2, 0.2, 0.6])
            keypoints[keypoints[:, 2] == 0] = 0
            labelled = int((keypoints[:-2, 2] > 0).sum()) * int(rng.random() > 0.08)
            people.append(
                {
                    "id": 500_000 + 3 * len(people),
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": int(rng.random() < 0.03),
                    "num_keypoints": labelled,
                    "keypoints": keypoints.ravel().tolist(),
                    "bbox": [round(left, 2), round(top, 2), round(size / 2, 2), round(size, 2)],
                }
            )
    # The skeleton of CrowdPose's own file: COCO's, with numbers of joints that are not there.
    category = {"id": 1, "name": "person", "keypoints": joints.CROWD_POSE.names, "skeleton": [[16, 14], [14, 12]]}
    return {"images": images, "annotations": people, "categories": [category]}


def results(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries of a results file: the annotated people, moved a little, some missed, some twice, and some invented.

    One image has more people than the 20 that count.
    """
    rng = np.random.default_rng(SEED + 1)
    entries = []
    for row in content["annotations"]:
        person = np.array(row["keypoints"]).reshape(-1, 3)
        spread = row["bbox"][3] * rng.choice([0.005, 0.02, 0.05])
        many = 25 if row is content["annotations"][10] else int(rng.choice([0, 1, 1, 1, 1, 2]))
        for copy in range(many):
            moved = person[:, :2] + rng.normal(0, spread * (1 + copy / 2), (len(person), 2))
            entries.append(_entry(row["image_id"], moved, rng))
    for image in content["images"][::5]:
        entries.append(_entry(image["id"], rng.uniform(0, 480, (len(joints.CROWD_POSE), 2)), rng))
    return entries


def _entry(image_id: int, points: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    values = np.column_stack((points.round(3), np.ones(len(points))))
    score = round(float(rng.uniform(0.2, 1)), 6)
    return {"image_id": image_id, "category_id": 1, "keypoints": values.ravel().tolist(), "score": score}


def part(content: dict[str, Any], entries: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A file of every eighth image alone, and the entries of those: what leaving images out has to equal."""
    images = content["images"][:: IMAGES // PART]
    ids = {image["id"] for image in images}
    rows = [row for row in content["annotations"] if row["image_id"] in ids]
    return {**content, "images": images, "annotations": rows}, [e for e in entries if e["image_id"] in ids]
