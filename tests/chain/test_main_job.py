"""The main job on real images: the guide's commands in its order, and people decoded from annotated images.

Needs the COCO images beside the repository; test_demo.py has the same chain on generated ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demo.synthesis import synthesise
from higherhrnet.artifacts import dumps
from higherhrnet.dataset import coco, evaluation
from higherhrnet.image import geometry
from tests.support.datasets import TINY_CONFIG
from tests.support.found import found_by_predict, found_by_scripts
from tests.support.programs import CPU, FLIP, PLAIN, Outcome


@pytest.fixture
def data(coco_mini: Path) -> Path:
    return coco_mini


def one_of_each_shape(data: Path, root: Path, *, smallest: bool = False) -> Path:
    """A data set of the first image of each input shape, and of those that are longer than the shapes; its root.

    ``smallest``: only that of the smallest shape.
    """
    file = coco.Location(str(data), "val2017").annotations
    content = json.loads(file.read_text())
    chosen: dict[object, dict] = {}
    for image in content["images"]:
        grid = geometry.fit(image["width"], image["height"], 512)
        chosen.setdefault((image["id"],) if grid.is_cut else grid.shape, image)
    content["images"] = [chosen[512, 512]] if smallest else list(chosen.values())
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    (root / "annotations").mkdir(parents=True)
    coco.Location(str(root), "val2017").annotations.write_text(json.dumps(content))
    (root / "images").symlink_to(data / "images")
    return root


def six_scripts(
    call: Callable[..., str], weights: Path, root: Path, *network: object, workers: int = 1
) -> tuple[str, str, str, str]:
    """The guide's steps; what preprocessing, the benchmark, postprocessing and the table said."""
    data = ("DATASET.ROOT", root)
    trees = ("--output", "prep_bin", "--output_flip", "prep_bin_flip", "--workers", workers)
    made = call("HigherHRNet_preprocess", *trees, *network, *data)
    call("gen_dataset_info", "bin", "prep_bin", "./prep_bin")
    call("gen_dataset_info", "bin", "prep_bin_flip", "./prep_bin_flip")
    call("HigherHRNet_pth2onnx", "--weights", weights, *network)
    run = call("HigherHRNet_benchmark", "--bs", "1", *CPU, *network)
    dump_dirs = ("--dump_dir", f"result/{PLAIN}", "--dump_dir_flip", f"result/{FLIP}", "--workers", workers)
    people = call("HigherHRNet_postprocess", *dump_dirs, *network, *data)
    return made, run, people, call("HigherHRNet_performance")


def shapes(table: str) -> set[str]:
    return {line.split()[0] for line in table.splitlines() if line.startswith("(")}


def test_six_scripts_and_predict_with_seeded_w32_weights(
    data: Path, script: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """W32-512 at its full size. Its people mean nothing; that every stage takes what the one before left does.

    ``predict`` finds the same people in the picture alone.
    """
    import torch  # noqa: PLC0415

    from tests.support.networks import build  # noqa: PLC0415

    weights = tmp_path / "models/seeded_w32_512.pth"
    weights.parent.mkdir()
    torch.save(build().state_dict(), weights)
    monkeypatch.chdir(tmp_path)

    def call(name: str, *args: object) -> str:
        outcome = script(name, *args)
        assert outcome.status == 0, (name, outcome)
        return outcome.out

    root = one_of_each_shape(data, tmp_path / "coco", smallest=True)
    made, run, people, table = six_scripts(call, weights, root)
    assert made.startswith("1 images in prep_bin and prep_bin_flip\n")
    assert f"1 images in result/{PLAIN} and result/{FLIP}" in run
    assert "people in 1 images" in people
    assert people.splitlines()[-1].startswith("| pose_hig... | 0.")
    assert shapes(table)

    found = found_by_predict(root, tmp_path)
    assert found == found_by_scripts(tmp_path, root)
    assert len(found) > 20


def test_six_scripts_on_real_images_of_every_shape(
    data: Path, script: Callable[..., Outcome], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The guide's shapes, with the small network; and ``predict`` on some of the pictures."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *args: object) -> str:
        outcome = script(name, *args)
        assert outcome.status == 0, (name, outcome)
        return outcome.out

    network = ("--cfg", TINY_CONFIG, "DATASET.INPUT_SIZE", 512)
    root = one_of_each_shape(data, tmp_path / "coco")
    made, run, people, table = six_scripts(call, tiny_weights, root, *network, workers=2)
    assert made.splitlines()[1].startswith("2 images are longer than the input shapes")
    assert f"13 images in result/{PLAIN} and result/{FLIP}" in run
    assert "people in 13 images" in people
    assert people.splitlines()[-1].startswith("| pose_hig... | 0.")
    assert len(shapes(table)) == 12
    found = found_by_predict(root, tmp_path, *network[:2], "--set", *network[2:], step=4)
    assert found == found_by_scripts(tmp_path, root, step=4)
    assert len(found) > 50


def test_annotated_people_come_back(
    data: Path, script: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Dumps as a good network would leave them decode to nearly all that was annotated: AP 0.992 and no less.

    What is missing to 1 are people whose keypoints are hidden under another's peaks.
    """
    dataset = coco.load(coco.Location(str(data), "val2017").annotations)
    people: dict[int, list[np.ndarray]] = {}
    for annotation in json.loads(dataset.annotations.read_text())["annotations"]:
        if annotation["num_keypoints"]:
            keypoints = np.array(annotation["keypoints"], float).reshape(17, 3)
            people.setdefault(annotation["image_id"], []).append(keypoints)
    directories = tmp_path / "plain", tmp_path / "flip"
    for directory in directories:
        directory.mkdir()
    rng = np.random.default_rng(0)
    for image in dataset.images:
        if image.image_id in people:
            grid = geometry.fit(image.width, image.height, 512)
            passes = synthesise(people[image.image_id], grid, rng, drop=0)
            for directory, outputs in zip(directories, passes, strict=True):
                for file, array in zip(dumps.BENCHMARK.paths(directory, image.index), outputs, strict=True):
                    array.tofile(file)
    monkeypatch.chdir(tmp_path)
    where = ("--dump_dir", directories[0], "--dump_dir_flip", directories[1], "DATASET.ROOT", data)
    outcome = script("HigherHRNet_postprocess", *where)
    assert outcome.status == 0, outcome
    assert "=> the figures are over the 32 of 79 images that have dumps" in outcome.out
    (results,) = tmp_path.rglob("keypoints_val2017_results.json")
    figures = evaluation.evaluate(dataset, results, sorted(people))
    assert figures["AP"] == pytest.approx(0.992, abs=0.001)
    assert figures["AR"] == pytest.approx(0.999, abs=0.001)
