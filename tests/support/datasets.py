"""Where things lie, and small data sets to run on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from higherhrnet.dataset import joints

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden"
TINY_CONFIG = ROOT / "tests/data/tiny.yaml"
DEMO_CONFIG, DEMO_WEIGHTS = ROOT / "experiments/demo/w16_512.yaml", ROOT / "demo/weights/w16_512.pth"

TINY_SIDE = 128
"""TINY_CONFIG's DATASET.INPUT_SIZE."""
TINY_IMAGES = ((640, 480), (480, 640), (500, 500), (900, 450), (300, 600), (990, 300), (640, 480))
"""They reach all five of TINY_CONFIG's shapes: square, wide, tall, the longest, and one whose ends are cut off."""
TINY_RESULTS = "output/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"
"""Where people of TINY_CONFIG's network go, from the current directory."""


def write_dataset(root: Path, sizes: tuple[tuple[int, int], ...] = TINY_IMAGES, seed: int = 0) -> Path:
    """Write images of (width, height) in ``sizes``, with one annotated person each, in COCO layout; return ``root``."""
    rng = np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True)
    (root / "images/val2017").mkdir(parents=True)
    images, annotations = [], []
    for index, (width, height) in enumerate(sizes):
        image_id = 1000 + 7 * index  # ids are not indices
        noise = rng.integers(0, 256, (height // 20, width // 20, 3), np.uint8)
        pixels = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        file_name = f"{image_id:012d}.jpg"
        cv2.imwrite(str(root / "images/val2017" / file_name), pixels)
        images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        x = rng.uniform(0.3, 0.7, 17) * width
        y = rng.uniform(0.2, 0.8, 17) * height
        box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
        annotations.append(
            {
                "id": index + 1,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": 17,
                "keypoints": np.stack((x.round(), y.round(), np.full(17, 2)), axis=1).ravel().tolist(),
                "bbox": [float(v) for v in box],
                "area": float(box[2] * box[3]),
                "segmentation": [],
            }
        )
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": joints.COCO.names, "skeleton": []}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (root / "annotations/person_keypoints_val2017.json").write_text(json.dumps(content))
    return root
