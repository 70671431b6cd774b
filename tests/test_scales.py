"""Scales, passes and whole maps: against torch and the clear decode, and through the scripts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

import clear_decode
from conftest import TINY_CONFIG, Outcome
from demo.synthesis import synthesise
from higherhrnet.artifacts.scales import beside
from higherhrnet.config import loader
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan, Scale
from higherhrnet.dataset import coco, evaluation, joints
from higherhrnet.decode import Outputs, decode, fused
from higherhrnet.decode.people import plain
from higherhrnet.decode.resize import resize
from higherhrnet.decode.scales import decode_image
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import geometry, reader

Script = Callable[..., Outcome]
MULTI = ["TEST.SCALE_FACTOR", "[0.5, 1, 2]"]


def scene(plan: Plan, size: tuple[int, int], seed: int, count: int = 3) -> list[list[Outputs]]:
    """Outputs at all scales of an image of size (width, height) with people in random places."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0.2, 0.8, (count, 1, 2)) * size
    persons = [np.column_stack((rng.normal(center, 40, (17, 2)), rng.integers(0, 3, 17))) for center in centers]
    passes = [
        synthesise(persons, geometry.of_plan(*size, plan, factor), np.random.default_rng(seed))
        for factor in plan.factors
    ]
    return [list(each) if plan.flip else [each[0]] for each in passes]


def to_size(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return interpolate(torch.from_numpy(maps.copy())[None], size=size, mode="bilinear", align_corners=False)[0].numpy()


def clear_maps(plan: Plan, outputs: list[list[Outputs]], flip: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Fused heat [K, H, W] and tags [K, H, W, T] in torch's words, for COCO's 17 joints at INPUT_SIZE 512."""
    size = outputs[0][0][1].shape[1:] if not plan.project else None
    total, tags = None, []
    for factor, passes in zip(plan.factors, outputs, strict=True):
        target = size or geometry.of_plan(640, 480, plan, 1).shape
        heats = []
        for number, (output1, output2) in enumerate(passes):
            half = to_size(output1, output2.shape[1:])
            heat, tag = (half[:17] + output2) / np.float32(2), half[17:]
            if number:
                heat, tag = heat[list(flip)][:, :, ::-1], tag[list(flip)][:, :, ::-1]
            heats.append(to_size(heat, target) if plan.project else heat)
            if factor == 1:
                tags.append(to_size(tag, target))
        mean = sum(heats) / np.float32(len(heats))
        mean = mean if plan.project else to_size(mean, target)
        total = mean if total is None else total + mean
    return total / np.float32(len(outputs)), np.stack(tags, axis=-1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((64, 88), (128, 176)),
        ((64, 80), (256, 320)),
        ((90, 70), (90, 70)),
        ((192, 200), (128, 150)),
        ((61, 100), (99, 77)),
    ],
)
def test_resize_is_torch_s_to_the_bit(source: tuple[int, int], target: tuple[int, int]):
    # As many maps as the network has: for three, one thread of PyTorch takes another kernel than two do.
    maps = np.random.default_rng(0).normal(0, 1, (17, *source)).astype(np.float32)
    np.testing.assert_array_equal(resize(plain(maps), *target), to_size(maps, target))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(512, flip=False),
        Plan(512, (2, 1, 0.5)),
        Plan(512, project=False),
        Plan(512, (2, 1, 0.5), project=False),
        Plan(512, (1.5, 1), flip=False),
    ],
    ids=["no flip", "multi-scale", "not projected", "multi-scale, not projected", "two scales, no flip"],
)
def test_people_are_those_of_the_clear_decode(plan: Plan):
    outputs = scene(plan, (640, 480), seed=3)
    options = Options()
    expected = clear_decode.decode_maps(*clear_maps(plan, outputs, options.flip), options)
    size = geometry.of_plan(640, 480, plan, 1).shape if plan.project else None
    people = fused(outputs, size, plan.tags_of, options)
    for field in ("keypoints", "scores", "tags"):
        np.testing.assert_array_equal(getattr(people, field), getattr(expected, field), strict=True)
    assert len(people) >= 3
    assert people.tags.shape == (len(people), 17, 2 if plan.flip else 1)


def test_whole_maps_give_the_same_people_as_the_fast_decode():
    plan = Plan(512)
    outputs = scene(plan, (640, 480), seed=5, count=6)
    rng = np.random.default_rng(1)
    for one_pass in outputs[0]:
        for noisy in one_pass:
            noisy[:] += rng.normal(0, 0.02, noisy.shape).astype(np.float32)
    fast = decode(outputs[0][0], outputs[0][1])
    # Two scales of the same outputs: the sum of two equal maps, halved, is the map.
    slow = fused([*outputs, *outputs], geometry.of_plan(640, 480, plan, 1).shape)
    np.testing.assert_array_equal(slow.keypoints, fast.keypoints)
    np.testing.assert_array_equal(slow.scores, fast.scores)
    np.testing.assert_array_equal(slow.tags, fast.tags)
    assert len(fast) > 6


def test_one_tag_map_serves_all_joints():
    plan = Plan(512)
    outputs = scene(plan, (640, 480), seed=2, count=1)
    for one_pass in outputs[0]:
        one_pass[0][17:] = one_pass[0][17:].max(axis=0)
    shared = [[(output1[:18], output2) for output1, output2 in outputs[0]]]
    people = fused(shared, geometry.of_plan(640, 480, plan, 1).shape)
    np.testing.assert_array_equal(people.keypoints, decode(outputs[0][0], outputs[0][1]).keypoints)


def test_a_center_that_is_left_out_changes_nothing():
    plan = Plan(512)
    outputs = scene(plan, (640, 480), seed=2)

    def widen(maps: np.ndarray) -> np.ndarray:
        return np.concatenate((maps, np.ones_like(maps[:1])))

    with_center = [
        [(np.concatenate((widen(o1[:17]), widen(o1[17:]))), widen(o2)) for o1, o2 in passes] for passes in outputs
    ]
    people = fused(with_center, geometry.of_plan(640, 480, plan, 1).shape)
    np.testing.assert_array_equal(people.keypoints, decode(outputs[0][0], outputs[0][1]).keypoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a[:20], b), r"scale 0: output1 \[20, 128, 176\] and output2 .* do not belong to 17 joints"),
        (lambda a, b: (a, b.astype(np.float64)), "scale 0: output2 is float64"),
        (lambda a, b: (a * np.float32(np.nan), b), "scale 0: output1 holds NaN"),
    ],
)
def test_wrong_outputs_are_refused(change, message: str):
    plan = Plan(512, flip=False)
    (outputs,) = scene(plan, (640, 480), seed=0)
    with pytest.raises(ValueError, match=message):
        fused([[change(*outputs[0])]], (512, 704))


def test_sizes_of_scales_are_the_official_ones():
    # get_multi_scale_size(640 x 427, 512, s, 0.5) by hand: 256 / 427 * 640 = 383.7, up to 384.
    plan = Plan(512, (2, 1, 0.5))
    assert [geometry.of_plan(640, 427, plan, factor).shape for factor in plan.factors] == [
        (1024, 1536),
        (512, 768),
        (256, 384),
    ]
    assert geometry.shape_grid(512, plan.scale(1)) == [
        *[(h, 512) for h in (1024, 896, 768, 640)],
        *[(512, w) for w in (512, 640, 768, 896, 1024)],
    ]
    shapes = geometry.shapes(plan)
    assert shapes[0] == (2048, 1024)
    assert len(shapes) == 27


@pytest.mark.parametrize("limited", [True, False])
def test_long_images_are_cut_only_where_the_side_is_limited(limited: bool):
    grid = geometry.fit(900, 300, 512, Scale(limited=limited))
    assert grid.shape == ((512, 1024) if limited else (512, 1536))
    assert grid.is_cut is limited
    assert np.allclose(grid.to_image(np.array([[0.0, 256.0]]))[0, 0], 150 if limited else 0, atol=1e-6)


def test_points_of_a_smaller_map_go_to_the_same_place():
    grid = geometry.fit(640, 427, 512)
    points = np.array([[10.0, 20.0], [300.5, 401.25]])
    half = (grid.shape[0] // 2, grid.shape[1] // 2)
    np.testing.assert_allclose(grid.to_image(points / 2, half), grid.to_image(points), atol=1e-3)


def test_people_of_all_plans_stand_in_the_same_places():
    """A joint that is found everywhere lies within a few pixels of itself, whatever the plan."""
    found = []
    for plan in (Plan(512), Plan(512, flip=False), Plan(512, (2, 1, 0.5)), Plan(512, project=False)):
        outputs = scene(plan, (640, 480), seed=4, count=1)
        keypoints, scores = decode_image(plan, 640, 480, outputs, Options(refine=False))
        found.append(keypoints[scores.argmax()])
    seen = np.all([person[:, 2] > 0 for person in found], axis=0)
    assert seen.sum() >= 5
    for person in found[1:]:
        assert np.abs(person[seen, :2] - found[0][seen, :2]).max() < 4


def test_files_of_scale_1_keep_their_names():
    assert beside(Path("a/prep_bin"), 1) == Path("a/prep_bin")
    assert beside(Path("a/prep_bin"), 0.5) == Path("a/prep_bin_scale0.5")
    assert beside(Path("result"), 2) == Path("result_scale2")


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
    outcome = script("HigherHRNet_benchmark", "--backend", "onnxruntime", "--model", onnx, "--threads", "1", *cfg)
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
    assert outcome.status == 1
    assert "with long images cut otherwise; give TEST.SCALE_FACTOR and --no_long_side_limit" in outcome.err


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
    outcome = script("HigherHRNet_benchmark", "--backend", "onnxruntime", "--model", tiny_onnx, *cfg)
    assert outcome.status == 1
    assert "scale 1 of a test from scale 0.5 on, expected 1 from 1 on; give TEST.SCALE_FACTOR" in outcome.err


def test_flip_test_wants_both_trees(script: Script, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    outcome = script("HigherHRNet_preprocess", "--output", "a", "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert outcome.status == 2


def test_zipped_images_are_read_where_they_are(tiny_data: Path, tmp_path: Path):
    root = as_test_dev(tiny_data, tmp_path)
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    for image in dataset.images[:2]:
        zipped = coco.Location(str(root), "test-dev2017", zipped=True).picture(image)
        assert zipped == tmp_path / f"images/test2017.zip@{image.file_name}"
        unzipped = coco.Location(str(tiny_data), "val2017").picture(image)
        np.testing.assert_array_equal(reader.read_image(zipped), reader.read_image(unzipped))
    with pytest.raises(BadImageError, match=r"test2017\.zip@no\.jpg: .*no\.jpg.* in the archive"):
        reader.read_image(tmp_path / "images/test2017.zip@no.jpg")
    with pytest.raises(BadImageError, match=r"test2018\.zip@no\.jpg: No such file"):
        reader.read_image(tmp_path / "images/test2018.zip@no.jpg")


def test_test_splits_have_no_annotations():
    image = coco.Image(0, 1, "a.jpg", 1, 1)
    test_dev = coco.Location("r", "test-dev2017")
    assert test_dev.annotations == Path("r/annotations/image_info_test-dev2017.json")
    assert test_dev.picture(image) == Path("r/images/test2017/a.jpg")
    assert not test_dev.has_annotations
    crowd = coco.Location("r", "test", coco.CROWD_POSE)
    assert crowd.annotations == Path("r/json/crowdpose_test.json")
    assert crowd.picture(image) == Path("r/images/a.jpg")
    assert replace(crowd, zipped=True).picture(image) == Path("r/images.zip@a.jpg")
    assert crowd.has_annotations


def test_crowd_pose_figures_need_their_package(tiny_data: Path, tmp_path: Path):
    if evaluation.can_evaluate(coco.CROWD_POSE):
        pytest.skip("crowdposetools is installed")
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    with pytest.raises(UserError, match="crowdposetools is not installed"):
        evaluation.evaluate(dataset, tmp_path / "results.json", [1000], coco.CROWD_POSE)


def test_crowd_pose_s_joints_mirror_each_other():
    names, flip = joints.CROWD_POSE.names, joints.CROWD_POSE.flip
    assert [names[i] for i in flip][-2:] == ["head", "neck"]
    assert all(flip[flip[i]] == i for i in range(14))
    assert names[flip[names.index("left_knee")]] == "right_knee"


@pytest.mark.parametrize(
    "options",
    [MULTI, ["TEST.FLIP_TEST", "False"], ["DATASET.WITH_CENTER", "True"], ["DATASET.TEST", "test-dev2017"]],
    ids=lambda options: options[0],
)
def test_run_refuses_what_only_the_scripts_do(options: list[str]):
    with pytest.raises(UserError, match=f"{options[0]} is .*, this command "):
        loader.load(None, options).require_plain()
    loader.load(None).require_plain()
