"""Average precision."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import cocoeval

from higherhrnet.dataset import coco, coco_results, evaluation, joints
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import UserError
from tests.support import crowd_pose, golden


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


def test_a_package_that_fails_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch):
    """As crowdposetools and older ones with NumPy 1.24, which has no np.float: before any work, and not the data's."""
    monkeypatch.setattr(cocoeval.COCOeval, "accumulate", lambda _: vars(np)["float"])
    with pytest.raises(UserError, match=r"pycocotools [0-9.]+, which .*, fails \(KeyError: .*pip install --upgr"):
        evaluation.require()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_the_reader_takes_is_evaluated(tiny_data: Path, tmp_path: Path, encoding: str):
    """The evaluation gets the parsed content: pycocotools' own reader refuses a byte order mark."""
    dataset, annotations = truth(tiny_data)
    (tmp_path / "a.json").write_text(dataset.annotations.read_text(), encoding=encoding)
    coco_results.write(tmp_path / "r.json", perfect(annotations))
    loaded = coco.load(tmp_path / "a.json", EvaluationProtocol())
    assert evaluation.evaluate(loaded, tmp_path / "r.json", [i.image_id for i in loaded.images])["AP"] > 0.999


def test_golden_figures(tmp_path: Path):
    """Of drawn people, medium and large, some moved, missed and invented."""
    dataset = coco.load(golden.annotate(tmp_path))
    coco_results.write(tmp_path / "results.json", golden.results(dataset.annotations))
    figures = evaluation.evaluate(dataset, tmp_path / "results.json", [i.image_id for i in dataset.images])
    assert figures == pytest.approx(golden.read("figures.json"), abs=1e-6)


def test_the_table_is_the_official_one():
    figures = dict.fromkeys(evaluation.STATISTICS, 0.5) | {"AP": 0.67149}
    assert evaluation.table(figures, "pose_higher_hrnet").splitlines() == [
        "| Arch | AP | Ap .5 | AP .75 | AP (M) | AP (L) | AR | AR .5 | AR .75 | AR (M) | AR (L) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        "| pose_hig... | 0.671 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |",
    ]


CROWD_POSE = EvaluationProtocol(joints.CROWD_POSE, crowd_pose=True)


@pytest.fixture(scope="module")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the made CrowdPose data set, whole and in part, and its results."""
    folder = tmp_path_factory.mktemp("crowds")
    content = crowd_pose.annotation_file()
    entries = crowd_pose.results(content)
    digest = hashlib.sha256(json.dumps([content, entries]).encode()).hexdigest()
    assert digest == golden.read("crowd_pose.json")["made_of"], "what the original package was run on"
    for name, (truth_, found) in {"all": (content, entries), "part": crowd_pose.part(content, entries)}.items():
        (folder / f"{name}.json").write_text(json.dumps(truth_))
        (folder / f"{name}_results.json").write_text(json.dumps(found))
    return folder


@pytest.mark.parametrize(
    ("annotations", "of", "figures"),
    [
        ("all", "all", "all"),
        ("part", "part", "part"),
        # Dumps of some of a file's images, by --limit, shards or bad images: the figures that a file of those has.
        ("all", "part", "part"),
    ],
)
def test_crowd_pose_s_figures_are_its_own_package_s(crowds: Path, annotations: str, of: str, figures: str):
    dataset = coco.load(crowds / f"{annotations}.json", CROWD_POSE)
    ids = [image["id"] for image in json.loads((crowds / f"{of}.json").read_text())["images"]]
    found = evaluation.evaluate(dataset, crowds / f"{annotations}_results.json", ids, CROWD_POSE)
    assert tuple(found) == evaluation.CROWD_POSE_STATISTICS
    assert found == pytest.approx(golden.read("crowd_pose.json")[figures], abs=1e-6)


def test_crowds_without_images_are_named(crowds: Path):
    dataset = coco.load(crowds / "all.json", CROWD_POSE)
    easy = [image.image_id for image in dataset.images][::10]
    found = evaluation.evaluate(dataset, crowds / "all_results.json", easy, CROWD_POSE)
    assert (found["AP (medium)"], found["AP (hard)"]) == (-1, -1)
    assert found["AP (easy)"] == pytest.approx(found["AP"], abs=1e-4)
    assert evaluation.undefined(found).startswith("AP (medium), AP (hard) of -1 are undefined")
