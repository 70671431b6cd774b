"""The trained demonstration: the six scripts find the people of held-out scenes, and mistakes show.

A chain of six stages can be wrong and still run. Here every wrong step costs average precision, which only a network
whose outputs mean something can show.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from demo import scenes
from higherhrnet.artifacts import dumps
from higherhrnet.config import loader
from higherhrnet.config.options import Options
from higherhrnet.dataset import coco, coco_results, evaluation, joints
from higherhrnet.decode import decode
from higherhrnet.image import geometry
from tests.support.datasets import DEMO_CONFIG, DEMO_WEIGHTS
from tests.support.found import found_by_predict, found_by_scripts
from tests.support.programs import CPU, FLIP, PLAIN, main_of

SEED = 4711
LOWEST_AP = 0.75
LEAST_DROP = 0.05
ALONE = "--workers", "1"

Pair = tuple[np.ndarray, np.ndarray]

_CONFIG = loader.load(DEMO_CONFIG)
DECODE = _CONFIG.options


@dataclass(frozen=True)
class Found:
    """What the network answered for one image and its mirror image."""

    image: coco.Image
    grid: geometry.Geometry
    plain: Pair
    flip: Pair


@dataclass(frozen=True)
class Outputs:
    """A set of scenes and the dumps of all its images; ``said`` is what postprocessing printed."""

    dataset: coco.Dataset
    found: tuple[Found, ...]
    said: str
    scratch: Path

    def precision(
        self, options: Options = DECODE, change: Callable[[Pair, Pair], tuple[Pair, Pair]] | None = None
    ) -> float:
        """AP of the set when decoded with ``options``, after ``change`` of each image's two pairs of maps."""
        entries = []
        for found in self.found:
            pairs = change(found.plain, found.flip) if change else (found.plain, found.flip)
            people = decode(*pairs, options)
            keypoints = people.keypoints.copy()
            keypoints[..., :2] = found.grid.to_image(keypoints[..., :2])
            entries += coco_results.entries(found.image.image_id, keypoints, people.scores)
        results = self.scratch / "results.json"
        coco_results.write(results, entries)
        return evaluation.evaluate(self.dataset, results, [f.image.image_id for f in self.found])["AP"]


def infer(work: Path, *, images: int, obstacles: float) -> Outputs:
    """Draw scenes, and send them through the scripts in the guide's order."""
    annotations = scenes.write(work / "data/coco", images=images, seed=SEED, obstacles=obstacles)
    trees = "--output", "prep_bin", "--output_flip", "prep_bin_flip"
    call("HigherHRNet_preprocess", *trees, *ALONE, "--cfg", DEMO_CONFIG)
    call("gen_dataset_info", "bin", "prep_bin", "./prep_bin")
    call("gen_dataset_info", "bin", "prep_bin_flip", "./prep_bin_flip")
    if not (work / "models").exists():
        call("HigherHRNet_pth2onnx", "--weights", DEMO_WEIGHTS, "--cfg", DEMO_CONFIG)
    call("HigherHRNet_benchmark", "--bs", 1, *CPU, "--cfg", DEMO_CONFIG)
    folders = work / "result" / PLAIN, work / "result" / FLIP
    where = "--dump_dir", folders[0], "--dump_dir_flip", folders[1]
    said = call("HigherHRNet_postprocess", *where, *ALONE, "--cfg", DEMO_CONFIG)
    call("HigherHRNet_performance")

    dataset = coco.load(annotations)
    found = []
    for image in dataset.images:
        grid = geometry.fit(image.width, image.height, 512)
        shapes = dumps.output_shapes(grid.shape, _CONFIG.heads)
        pairs = []
        for folder in folders:
            files = dumps.BENCHMARK.paths(folder, image.index)
            first, second = (dumps.read(file, shape, shape) for file, shape in zip(files, shapes, strict=True))
            pairs.append((first, second))
        found.append(Found(image, grid, pairs[0], pairs[1]))
    return Outputs(dataset, tuple(found), said, work)


def call(name: str, *args: object) -> str:
    """Call a script in the current directory; what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main_of(name)([str(arg) for arg in args])
    return out.getvalue()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Scenes as they were in training, but none of them."""
    work = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        return infer(work, images=8, obstacles=0.15)


@pytest.fixture(scope="module")
def crowded(held_out: Outputs, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Scenes in which objects hide many joints, so that detection misses them."""
    work = tmp_path_factory.mktemp("crowd")
    shutil.copytree(held_out.scratch / "models", work / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        return infer(work, images=6, obstacles=3.0)


@pytest.fixture(scope="module")
def precision(held_out: Outputs) -> float:
    """AP of the held-out scenes without a mistake."""
    return held_out.precision()


def test_held_out_scenes_through_the_six_scripts(held_out: Outputs, precision: float) -> None:
    row = held_out.said.strip().splitlines()[-1]
    printed = [float(v) for v in re.findall(r"\d\.\d+", row)]
    assert printed[0] >= LOWEST_AP
    assert printed[0] == pytest.approx(precision, abs=0.0006)  # the same decode here, so that the tests below mean it


def test_predict_finds_the_same_people_in_the_pictures_alone(held_out: Outputs) -> None:
    data = held_out.scratch / "data/coco"
    found = found_by_predict(data, held_out.scratch, "--cfg", DEMO_CONFIG, step=2)
    assert found == found_by_scripts(held_out.scratch, data, step=2)
    assert len(found) > 4


def test_a_dropped_flip_permutation_shows(held_out: Outputs, precision: float) -> None:
    wrong = held_out.precision(replace(DECODE, flip=tuple(range(len(joints.COCO.names)))))
    assert wrong < precision - LEAST_DROP


def test_plain_dumps_in_the_place_of_flip_dumps_show(held_out: Outputs, precision: float) -> None:
    wrong = held_out.precision(change=lambda plain, _: (plain, plain))
    assert wrong < precision - LEAST_DROP


def test_exchanged_dumps_show(held_out: Outputs, precision: float) -> None:
    wrong = held_out.precision(change=lambda plain, flip: (flip, plain))
    assert wrong < precision - LEAST_DROP


def test_missing_refinement_shows_where_joints_are_hidden(crowded: Outputs) -> None:
    assert crowded.precision(replace(DECODE, refine=False)) < crowded.precision() - LEAST_DROP


@pytest.mark.parametrize("axis", [1, 2], ids=["down", "right"])
def test_a_shift_by_one_cell_shows(held_out: Outputs, precision: float, axis: int) -> None:
    def shift(pair: Pair, cells: int) -> Pair:
        return np.roll(pair[0], cells, axis), np.roll(pair[1], 2 * cells, axis)

    # In the mirrored image the same shift to the right is one to the left.
    mirrored = -1 if axis == 2 else 1
    wrong = held_out.precision(change=lambda plain, flip: (shift(plain, 1), shift(flip, mirrored)))
    assert wrong < precision - LEAST_DROP


def test_the_checkpoint_is_small() -> None:
    assert DEMO_WEIGHTS.stat().st_size <= 8_000_000
