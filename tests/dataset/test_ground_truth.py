"""Annotated people that evaluation would misread are refused, each by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from hypothesis.strategies import integers

from higherhrnet.dataset import coco, ground_truth, joints
from higherhrnet.dataset.ground_truth import EvaluationProtocol, Truth
from higherhrnet.errors import UserError
from tests.support.datasets import TINY_CONFIG, write_dataset
from tests.support.programs import CPU, Outcome, error

COCO, CROWD_POSE = EvaluationProtocol(), EvaluationProtocol(joints.CROWD_POSE, crowd_pose=True)
FILE = "annotations/person_keypoints_val2017.json"


class Missing:
    """A key that is not there."""


NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400
WRONG: dict[str, tuple[str, list[Any]]] = {
    "id": ("an integer id of its own", [Missing, 1, "3", 3.0, True, None, HUGE]),
    "image_id": ("the image_id of one of its images", [Missing, 7, "1000", 1000.0, []]),
    "category_id": ("the category_id of one of its categories", [Missing, 2, 0, "1", {}]),
    "keypoints": (
        "51 numbers as keypoints",
        [
            *(Missing, [], [1.0] * 50, [1.0] * 52, "x" * 51, 7, [[1.0] * 51]),
            *([*[1.0] * 50, last] for last in (NAN, INFINITY, 1e300, HUGE, "1", None, True, 7)),
        ],
    ),
    "bbox": (
        "x, y, width, height as bbox",
        [Missing, [1, 2, 3], [NAN, 1, 1, 1], [1, 1, INFINITY, 1], [1, 1, -1, 1], [1, 1, 1, -0.5], [1, None, 1, 1], {}],
    ),
    "area": ("an area, not negative", [-1, NAN, -INFINITY, "9", [], HUGE]),
    "num_keypoints": ("num_keypoints of 0 to 17", [-1, 18, 1.5, "17", True]),
    "iscrowd": ("iscrowd, 0 or 1", [2, -1, "0", None, []]),
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
        coco.load(file, COCO)
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
        ("categories", [], r"has categories of ids \[\], expected at least one, each once"),
        ("categories", [{"id": 1}, {"id": 1}], r"has categories of ids \[1, 1\], expected at least one, each once"),
        ("categories", [{"id": 1}, {"id": 2}], "has 2 categories that people could be of, ids .1, 2."),
        ("categories", [{"id": 1, "keypoints": "nose"}], 'keypoints of category 1 are "nose", expected names'),
        ("categories", [{"id": 1, "keypoints": ["a", "a"]}], "expected names, each once"),
        ("categories", [{"id": 1, "skeleton": [1]}], "skeleton of category 1 is"),
        ("annotations", [], "has 0 annotations, none of a person with joints"),
    ],
)
def test_lists_that_are_missing(tiny_data: Path, tmp_path: Path, key: str, value: object, message: str):
    content = json.loads((tiny_data / FILE).read_text())
    del content[key]
    if value is not Missing:
        content[key] = value
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        coco.load(tmp_path / "a.json", COCO)


def test_coco_s_own_people_pass(coco_mini: Path):
    assert len(coco.load(coco_mini / FILE, COCO).images) == 79


def test_sound_people_pass(tiny_data: Path, tmp_path: Path):
    """Crowds without keypoints and CrowdPose's people, who have no area, among them."""
    assert len(coco.load(tiny_data / FILE, COCO).images) == 7
    content = json.loads((tiny_data / FILE).read_text())
    content["annotations"][0] |= {"iscrowd": 1, "num_keypoints": 0, "keypoints": [0] * 51}
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    assert len(coco.load(tmp_path / "crowd.json", COCO).images) == 7
    content["categories"][0]["keypoints"] = joints.CROWD_POSE.names
    for image in content["images"]:
        image["crowdIndex"] = 0.5
    for row in content["annotations"]:
        del row["area"]
        row["keypoints"] = row["keypoints"][: 3 * 14]
        row["num_keypoints"] = 14
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert len(coco.load(tmp_path / "a.json", CROWD_POSE).images) == 7


def changed(tiny_data: Path, tmp_path: Path, change: Callable[[dict], object]) -> Path:
    content = json.loads((tiny_data / FILE).read_text())
    change(content)
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path / "a.json"


def every(key: str, value: Any = Missing) -> Callable[[dict], object]:
    """Change a key of all annotations, or take it away."""

    def change(content: dict) -> None:
        for row in content["annotations"]:
            del row[key]
            if value is not Missing:
                row[key] = value

    return change


def derived(
    tiny_data: Path, tmp_path: Path, change: Callable[[dict], object], people: EvaluationProtocol = COCO
) -> Truth:
    dataset = coco.load(changed(tiny_data, tmp_path, change), people)
    assert dataset.truth is not None
    return dataset.truth


def test_ids_from_0_are_renumbered(tiny_data: Path, tmp_path: Path):
    def from_0(content: dict) -> None:
        for number, row in enumerate(content["annotations"]):
            row["id"] = number

    found = derived(tiny_data, tmp_path, from_0)
    assert [row["id"] for row in found.content["annotations"]] == [1, 2, 3, 4, 5, 6, 7]


def test_what_is_missing_is_derived_and_said(tiny_data: Path, tmp_path: Path):
    before = json.loads((tiny_data / FILE).read_text())["annotations"]
    found = derived(tiny_data, tmp_path, every("iscrowd"))
    assert [row["iscrowd"] for row in found.content["annotations"]] == [0] * 7
    assert found.notes == ("7 annotations lack iscrowd; it counts as 0",)
    found = derived(tiny_data, tmp_path, every("num_keypoints"))
    assert [row["num_keypoints"] for row in found.content["annotations"]] == [17] * 7
    found = derived(tiny_data, tmp_path, every("area"))
    assert [row["area"] for row in found.content["annotations"]] == [r["bbox"][2] * r["bbox"][3] for r in before]
    assert found.notes == ("7 annotations lack area; it is the box's",)


@pytest.mark.parametrize(
    ("mask", "area", "whose"),
    [
        ([[0, 0, 10, 0, 10, 20, 0, 20]], 200, "mask"),
        ([[0, 0, 10, 0, 10, 20], [30, 30, 30, 40, 40, 40]], 150, "mask"),
        ({"counts": [5, 7, 3, 4], "size": [10, 2]}, 11, "mask"),
        ([], None, "box"),
        ([[1, 2]], None, "box"),
        ({"counts": "0111", "size": [2, 2]}, 3, "mask"),  # runs of 0, 1, 1 and 1 + 1
        ({"counts": "abc", "size": [10, 2]}, None, "box"),
        ({"counts": [5, 7, 3, 40], "size": [10, 2]}, None, "box"),
        ({"counts": [5, -7], "size": [10, 2]}, None, "box"),
        ({"counts": "5N", "size": [10, 2]}, None, "box"),
        ({"counts": "\u00e9", "size": [10, 2]}, None, "box"),
        ({"counts": "o" * 99, "size": [10, 2]}, None, "box"),
        ({"counts": "5"}, None, "box"),
    ],
)
def test_an_area_comes_from_the_mask_first(tiny_data: Path, tmp_path: Path, mask: Any, area: float | None, whose: str):
    def change(content: dict) -> None:
        every("area")(content)
        every("segmentation", mask)(content)

    found = derived(tiny_data, tmp_path, change)
    row = found.content["annotations"][0]
    assert row["area"] == (row["bbox"][2] * row["bbox"][3] if area is None else area)
    assert found.notes == (f"7 annotations lack area; it is the {whose}'s",)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=60), elements=integers(0, 1)))
def test_compressed_masks_have_pycocotools_areas(mask: np.ndarray):
    """As it writes them itself: the annotations of crowds in COCO's own files, and what label tools give."""
    rle = pycocotools.mask.encode(np.asfortranarray(mask))
    text = {"size": rle["size"], "counts": rle["counts"].decode()}
    assert ground_truth._mask_area(text) == pycocotools.mask.area(rle) == mask.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (every("area", 0), r"annotations\[0\] is .*, expected an area above 0: a person with joints and without area"),
        (every("num_keypoints", 0), "expected num_keypoints of 17, which have a visibility: a person of 0 does not"),
        (every("keypoints", [1.0, 2.0, 0] * 17), "expected num_keypoints of 0, which have a visibility"),
        (every("iscrowd", 1), "has 7 annotations, none of a person with joints: all figures would be -1"),
        (every("keypoints", [1.0, 2.0, 2] * 18), r"51 numbers .* of 17 joints \(this has 18, the config 17\)"),
    ],
)
def test_what_would_give_a_wrong_figure(tiny_data: Path, tmp_path: Path, change, message: str):
    with pytest.raises(UserError, match=message):
        coco.load(changed(tiny_data, tmp_path, change), COCO)


def test_crowd_pose_s_own_counts_are_taken_as_its_package_takes_them(tiny_data: Path, tmp_path: Path):
    """In its published file 954 of 8,527 people have joints and a num_keypoints of 0, or the reverse."""

    def change(content: dict) -> None:
        content["categories"][0] |= {"keypoints": joints.CROWD_POSE.names, "skeleton": [[16, 14], [14, 12]]}
        for image in content["images"]:
            image["crowdIndex"] = 0.5
        for row in content["annotations"]:
            row["keypoints"] = row["keypoints"][: 3 * 14]
            row["num_keypoints"] = row["id"] % 2

    found = derived(tiny_data, tmp_path, change, CROWD_POSE)
    assert [row["num_keypoints"] for row in found.content["annotations"]] == [1, 0, 1, 0, 1, 0, 1]
    row = found.content["annotations"][0]
    assert row["area"] == row["bbox"][2] * row["bbox"][3] * 0.53

    def without_index(content: dict) -> None:
        change(content)
        del content["images"][3]["crowdIndex"]

    with pytest.raises(UserError, match="has a crowdIndex of None, expected a number"):
        derived(tiny_data, tmp_path, without_index, CROWD_POSE)


@pytest.mark.parametrize(("categories", "person"), [([{"id": 0}], 0), ([{"id": 9, "name": "human"}], 9)])
def test_people_are_of_any_one_category(tiny_data: Path, tmp_path: Path, categories: list[dict], person: int):
    def change(content: dict) -> None:
        content["categories"] = categories
        every("category_id", person)(content)

    dataset = coco.load(changed(tiny_data, tmp_path, change), COCO)
    assert dataset.person == person, "which results have too"
    assert dataset.truth is not None
    assert {row["category_id"] for row in dataset.truth.content["annotations"]} == {1}


def test_other_categories_do_not_count(tiny_data: Path, tmp_path: Path):
    """COCOeval would average over them, where people have one category."""

    def change(content: dict) -> None:
        content["categories"].append({"id": 18, "name": "dog"})
        content["annotations"][0]["category_id"] = 18

    found = derived(tiny_data, tmp_path, change)
    assert len(found.content["annotations"]) == 6
    assert found.notes == ("1 annotations of other categories do not count",)


def in_another_order(content: dict) -> None:
    """The nose comes last."""
    names = content["categories"][0]["keypoints"]
    content["categories"][0]["keypoints"] = [*names[1:], names[0]]
    for row in content["annotations"]:
        row["keypoints"] = [*row["keypoints"][3:], *row["keypoints"][:3]]


def test_joints_in_another_order_are_refused_or_reordered(tiny_data: Path, tmp_path: Path):
    message = r"has coco's joints in another order \(joint 0 is 'left_eye', not 'nose'\); .*DATASET.JOINTS coco, and"
    with pytest.raises(UserError, match=message):
        coco.load(changed(tiny_data, tmp_path, in_another_order), COCO)
    found = derived(tiny_data, tmp_path, in_another_order, EvaluationProtocol(chosen=True))
    expected = json.loads((tiny_data / FILE).read_text())["annotations"]
    assert [row["keypoints"] for row in found.content["annotations"]] == [row["keypoints"] for row in expected]
    assert found.notes == ("the annotations' joints are in another order than coco's; they were reordered",)


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((*joints.COCO.names[:-1], "tail"), r"has joints of other names \('tail', for example\) than coco"),
        (joints.COCO.names[:-1], "has 16 joints in its categories, coco has 17"),
    ],
)
def test_joints_of_other_names_are_refused(
    tiny_data: Path, tmp_path: Path, names: tuple[str, ...], message: str, chosen: bool
):
    def change(content: dict) -> None:
        content["categories"][0]["keypoints"] = names

    with pytest.raises(UserError, match=message):
        coco.load(changed(tiny_data, tmp_path, change), EvaluationProtocol(chosen=chosen))


def test_they_are_refused_before_the_work(script: Callable[..., Outcome], tiny_onnx: Path, tmp_path: Path):
    data = write_dataset(tmp_path / "coco")
    content = json.loads((data / FILE).read_text())
    content["annotations"][3]["area"] = float("nan")
    (data / FILE).write_text(json.dumps(content))
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", data, "OUTPUT_DIR", tmp_path / "output"]
    both = ["--dump_dir", tmp_path, "--dump_dir_flip", tmp_path]
    model = ["--work", tmp_path / "work", *CPU, "--model", tiny_onnx]
    trees = ["--output", tmp_path / "bins", "--output_flip", tmp_path / "flip", "--workers", 1]
    for program in (
        ["HigherHRNet_preprocess", *trees, *where],
        ["HigherHRNet_postprocess", *both, *where],
        ["higherhrnet.__main__", "run", *model, *where],
        ["higherhrnet.__main__", "merge", *where],
    ):
        outcome = script(*program)
        error(outcome)
        assert outcome.err.startswith(f"error: annotation file {data / FILE}: annotations[3] is ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]
    assert script("HigherHRNet_preprocess", *trees, "--no_eval", *where).status == 0
