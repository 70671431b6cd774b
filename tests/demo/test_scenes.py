"""The generated scenes: the same for the same seed, and annotated as COCO would annotate them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from demo import scenes
from demo.canvas import Canvas
from demo.figure import draw, random_body, random_look
from higherhrnet.dataset import joints
from higherhrnet.image import geometry

SEED = 77


@pytest.fixture(scope="module")
def drawn() -> list[scenes.Scene]:
    """Forty scenes of one seed."""
    return [scenes.scene(scenes.generator(scenes.WRITTEN, SEED, i)) for i in range(40)]


@pytest.mark.slow
def test_equal_seeds_give_equal_scenes(drawn: list[scenes.Scene]) -> None:
    for index in (0, 7):
        again = scenes.scene(scenes.generator(scenes.WRITTEN, SEED, index))
        assert again.image.tobytes() == drawn[index].image.tobytes()
        for a, b in zip(again.people, drawn[index].people, strict=True):
            assert np.array_equal(a.keypoints, b.keypoints)
            assert (a.bbox, a.area) == (b.bbox, b.area)


def test_splits_seeds_and_indices_differ() -> None:
    first = [
        scenes.generator(*key).integers(1 << 60)
        for key in ((scenes.WRITTEN, 1, 1), (scenes.TRAINING, 1, 1), (scenes.WRITTEN, 2, 1), (scenes.WRITTEN, 1, 2))
    ]
    assert len(set(first)) == len(first)


def test_written_files_are_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        annotations = scenes.write(tmp_path / name, images=2, seed=SEED)
        files.append([annotations.read_bytes()] + [p.read_bytes() for p in sorted((tmp_path / name).rglob("*.jpg"))])
    assert files[0] == files[1]
    assert len(files[0]) == 3


def test_keypoints_lie_inside_the_image_or_are_left_out(drawn: list[scenes.Scene]) -> None:
    for scene in drawn:
        height, width = scene.image.shape[:2]
        for person in scene.people:
            there = person.keypoints[:, 2] > 0
            assert there.any()
            assert (person.keypoints[~there] == 0).all()
            assert (person.keypoints[there, :2] >= 0).all()
            assert (person.keypoints[there, :2] < (width, height)).all()


def test_box_and_area_hold_the_person(drawn: list[scenes.Scene]) -> None:
    for scene in drawn:
        height, width = scene.image.shape[:2]
        for person in scene.people:
            x, y, w, h = person.bbox
            assert x >= 0
            assert y >= 0
            assert x + w <= width
            assert y + h <= height
            assert 0 < person.area <= w * h
            points = person.keypoints[person.keypoints[:, 2] > 0, :2]
            # the silhouette is counted in whole pixels, and a joint may be at the very edge of one
            assert (points >= np.array([x, y]) - 1).all()
            assert (points <= np.array([x + w, y + h]) + 1).all()


def test_scenes_vary(drawn: list[scenes.Scene]) -> None:
    shapes = {geometry.fit(s.image.shape[1], s.image.shape[0], 512).shape for s in drawn}
    assert len(shapes) >= 8
    assert any(h > w for h, w in shapes)
    assert any(w > h for h, w in shapes)
    assert {len(s.people) for s in drawn} >= {1, 2, 3}
    flags = np.concatenate([p.keypoints[:, 2] for s in drawn for p in s.people])
    for flag, least in ((0, 0.03), (1, 0.05), (2, 0.5)):
        assert (flags == flag).mean() > least
    sizes = [p.area / min(s.image.shape[:2]) ** 2 for s in drawn for p in s.people]
    assert max(sizes) > 5 * min(sizes)  # areas: the largest figure is more than twice as tall as the smallest


@pytest.mark.slow
def test_crowds_are_of_more_people() -> None:
    """Expected numbers by hand: 2.04 people elsewhere, 3.25 in crowds, of which some find no place."""
    counts = {
        crowd: [len(scenes.scene(scenes.generator(scenes.TRAINING, 3, i), crowd=crowd).people) for i in range(16)]
        for crowd in (False, True)
    }
    assert np.mean(counts[True]) > np.mean(counts[False]) + 0.6


def test_no_figure_is_cut_by_the_input_shapes(drawn: list[scenes.Scene]) -> None:
    assert not any(geometry.fit(s.image.shape[1], s.image.shape[0], 512).is_cut for s in drawn)


def test_front_and_back_look_different_where_the_outline_is_the_same() -> None:
    """Left and right can be told apart: the same joints with the sides exchanged are another picture.

    The turned figure has its left joints where the other has its right ones, so only what shows the facing (face,
    collar, backpack, toes) can tell them apart. Without it, a wrong flip permutation would cost nothing.
    """
    size = 320
    for seed in range(4):
        rng = np.random.default_rng(seed)
        body, look = random_body(rng, 260), random_look(rng, 60)
        swap = list(joints.COCO.flip)
        turn = np.diag([-1.0, 1.0, -1.0])
        turned = replace(
            body,
            joints=body.joints[swap],
            hands=body.hands[::-1],
            toes=body.toes[::-1],
            head_axes=turn @ body.head_axes,
            torso_axes=turn @ body.torso_axes,
        )
        images = []
        for figure in (body, turned):
            canvas = Canvas(
                np.full((size, size, 3), 128, np.uint8), np.zeros((size, size), np.uint8), np.array([0.0, -1.0])
            )
            draw(canvas, figure, look, np.array([160.0, 300.0]), 1, np.random.default_rng(0))
            images.append(canvas.image.astype(int))
        changed = (np.abs(images[0] - images[1]).max(-1) > 20).sum()
        assert changed > 0.3 * np.pi * (0.082 * 260) ** 2


def test_coco_reads_the_annotations(tmp_path: Path) -> None:
    annotations = scenes.write(tmp_path, images=3, seed=SEED)
    coco = COCO(str(annotations))
    assert coco.getImgIds() == [1, 2, 3]
    category = coco.loadCats(coco.getCatIds())[0]
    assert tuple(category["keypoints"]) == joints.COCO.names
    for image in coco.loadImgs(coco.getImgIds()):
        pixels = cv2.imread(str(tmp_path / "images/val2017" / image["file_name"]))
        assert pixels is not None
        assert pixels.shape[:2] == (image["height"], image["width"])
        assert image["file_name"] == f"{image['id']:012d}.jpg"
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            keypoints = np.array(entry["keypoints"]).reshape(17, 3)
            assert entry["num_keypoints"] == (keypoints[:, 2] > 0).sum()
            assert set(keypoints[:, 2]) <= {0, 1, 2}


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scenes.main(["--output", str(tmp_path / "set"), "--images", "2", "--seed", "5"]) == 0
    content = json.loads((tmp_path / "set/annotations/person_keypoints_val2017.json").read_text())
    assert len(content["images"]) == 2
    with pytest.raises(SystemExit, match="2"):
        scenes.main(["--output", str(tmp_path / "set"), "--images", "0"])
    (tmp_path / "file").write_text("")
    assert scenes.main(["--output", str(tmp_path / "file"), "--images", "1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
