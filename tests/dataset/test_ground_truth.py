"""Annotated people that evaluation would misread are refused, each by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from tests.support.datasets import TINY_CONFIG, write_dataset
from tests.support.programs import CPU, Outcome, error

FILE = "annotations/person_keypoints_val2017.json"


class Missing:
    """A key that is not there."""


NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400
WRONG: dict[str, tuple[str, list[Any]]] = {
    "id": ("an integer id of its own", [Missing, 0, 1, "3", 3.0, True, None, HUGE]),
    "image_id": ("the image_id of one of its images", [Missing, 7, "1000", 1000.0, []]),
    "category_id": ("the category_id of one of its categories", [Missing, 2, 0, "1", {}]),
    "keypoints": (
        "51 numbers as keypoints",
        [
            *(Missing, [], [1.0] * 50, [1.0] * 52, "x" * 51, 7, [[1.0] * 51]),
            *([*[1.0] * 50, last] for last in (NAN, INFINITY, 1e300, HUGE, "1", None, True)),
        ],
    ),
    "bbox": (
        "x, y, width, height as bbox",
        [Missing, [1, 2, 3], [NAN, 1, 1, 1], [1, 1, -1, 1], [1, 1, 1, -0.5], [1, None, 1, 1], {}],
    ),
    "area": ("an area, not negative", [Missing, -1, NAN, -INFINITY, "9", [], HUGE]),
    "num_keypoints": ("num_keypoints of 0 to 17", [Missing, -1, 18, 1.5, "17", True]),
    "iscrowd": ("iscrowd, 0 or 1", [Missing, 2, -1, "0", None, []]),
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [(key, value, expected) for key, (expected, values) in WRONG.items() for value in values],
    ids=[f"{key} {place}" for key, (_, values) in WRONG.items() for place in range(len(values))],
)
def test_a_person_that_would_be_misread(tiny_data: Path, tmp_path: Path, key: str, value: Any, expected: str):
    content = json.loads((tiny_data / FILE).read_text())
    del content["annotations"][2][key]
    if value is not Missing:
        content["annotations"][2][key] = value
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"annotation file {file}: annotations\[2\] is .*, expected {expected}"):
        coco.load(file, coco.COCO)
    assert len(coco.load(file).images) == 7, "images alone are read all the same"


NO_LISTS: tuple[Any, ...] = (Missing, {}, None, 7)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *[("annotations", value, "has no list of annotations") for value in NO_LISTS],
        *[
            ("categories", value, "has no list of categories with ids")
            for value in (*NO_LISTS, [1], [{}], [{"id": "1"}])
        ],
        ("categories", [], r"has categories of ids \[\], expected each once and 1"),
        ("categories", [{"id": 2}], r"has categories of ids \[2\]"),
        ("categories", [{"id": 1}, {"id": 1}], r"has categories of ids \[1\], expected each once"),
    ],
)
def test_lists_that_are_missing(tiny_data: Path, tmp_path: Path, key: str, value: object, message: str):
    content = json.loads((tiny_data / FILE).read_text())
    del content[key]
    if value is not Missing:
        content[key] = value
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        coco.load(tmp_path / "a.json", coco.COCO)


def test_coco_s_own_people_pass(coco_mini: Path):
    assert len(coco.load(coco_mini / FILE, coco.COCO).images) == 79


def test_sound_people_pass(tiny_data: Path, tmp_path: Path):
    """Crowds without keypoints and CrowdPose's people, who have no area, among them."""
    assert len(coco.load(tiny_data / FILE, coco.COCO).images) == 7
    content = json.loads((tiny_data / FILE).read_text())
    content["annotations"][0] |= {"iscrowd": 1, "num_keypoints": 0, "keypoints": [0] * 51}
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    assert len(coco.load(tmp_path / "crowd.json", coco.COCO).images) == 7
    for row in content["annotations"]:
        del row["area"]
        row["keypoints"] = row["keypoints"][: 3 * 14]
        row["num_keypoints"] = 14
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert len(coco.load(tmp_path / "a.json", coco.CROWD_POSE).images) == 7


def test_they_are_refused_before_the_work(script: Callable[..., Outcome], tiny_onnx: Path, tmp_path: Path):
    data = write_dataset(tmp_path / "coco")
    content = json.loads((data / FILE).read_text())
    content["annotations"][3]["area"] = float("nan")
    (data / FILE).write_text(json.dumps(content))
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", data, "OUTPUT_DIR", tmp_path / "output"]
    both = ["--dump_dir", tmp_path, "--dump_dir_flip", tmp_path]
    model = ["--work", tmp_path / "work", *CPU, "--model", tiny_onnx]
    for program in (
        ["HigherHRNet_postprocess", *both, *where],
        ["higherhrnet.__main__", "run", *model, *where],
        ["higherhrnet.__main__", "merge", *where],
    ):
        outcome = script(*program)
        error(outcome)
        assert outcome.err.startswith(f"error: annotation file {data / FILE}: annotations[3] is ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]
