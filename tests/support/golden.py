"""The golden files, and what they are of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from demo import scenes
from higherhrnet.dataset import joints
from higherhrnet.decode import People, decode, fused
from tests.support.datasets import GOLDEN

CASES = 8
"""Of decode/: outputs of one image each."""
PICTURES, SCENES, SEED = 6, 12, 20260
"""Drawn pictures whose inputs are hashed, scenes whose figures are known, and the seed of both."""

Outputs = tuple[np.ndarray, np.ndarray]


def read(name: str) -> Any:
    """A golden JSON file."""
    return json.loads((GOLDEN / name).read_text())


def draw(folder: Path, index: int) -> Path:
    """Draw a picture into ``folder``: a PNG file, whose pixels no decoder may change."""
    path = folder / f"{index}.png"
    cv2.imwrite(str(path), scenes.scene(scenes.generator(scenes.WRITTEN, SEED, index)).image)
    return path


def outputs(case: int) -> tuple[Outputs, Outputs]:
    """A case's outputs of the image and of its mirror image."""
    arrays = {name: a.astype(np.float32) for name, a in np.load(GOLDEN / f"decode/case{case}.npz").items()}
    return (arrays["output1"], arrays["output2"]), (arrays["flip_output1"], arrays["flip_output2"])


def people_hashes() -> dict[str, list[str]]:
    """SHA-256 of all people of every case: of the fast decode, of the whole maps of two scales, without flip test."""
    found: dict[str, list[str]] = {"single scale": [], "multi-scale": [], "no flip": []}
    for case in range(CASES):
        plain, flip = outputs(case)
        height, width = plain[1].shape[1:]
        size = (2 * height, 2 * width)
        halved: list[Outputs] = [(a[:, ::2, ::2].copy(), b[:, ::2, ::2].copy()) for a, b in (plain, flip)]
        found["single scale"].append(_hash(decode(plain, flip)))
        found["multi-scale"].append(_hash(fused([[plain, flip], halved], size)))
        found["no flip"].append(_hash(fused([[plain]], size)))
    return found


def _hash(people: People) -> str:
    digest = hashlib.sha256()
    for array in (people.keypoints, people.scores, people.tags):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def annotate(folder: Path) -> Path:
    """Write annotations of drawn scenes, every other one at a quarter of its size: COCO's 'medium' and 'large'."""
    path = scenes.write(folder, images=SCENES, seed=SEED)
    content = json.loads(path.read_text())
    for row in content["annotations"]:
        if row["image_id"] % 2:
            row["keypoints"] = [v if place % 3 == 2 else v / 4 for place, v in enumerate(row["keypoints"])]
            row["bbox"] = [v / 4 for v in row["bbox"]]
            row["area"] /= 16
    path.write_text(json.dumps(content))
    return path


def results(annotations: Path) -> list[dict[str, Any]]:
    """Entries of a results file: the annotated people, moved a little, a few of them missed and a few invented."""
    content = json.loads(annotations.read_text())
    rng = np.random.default_rng(SEED)
    entries = []
    for row in content["annotations"]:
        person = np.array(row["keypoints"], float).reshape(len(joints.COCO.names), 3)
        spread = np.sqrt(row["area"]) * rng.choice([0.01, 0.03, 0.08])
        for copy in range(int(rng.choice([0, 1, 1, 1, 1, 2]))):
            moved = person[:, :2] + rng.normal(0, spread * (1 + 4 * copy), (len(person), 2))
            values = np.column_stack((moved.round(3), np.ones(len(person))))
            entries.append(
                {
                    "image_id": row["image_id"],
                    "category_id": 1,
                    "keypoints": values.ravel().tolist(),
                    "score": round(float(rng.uniform(0.2, 1)), 6),
                    "bbox": [*moved.min(axis=0).tolist(), *np.ptp(moved, axis=0).tolist()],
                }
            )
    return entries
