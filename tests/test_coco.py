"""coco: data sets, results and their average precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.errors import UserError


def test_images_come_in_the_file_s_order(tiny_data: Path):
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    assert [i.index for i in dataset.images] == list(range(7))
    assert dataset.images[1] == coco.Image(1, 1007, "000000001007.jpg", width=480, height=640)
    assert coco.Location(str(tiny_data), "val2017").picture(dataset.images[1]).is_file()


def test_the_fingerprint_follows_order_and_sizes_but_not_the_place(tiny_data: Path, tmp_path: Path):
    original = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    content = json.loads(original.annotations.read_text())

    def fingerprint(images: list[dict]) -> str:
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"images": images}))
        return coco.load(path).fingerprint

    assert fingerprint(content["images"]) == original.fingerprint
    assert fingerprint(content["images"][::-1]) != original.fingerprint
    assert fingerprint([{**content["images"][0], "width": 641}, *content["images"][1:]]) != original.fingerprint


GOOD = {"id": 1, "file_name": "1.jpg", "width": 4, "height": 3}


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "lists no images"),
        ({"images": []}, "lists no images"),
        ({"images": [{**GOOD, "width": 0}]}, r"images\[0\].*positive width"),
        ({"images": [{**GOOD, "id": "1"}]}, "an integer id"),
        ({"images": [{**GOOD, "height": 3.5}]}, "positive width and height"),
        ({"images": [GOOD, {"id": 2}]}, r"images\[1\] lacks 'file_name'"),
        ({"images": [GOOD, GOOD]}, "2 images share 1 ids"),
        ({"images": [{**GOOD, "file_name": "../1.jpg"}]}, "inside the image folder"),
        ({"images": [{**GOOD, "file_name": "/etc/passwd"}]}, "inside the image folder"),
        ({"images": [7]}, "malformed"),
    ],
)
def test_wrong_annotation_files_are_refused(tmp_path: Path, content, message: str):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        coco.load(path)


def test_results_by_hand():
    person = np.zeros((1, 17, 3))
    person[0, 0] = 10, 20, 0.5
    person[0, 1] = 30, 25, 1.0
    (entry,) = coco_results.entries(7, person, np.array([0.75]))
    assert entry["image_id"] == 7
    assert entry["category_id"] == 1
    assert entry["keypoints"][:6] == [10, 20, 0.5, 30, 25, 1.0]
    assert entry["score"] == 0.75
    assert entry["bbox"] == [0, 0, 30, 25], "missing joints at 0, 0 count, as in the official code"


def truth(tiny_data: Path) -> tuple[coco.Dataset, list[dict]]:
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    return dataset, json.loads(dataset.annotations.read_text())["annotations"]


def perfect(annotations: list[dict]) -> list[dict]:
    return [
        entry
        for a in annotations
        for entry in coco_results.entries(
            a["image_id"], np.array(a["keypoints"], float).reshape(1, 17, 3), np.array([0.9])
        )
    ]


def test_the_truth_itself_has_an_ap_of_1(tiny_data: Path, tmp_path: Path):
    dataset, annotations = truth(tiny_data)
    coco_results.write(tmp_path / "r.json", perfect(annotations))
    figures = evaluation.evaluate(dataset, tmp_path / "r.json", [i.image_id for i in dataset.images])
    assert tuple(figures) == evaluation.STATISTICS
    assert figures["AP"] == pytest.approx(1)
    assert figures["AR"] == pytest.approx(1)


def test_half_the_people_are_half_the_recall_unless_the_others_are_left_out(tiny_data: Path, tmp_path: Path):
    dataset, annotations = truth(tiny_data)
    coco_results.write(tmp_path / "r.json", perfect(annotations[:3]))
    everything = evaluation.evaluate(dataset, tmp_path / "r.json", [i.image_id for i in dataset.images])
    assert everything["AR"] == pytest.approx(3 / 7)
    some = evaluation.evaluate(dataset, tmp_path / "r.json", [i.image_id for i in dataset.images[:3]])
    assert some["AR"] == pytest.approx(1)


def test_nobody_found_is_an_ap_of_0(tiny_data: Path, tmp_path: Path):
    dataset, _ = truth(tiny_data)
    coco_results.write(tmp_path / "r.json", [])
    figures = evaluation.evaluate(dataset, tmp_path / "r.json", [i.image_id for i in dataset.images])
    assert figures["AP"] == 0


@pytest.mark.tries("input")
def test_annotations_without_boxes_are_named(tiny_data: Path, tmp_path: Path):
    dataset, annotations = truth(tiny_data)
    content = json.loads(dataset.annotations.read_text())
    del content["annotations"][0]["area"]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    coco_results.write(tmp_path / "r.json", perfect(annotations))
    with pytest.raises(UserError, match=r"a\.json cannot be evaluated \(KeyError: 'area'\)"):
        evaluation.evaluate(coco.load(path), tmp_path / "r.json", [1000])


def test_golden_figures(shared: Path):
    dataset = coco.load(coco.Location(str(shared / "data/coco_mini"), "val2017").annotations)
    expected = json.loads((shared / "golden/decode/expected_stats.json").read_text())
    results = shared / "golden/decode/expected_results.json"
    figures = evaluation.evaluate(dataset, results, [i.image_id for i in dataset.images])
    assert figures == pytest.approx(expected, abs=1e-6)


def test_the_table_is_the_official_one():
    figures = dict.fromkeys(evaluation.STATISTICS, 0.5) | {"AP": 0.67149}
    assert evaluation.table(figures, "pose_higher_hrnet").splitlines() == [
        "| Arch | AP | Ap .5 | AP .75 | AP (M) | AP (L) | AR | AR .5 | AR .75 | AR (M) | AR (L) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        "| pose_hig... | 0.671 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |",
    ]
