"""Who was found, whoever found them: to compare ``predict`` with the six scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.cli import predict
from higherhrnet.dataset import coco
from tests.support.programs import CPU

Person = tuple[int, list[float], float, list[float]]
"""Of which image, keypoints, score and box."""


def found_by_predict(root: Path, work: Path, *network: object, step: int = 1) -> list[Person]:
    """Everybody that ``predict --save json`` finds in a data set's pictures, without its filters and without turning.

    ``network``: its flags; the model is that in ``work``'s models/; ``step``: of the pictures, as in a slice
    """
    images = coco.load(coco.Location(str(root), "val2017").annotations).images[::step]
    pictures = [root / "images/val2017" / image.file_name for image in images]
    everybody = ("--min_score", 0, "--oks_nms", 0, "--no_exif")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        predict.main([str(arg) for arg in (*pictures, "--output", "poses", *everybody, *CPU, *network)])
    entries = json.loads((work / "poses/poses.json").read_text())
    return [_person(int(Path(entry["source"]).stem), entry) for entry in entries]


def found_by_scripts(work: Path, root: Path, *, step: int = 1) -> list[Person]:
    """Everybody of the same pictures in the one results file below ``work``."""
    (results,) = work.rglob("keypoints_val2017_results.json")
    images = {image.image_id for image in coco.load(coco.Location(str(root), "val2017").annotations).images[::step]}
    return [_person(e["image_id"], e) for e in json.loads(results.read_text()) if e["image_id"] in images]


def _person(image: int, entry: dict[str, Any]) -> Person:
    return image, entry["keypoints"], entry["score"], entry["bbox"]
