"""Scales, passes and kinds of data sets through the six scripts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import inputs
from higherhrnet.dataset import coco
from higherhrnet.errors import BadImageError
from higherhrnet.image import reader
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES
from tests.support.programs import CPU, Outcome, error

MULTI = ["TEST.SCALE_FACTOR", "[0.5, 1, 2]"]


Script = Callable[..., Outcome]


def run_all(
    script: Script,
    data: Path,
    work: Path,
    onnx: Path,
    *,
    options: list[str],
    flip: bool,
    trees: list[str],
    more: Sequence[str] = (),
) -> Outcome:
    """The stages from preprocessing to people, one worker, in the current folder."""
    cfg = ["--cfg", TINY_CONFIG, "DATASET.ROOT", data, "OUTPUT_DIR", work / "output", *options]
    pair = ["--output_flip", "prep_bin_flip"] if flip else []
    outcome = script("HigherHRNet_preprocess", "--output", "prep_bin", *pair, "--workers", "1", *more, *cfg)
    assert outcome.status == 0, outcome.err
    for tree in trees:
        assert script("gen_dataset_info", "bin", tree, f"./{tree}").status == 0
    outcome = script("HigherHRNet_benchmark", *CPU, "--model", onnx, *cfg)
    assert outcome.status == 0, outcome.err
    dumps = ["--dump_dir", "result/dumpOutput_device0_bs1"]
    dumps += ["--dump_dir_flip", "result/dumpOutput_device0_bs1_flip"] if flip else []
    return script("HigherHRNet_postprocess", *dumps, "--workers", "1", *more, *cfg)


def as_test_dev(data: Path, root: Path) -> Path:
    """The same images as COCO publishes those of test-dev, without annotations, and zipped; return ``root``."""
    content = json.loads(coco.Location(str(data), "val2017").annotations.read_text())
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    content.pop("annotations")
    coco.Location(str(root), "test-dev2017").annotations.write_text(json.dumps(content))
    with zipfile.ZipFile(root / "images/test2017.zip", "w") as archive:
        for image in content["images"]:
            archive.write(data / "images/val2017" / image["file_name"], image["file_name"])
    return root


def test_no_flip_test_no_annotations_no_folder_of_images_and_no_limit(
    script: Script, tiny_data: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    data = as_test_dev(tiny_data, tmp_path / "data")
    options = ["TEST.FLIP_TEST", "False", "DATASET.DATA_FORMAT", "zip", "DATASET.TEST", "test-dev2017"]
    more = ["--no_long_side_limit"]
    outcome = run_all(script, data, tmp_path, tiny_onnx, options=options, flip=False, trees=["prep_bin"], more=more)
    assert outcome.status == 0, outcome.err
    assert "people in 7 images" in outcome.out
    assert "=> no figures: test-dev2017 has no annotations here" in outcome.out
    results = tmp_path / "output/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_test-dev2017_results.json"
    assert len({entry["image_id"] for entry in json.loads(results.read_text())}) > 1
    assert not Path("prep_bin_flip").exists()
    assert Path("prep_bin/shape_128x448").is_dir()  # 990 x 300 whole, where the grid ends at 128 x 256
    limited = ["--dump_dir", "result/dumpOutput_device0_bs1", "--cfg", TINY_CONFIG, "DATASET.ROOT", data]
    outcome = script("HigherHRNet_postprocess", *limited, *options)
    assert "with long images cut otherwise; give TEST.SCALE_FACTOR and --no_long_side_limit" in error(outcome)


def test_all_scales_are_preprocessed_run_and_fused(
    script: Script, tiny_data: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    trees = [f"prep_bin{flip}{scale}" for flip in ("", "_flip") for scale in ("", "_scale0.5", "_scale2")]
    outcome = run_all(script, tiny_data, tmp_path, tiny_onnx, options=MULTI, flip=True, trees=trees)
    assert outcome.status == 0, outcome.err
    assert "people in 7 images" in outcome.out
    for folder in ("result", "result_scale2", "result_scale0.5"):
        assert len(list(Path(folder, "dumpOutput_device0_bs1_flip").glob("*.bin"))) == 14
    cfg = ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data]
    outcome = script("HigherHRNet_benchmark", *CPU, "--model", tiny_onnx, *cfg)
    assert "scale 1 of a test from scale 0.5 on, expected 1 from 1 on; give TEST.SCALE_FACTOR" in error(outcome)


def test_flip_test_wants_both_trees(script: Script, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    """Where one tree alone is named, the other has its usual name: no pass is left out."""
    outcome = script("HigherHRNet_preprocess", "--output", "a", "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert outcome.status == 0
    assert "images in a and prep_data_flip" in outcome.out
    assert len(inputs.find(Path("a"))) == len(inputs.find(Path("prep_data_flip"))) == len(TINY_IMAGES)


def test_zipped_images_are_read_where_they_are(tiny_data: Path, tmp_path: Path):
    root = as_test_dev(tiny_data, tmp_path)
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    for image in dataset.images[:2]:
        zipped = coco.Location(str(root), "test-dev2017", zipped=True).picture(image)
        assert zipped == tmp_path / f"images/test2017.zip@{image.file_name}"
        unzipped = coco.Location(str(tiny_data), "val2017").picture(image)
        np.testing.assert_array_equal(reader.read_image(zipped), reader.read_image(unzipped))
    with pytest.raises(BadImageError, match=r"test2017\.zip@no\.jpg: it is not in the archive; use the"):
        reader.read_image(tmp_path / "images/test2017.zip@no.jpg")
    with pytest.raises(BadImageError, match=r"test2018\.zip@no\.jpg: No such file"):
        reader.read_image(tmp_path / "images/test2018.zip@no.jpg")
