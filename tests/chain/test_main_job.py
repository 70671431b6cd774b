"""The main job on real images: the guide's commands in its order, and people decoded from annotated images.

Needs the COCO images beside the repository; test_scripts.py has the same chain on generated ones.
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
from tests.support.programs import CPU, Outcome

pytestmark = pytest.mark.slow


@pytest.fixture
def data(coco_mini: Path) -> Path:
    return coco_mini


def one_of_each_shape(data: Path, root: Path) -> Path:
    """A data set of the first image of each input shape, and of those that are longer than the shapes; its root."""
    file = coco.Location(str(data), "val2017").annotations
    content = json.loads(file.read_text())
    chosen: dict[object, dict] = {}
    for image in content["images"]:
        grid = geometry.fit(image["width"], image["height"], 512)
        chosen.setdefault((image["id"],) if grid.is_cut else grid.shape, image)
    content["images"] = list(chosen.values())
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    (root / "annotations").mkdir(parents=True)
    coco.Location(str(root), "val2017").annotations.write_text(json.dumps(content))
    (root / "images").symlink_to(data / "images")
    return root


def test_six_scripts_on_real_images_with_seeded_weights(data: Path, command: Callable[..., Outcome], tmp_path: Path):
    """W32-512 at its full size. Its people mean nothing; that every stage takes what the one before left does."""
    import torch  # noqa: PLC0415

    from tests.support.networks import build  # noqa: PLC0415

    net = build()
    (tmp_path / "models").mkdir()
    torch.save(net.state_dict(), tmp_path / "models/seeded_w32_512.pth")

    def run(name: str, *args: object) -> str:
        outcome = command(name, *args, cwd=tmp_path)
        assert outcome.status == 0, (name, outcome)
        return outcome.out

    root = ("DATASET.ROOT", one_of_each_shape(data, tmp_path / "coco"))
    out = run("HigherHRNet_preprocess.py", "--output", "prep_bin", "--output_flip", "prep_bin_flip", *root)
    assert out.splitlines()[1].startswith("2 images are longer than the input shapes")
    run("gen_dataset_info.py", "bin", "prep_bin", "./prep_bin")
    run("gen_dataset_info.py", "bin", "prep_bin_flip", "./prep_bin_flip")
    run("HigherHRNet_pth2onnx.py", "--weights", "models/seeded_w32_512.pth")
    out = run("HigherHRNet_benchmark.py", "--bs", "1", *CPU)
    assert "13 images in result/dumpOutput_device0_bs1 and result/dumpOutput_device0_bs1_flip" in out
    dump_dirs = ("result/dumpOutput_device0_bs1", "result/dumpOutput_device0_bs1_flip")
    out = run("HigherHRNet_postprocess.py", "--dump_dir", dump_dirs[0], "--dump_dir_flip", dump_dirs[1], *root)
    assert "people in 13 images" in out
    assert out.splitlines()[-1].startswith("| pose_hig... | 0.")
    shapes = {line.split()[0] for line in run("HigherHRNet_performance.py").splitlines() if line.startswith("(")}
    assert len(shapes) == 12


def test_annotated_people_come_back(data: Path, command: Callable[..., Outcome], tmp_path: Path):
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
    outcome = command(
        "HigherHRNet_postprocess.py",
        *("--dump_dir", directories[0], "--dump_dir_flip", directories[1], "DATASET.ROOT", data),
        cwd=tmp_path,
    )
    assert outcome.status == 0, outcome
    assert "=> the figures are over the 32 of 79 images that have dumps" in outcome.out
    (results,) = tmp_path.rglob("keypoints_val2017_results.json")
    figures = evaluation.evaluate(dataset, results, sorted(people))
    assert figures["AP"] == pytest.approx(0.992, abs=0.001)
    assert figures["AR"] == pytest.approx(0.999, abs=0.001)
