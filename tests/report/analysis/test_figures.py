"""The official figures, and the draws of the bootstrap, against the official evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet.dataset import coco, evaluation, joints
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.report.analysis import figures, people
from higherhrnet.report.analysis.evaluator import Evaluator
from higherhrnet.report.analysis.figures import Draws
from tests.support import crowd, crowd_pose, golden, official_figures


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Annotated scenes, and results of them: people moved, missed and invented."""
    path = golden.annotate(tmp_path_factory.mktemp("scenes"))
    return path, golden.results(path)


Scenes = tuple[Path, list[dict[str, Any]]]


def test_the_ten_figures_are_the_official_ones(scenes: Scenes, tmp_path: Path) -> None:
    path, entries = scenes
    (tmp_path / "results.json").write_text(json.dumps(entries))
    dataset = coco.load(path)
    official = evaluation.evaluate(dataset, tmp_path / "results.json", [i.image_id for i in dataset.images])
    ours = crowd.evaluator(json.loads(path.read_text()), entries)
    found = figures.read(figures.parts(ours, coco.COCO, None), coco.COCO)
    assert tuple(found) == evaluation.STATISTICS
    assert found == pytest.approx(official, abs=1e-9)
    assert found == pytest.approx(golden.read("figures.json"), abs=1e-6)


def test_a_draw_is_an_evaluation_of_pictures_that_are_there_several_times(scenes: Scenes) -> None:
    path, entries = scenes
    content = json.loads(path.read_text())
    parts = figures.parts(crowd.evaluator(content, entries), coco.COCO, None)
    ids = sorted(row["id"] for row in content["images"])
    for number in range(4):
        times = Draws(len(ids), 1, seed=7).times(number)
        assert times.sum() == len(ids)
        images, annotations, repeated = [], [], []
        for image_id, count in zip(ids, times.tolist(), strict=True):
            for copy in range(count):
                new = image_id + 10**6 * copy
                images.append({"id": new, "file_name": "x.jpg", "width": 9, "height": 9})
                annotations += [
                    row | {"image_id": new, "id": row["id"] + 10**6 * copy}
                    for row in content["annotations"]
                    if row["image_id"] == image_id
                ]
                repeated += [entry | {"image_id": new} for entry in entries if entry["image_id"] == image_id]
        official = official_figures.evaluate(content | {"images": images, "annotations": annotations}, repeated)
        drawn = figures.read(parts, coco.COCO, times)
        assert drawn["AP"] == pytest.approx(official.precision.mean(), abs=1e-9)
        assert drawn["AR"] == pytest.approx(official.recall.mean(), abs=1e-9)


def test_the_bootstrap_has_a_seed(scenes: Scenes) -> None:
    path, entries = scenes
    parts = figures.parts(crowd.evaluator(json.loads(path.read_text()), entries), coco.COCO, None)
    first, again, other = (figures.resampled(parts, coco.COCO, Draws(12, 20, seed))["AP"] for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()
    interval = figures.interval(first)
    assert interval is not None
    low, high = interval
    assert low < figures.read(parts, coco.COCO)["AP"] < high


def test_an_undefined_figure_has_no_interval() -> None:
    assert figures.interval(np.array([np.nan, np.nan])) is None
    assert figures.interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)


def test_crowd_pose_s_nine_figures_are_cocoeval_s_with_its_areas_and_groups() -> None:
    """Crowdposetools is COCOeval with areas of 0.53 of the boxes', its own sigmas, and groups by crowd index."""
    names = joints.CROWD_POSE
    content = crowd.drawn(12, seed=3, names=names)
    rng = np.random.default_rng(1)
    entries = crowd.exact(content, rng, noise=0.9)
    index = {row["id"]: float(rng.choice([0.1, 0.2, 0.5, 0.8, 0.9])) for row in content["images"]}
    ids = list(index)
    for row in content["annotations"]:
        row["area"] = 0.53 * row["bbox"][2] * row["bbox"][3]
    truth = people.truth(content, ids, joints=14)
    found = people.found(entries, truth.images, joints=14)
    sigmas = np.array([0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79]) / 10
    ours = Evaluator(truth, found, sigmas, names.flip)
    values = figures.read(figures.parts(ours, coco.CROWD_POSE, index), coco.CROWD_POSE)
    assert tuple(values) == tuple(evaluation.CROWD_POSE_STATISTICS)

    def official(chosen: list[int]) -> official_figures.Official:
        return official_figures.evaluate(content, entries, image_ids=chosen, sigmas=sigmas.tolist())

    of_all = official(ids)
    assert values["AP"] == pytest.approx(of_all.precision.mean(), abs=1e-9)
    assert values["AR .75"] == pytest.approx(of_all.recall[5].mean(), abs=1e-9)
    for name, low, high in (("easy", 0, 0.2), ("medium", 0.2, 0.8), ("hard", 0.8, 1.1)):
        chosen = [image_id for image_id, value in index.items() if low <= value < high]
        assert values[f"AP ({name})"] == round(official(chosen).precision.mean(), 4)
    without = figures.read(figures.parts(ours, coco.CROWD_POSE, None), coco.CROWD_POSE)
    assert "AP (easy)" not in without
    assert without.items() <= values.items()


def test_crowd_pose_s_nine_figures_are_its_own_package_s(tmp_path: Path) -> None:
    """Of the original package (golden/crowd_pose.json), on 240 made images and on part of them."""
    content = crowd_pose.annotation_file()
    entries = crowd_pose.results(content)
    (tmp_path / "a.json").write_text(json.dumps(content))
    as_ = EvaluationProtocol(joints.CROWD_POSE, crowd_pose=True)
    read = coco.load(tmp_path / "a.json", as_).truth
    assert read is not None
    for name, (part, _) in {"all": (content, entries), "part": crowd_pose.part(content, entries)}.items():
        ids = {row["id"] for row in part["images"]}
        truth = people.truth(read.content, ids, joints=14)
        found = people.found(entries, truth.images, joints=14)
        ours = Evaluator(truth, found, np.array(as_.joints.sigmas), as_.joints.flip)
        index = {row["id"]: row["crowdIndex"] for row in content["images"]}
        values = figures.read(figures.parts(ours, coco.CROWD_POSE, index), coco.CROWD_POSE)
        assert values == pytest.approx(golden.read("crowd_pose.json")[name], abs=1e-6)
