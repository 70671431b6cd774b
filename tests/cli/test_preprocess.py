"""HigherHRNet_preprocess.py: inputs of every image, and wrong input."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import inputs
from higherhrnet.image import geometry
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES, TINY_SIDE, write_dataset
from tests.support.programs import Outcome, error, files

Script = Callable[..., Outcome]


def preprocess(script: Script, data: Path, to: Path, *more: object) -> Outcome:
    trees = ("--output", to / "bins", "--output_flip", to / "bins_flip")
    return script("HigherHRNet_preprocess", *trees, "--workers", 1, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)


def test_preprocess_leaves_every_image_and_its_mirror_image(tiny_inputs: Path):
    shapes = [geometry.fit(w, h, TINY_SIDE).shape for w, h in TINY_IMAGES]
    for tree, other in (("bins", "bins_flip"), ("bins_flip", "bins")):
        found = inputs.find(tiny_inputs / tree)
        assert [(i.index, i.shape) for i in found] == list(enumerate(shapes))
        for item in found:
            tensor = np.fromfile(item.path, np.float32).reshape(3, *item.shape)
            mirrored = np.fromfile(inputs.path(tiny_inputs / other, item.shape, item.index), np.float32)
            np.testing.assert_array_equal(tensor[:, :, ::-1], mirrored.reshape(tensor.shape))


@pytest.mark.slow
def test_overrides_and_flags_come_in_any_order_and_two_workers_give_the_same_bytes(
    tiny_data: Path, tiny_inputs: Path, command: Script, tmp_path: Path
):
    outcome = command(
        "HigherHRNet_preprocess.py",
        *("DATASET.ROOT", tiny_data, "--output", "bins"),
        *("DATASET.TEST", "val2017", "--workers", 2, "--cfg", TINY_CONFIG, "--output_flip", "bins_flip"),
        cwd=tmp_path,
    )
    assert (outcome.status, outcome.err) == (0, "")
    for tree in ("bins", "bins_flip"):
        assert files(tmp_path / tree) == files(tiny_inputs / tree)


def test_images_that_are_cut_are_counted_and_named(tiny_data: Path, script: Script, tmp_path: Path):
    outcome = preprocess(script, tiny_data, tmp_path)
    assert outcome.out.splitlines()[1:] == [
        "1 images are longer than the input shapes; their ends are cut off:",
        f"  {1000 + 7 * 5:012d}.jpg",
    ]


def test_a_run_that_was_stopped_goes_on(
    tiny_data: Path, tiny_inputs: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Stopped in the middle: some files there, one unfinished under its temporary name, the record not complete.

    Of what is done no map is computed and no picture is read: thousands would take their time.
    """
    data = write_dataset(tmp_path / "coco")
    missing = data / f"images/val2017/{1000 + 7 * 4:012d}.jpg"
    content = missing.read_bytes()
    missing.unlink()
    assert "cannot read image" in error(preprocess(script, data, tmp_path))
    done = files(tmp_path / "bins")
    assert 0 < len([name for name in done if name.endswith(".bin")]) < 7
    (tmp_path / "bins/shape_128x192/.000000000006.bin.77.part").write_text("half")
    missing.write_bytes(content)
    outcome = preprocess(script, data, tmp_path)
    assert outcome.status == 0
    assert "4 were there" in outcome.out
    for tree in ("bins", "bins_flip"):
        assert files(tmp_path / tree) == files(tiny_inputs / tree)
    for name in ("geometry.cv2.getAffineTransform", "reader.read"):
        monkeypatch.setattr(f"higherhrnet.image.{name}", None)
    assert "7 were there" in preprocess(script, data, tmp_path).out


def test_inputs_of_another_data_set_are_not_mixed_in(tiny_data: Path, script: Script, tmp_path: Path):
    preprocess(script, tiny_data, tmp_path)
    before = files(tmp_path)
    outcome = preprocess(script, tiny_data, tmp_path, "--limit", 2)
    assert re.search(
        r"bins already holds inputs of other work: another number of images \(7, not 2\); give another", error(outcome)
    )
    assert files(tmp_path) == before, "something already made was lost"
    assert preprocess(script, tiny_data, tmp_path, "--limit", 2, "--overwrite").status == 0
    assert [i.index for i in inputs.find(tmp_path / "bins")] == [0, 1]


def test_preprocess_refuses_wrong_input(tiny_data: Path, script: Script, tmp_path: Path):
    annotations = "annotations/person_keypoints_val2017.json"
    assert f"cannot read annotation file {tmp_path / annotations}" in error(preprocess(script, tmp_path, tmp_path))

    data = tmp_path / "coco"
    write_dataset(data)
    image = data / f"images/val2017/{1007:012d}.jpg"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2][:100])
    assert f"image {image}: 100 bytes that do not decode" in error(preprocess(script, data, tmp_path))
    shutil.copy(data / f"images/val2017/{1000:012d}.jpg", image)
    assert f"image {image}: found 640x480 pixels, the annotation file says 480x640" in error(
        preprocess(script, data, tmp_path)
    )
    (data / annotations).write_text("{")
    assert "is not JSON" in error(preprocess(script, data, tmp_path))

    assert "Non-existent key: DATASET.ROOOT" in error(preprocess(script, tiny_data, tmp_path, "DATASET.ROOOT", "x"))
    (tmp_path / "file").write_text("")
    outcome = script(
        "HigherHRNet_preprocess",
        *("--output", tmp_path / "file/bins", "--output_flip", tmp_path / "flip", "DATASET.ROOT", tiny_data),
    )
    assert "cannot create directory" in error(outcome)
    outcome = script(
        "HigherHRNet_preprocess", "--output", tmp_path, "--output_flip", tmp_path, "DATASET.ROOT", tiny_data
    )
    assert "give two directories" in error(outcome)


def test_a_disk_that_is_too_small_is_refused_before_the_work(
    tiny_data: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    assert re.search(r"5 MB of inputs to write, 1 MB free", error(preprocess(script, tiny_data, tmp_path)))
    assert not list(tmp_path.rglob("*.bin"))


def test_a_flat_tree_for_one_call_of_ais_bench(tiny_data: Path, tiny_inputs: Path, script: Script, tmp_path: Path):
    """The same values as in folders; it resumes, and is no tree of the other layout."""
    outcome = preprocess(script, tiny_data, tmp_path, "--layout", "flat")
    assert outcome.status == 0, outcome.err
    for item in inputs.find(tiny_inputs / "bins"):
        tensor = np.load(inputs.flat_path(tmp_path / "bins", item.index))
        assert (tensor.shape, tensor.dtype) == ((1, 3, *item.shape), np.float32)
        assert tensor.tobytes() == item.path.read_bytes()
        assert inputs.flat_path(tmp_path / "bins", item.index).stat().st_size == inputs.flat_size(item.shape)
    inputs.flat_path(tmp_path / "bins", 3).unlink()
    assert f"{len(TINY_IMAGES)} images" in (again := preprocess(script, tiny_data, tmp_path, "--layout", "flat")).out
    assert f"{len(TINY_IMAGES) - 1} were there" in again.out
    assert "another layout (flat, not folders)" in error(preprocess(script, tiny_data, tmp_path))
    assert preprocess(script, tiny_data, tmp_path, "--overwrite").status == 0
    assert inputs.flat_files(tmp_path / "bins") == []
    assert len(inputs.find(tmp_path / "bins")) == len(TINY_IMAGES)
    assert "does not go with --aipp" in error(preprocess(script, tiny_data, tmp_path, "--layout", "flat", "--aipp"))
