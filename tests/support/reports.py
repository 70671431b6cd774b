"""Files of a small report: pictures with people, results of them, and other results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.support import crowd

HOSTILE = "<img onerror=alert(1) src=x>$x$.jpg"
"""A file's name that is markup, and a formula too."""


@dataclass(frozen=True)
class Files:
    """Of a data set in COCO layout below ``root``."""

    root: Path
    content: dict[str, Any]
    results: Path
    against: Path

    @property
    def annotations(self) -> Path:
        """Of val2017."""
        return self.root / "annotations/person_keypoints_val2017.json"


def write(root: Path, *, images: int = 12) -> Files:
    """Write all files. The second picture of the data set is called HOSTILE, the last one's is missing."""
    content = crowd.drawn(images, seed=8)
    content["images"][1]["file_name"] = HOSTILE
    rng = np.random.default_rng(8)
    clean = crowd.exact(content, rng, noise=0.3)
    files = Files(root, content, root / "results.json", root / "against.json")
    (root / "annotations").mkdir(parents=True)
    (root / "images/val2017").mkdir(parents=True)
    files.annotations.write_text(json.dumps(content))
    files.results.write_text(json.dumps(crowd.spoil(content, clean, rng).entries))
    files.against.write_text(json.dumps(crowd.spoil(content, clean, rng).entries))
    width, height = crowd.SIDE
    for row in content["images"][:-1]:
        pixels = cv2.resize(rng.integers(60, 200, (6, 8, 3), np.uint8), (width, height))
        cv2.imencode(".jpg", pixels)[1].tofile(root / "images/val2017" / row["file_name"])
    return files
