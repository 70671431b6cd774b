"""Data sets of one's own: other joints than COCO's and CrowdPose's, other places, through all programs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from demo import scenes
from demo.own_joints import EIGHTEEN, relabelled
from demo.synthesis import synthesise
from higherhrnet.artifacts.claim import read as read_record
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.config import loader
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, coco_results, evaluation, joints
from higherhrnet.decode.scales import decode_image
from higherhrnet.image import geometry
from higherhrnet.stages import postprocess
from tests.support.datasets import TINY_CONFIG, write_dataset
from tests.support.networks import build
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, error

Script = Callable[..., Outcome]

FIVE = ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
ONNX = "models/own_bs1_dynamic.onnx"
SIZES = ((200, 150), (150, 200), (160, 160), (420, 140), (128, 128))
"""The last but one is cut, unless --no_long_side_limit."""


@dataclass(frozen=True)
class Own:
    """A data set that is laid out otherwise than COCO's, and a network for it, in the current folder."""

    names: tuple[str, ...]
    annotations: Path
    images: Path
    work: Path

    @property
    def opts(self) -> list[str]:
        """The overrides that say so."""
        count = str(len(self.names))
        where = ["DATASET.ANNOTATIONS", str(self.annotations), "DATASET.IMAGES", str(self.images)]
        return ["DATASET.NUM_JOINTS", count, "MODEL.NUM_JOINTS", count, *where, "OUTPUT_DIR", str(self.work / "output")]

    @property
    def config(self) -> Config:
        return loader.load(TINY_CONFIG, self.opts)

    def call(self, script: Script, name: str, *args: object) -> Outcome:
        outcome = script(name, *args, "--cfg", TINY_CONFIG, *self.opts)
        assert outcome.status == 0, outcome
        return outcome


def make(folder: Path, names: tuple[str, ...]) -> Own:
    data = write_dataset(folder / "coco", sizes=SIZES)
    content = json.loads((data / "annotations/person_keypoints_val2017.json").read_text())
    (folder / "people.json").write_text(json.dumps(relabelled(content, names)))
    (data / "images/val2017").rename(folder / "pictures")
    own = Own(names, folder / "people.json", folder / "pictures", folder)
    torch.save(build(TINY_CONFIG, *own.opts).state_dict(), folder / "own.pth")
    return own


def figures_of(outcome: Outcome) -> list[str]:
    return [line for line in outcome.out.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("names", [EIGHTEEN, FIVE], ids=len)
def test_all_programs_take_any_joint_set(
    names: tuple[str, ...], tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    own = make(tmp_path, names)
    own.call(script, "HigherHRNet_preprocess", "--output", "bin", "--output_flip", "bin_flip", "--workers", 1)
    for tree in ("bin", "bin_flip"):
        assert script("gen_dataset_info", "bin", tree, f"./prep_{tree}").status == 0
    own.call(script, "HigherHRNet_pth2onnx", "--weights", "own.pth")
    lists = ("--info", "./prep_bin", "--info_flip", "./prep_bin_flip")
    own.call(script, "HigherHRNet_benchmark", *CPU, "--model", ONNX, *lists)
    dumps = ("--dump_dir", f"result/{PLAIN}", "--dump_dir_flip", f"result/{FLIP}", "--workers", 1)
    outcome = own.call(script, "HigherHRNet_postprocess", *dumps, "--vis_dir", "drawn", "--vis_score", 0)
    assert f"=> {len(names)} joints of annotations; in the mirrored image change places: " in outcome.out
    assert "left_wrist-right_wrist, " in outcome.out
    if "neck" in names:
        assert "with a sigma of 0.072 for 1 joints that DATASET.JOINTS gives none: neck" in outcome.out
    (results,) = tmp_path.rglob("keypoints_val2017_results.json")
    entries = json.loads(results.read_text())
    assert {len(entry["keypoints"]) for entry in entries} == {3 * len(names)}
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert len(drawn) == len({entry["image_id"] for entry in entries})
    before, after = (cv2.imread(str(folder / drawn[0].name)) for folder in (own.images, tmp_path / "drawn"))
    assert before is not None
    assert after is not None
    assert (np.abs(before.astype(int) - after) > 40).any(axis=2).mean() > 0.001, "limbs and joints, not JPEG alone"
    assert "(128,192)" in script("HigherHRNet_performance").out

    written = results.read_bytes()
    results.unlink()
    model = (*CPU, "--model", ONNX, "--workers", 1)
    run = own.call(script, "higherhrnet.__main__", "run", *model)
    assert results.read_bytes() == written
    assert table(run) == table(outcome)
    assert "1 images are longer than the input shapes; their ends are cut off:" in run.out
    uncut = own.call(script, "higherhrnet.__main__", "run", *model, "--no_long_side_limit", "--no_eval")
    assert "are longer" not in uncut.out
    assert results.read_bytes() != written
    made = read_record(results, PeopleWork)
    assert made is not None
    assert made.work.options["plan"]["limited"] is False

    results.write_bytes(written)
    (results.parent / "keypoints_val2017_results.record.json").unlink()  # of the uncut ones
    compare_explain_predict(own, script, results, figures=table(outcome)[2])


def compare_explain_predict(own: Own, script: Script, results: Path, *, figures: str) -> None:
    """What is made of dumps, results and a network beside the six scripts."""
    shutil.copytree(f"result/{PLAIN}", "other/a")
    shutil.copytree(f"result/{FLIP}", "other/a_flip")
    compared = own.call(script, "HigherHRNet_performance", "--compare", f"result/{PLAIN}", "other/a", "--workers", 1)
    assert re.search(r"people: (\d+) and \1, \1 the same", compared.out)
    explained = ("--results", results, "--dumps", f"result/{PLAIN}", "--json", "report.json", "--pictures", 1)
    own.call(script, "higherhrnet.__main__", "report", *explained)
    said = json.loads((own.work / "report.json").read_text())
    assert said["names"] == list(own.names)
    of_evaluation = [float(cell) for cell in figures.strip("|").split("|")[1:]]
    assert [round(row["value"] or 0, 3) for row in said["figures"]] == of_evaluation
    assert {len(person["joints"]) for picture in said["pictures"] for person in picture["annotated"]} == {
        len(own.names)
    }
    assert [row["label"] for row in said["speed"]]
    pairs = [p for p in zip(own.opts[::2], own.opts[1::2], strict=True) if p[0] not in {"OUTPUT_DIR", "DATASET.IMAGES"}]
    sets = [word for pair in pairs for word in ("--set", *pair)]
    predict = ("higherhrnet.__main__", "predict", own.images, "--save", "json,csv,images", "--min_score", 0)
    chosen = (*CPU, "--model", ONNX, "--cfg", TINY_CONFIG)
    assert script(*predict, *chosen, *sets).status == 0
    rows = (own.work / "poses/poses.csv").read_text().splitlines()[1:]
    assert [row.split(",")[5] for row in rows[: len(own.names)]] == list(own.names)
    assert len(list((own.work / "poses/images").iterdir())) == len(SIZES)


@pytest.mark.slow
def test_int8_and_the_table_take_any_joint_set(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    own = make(tmp_path, FIVE)
    own.call(script, "HigherHRNet_preprocess", "--output", "bin", "--output_flip", "bin_flip", "--workers", 1)
    for tree in ("bin", "bin_flip"):
        assert script("gen_dataset_info", "bin", tree, f"./prep_{tree}").status == 0
    own.call(script, "HigherHRNet_pth2onnx", "--weights", "own.pth")
    calibrate = ("--model", ONNX, "--inputs", "bin", "--inputs_flip", "bin_flip", "--allow_evaluation_images")
    own.call(script, "higherhrnet.__main__", "quantize", *calibrate)
    call = ("table", "--model", ONNX, "--backends", "onnxruntime", "--format", "json")
    outcome = own.call(script, "higherhrnet.__main__", *call)
    made = json.loads(outcome.out[outcome.out.index("{") :])
    assert [row["name"] for row in made["rows"]] == ["onnxruntime float32", "onnxruntime int8"]
    assert any("int8 was calibrated on" in note for note in made["notes"])


def test_joints_that_nothing_names(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    """As of predict, which needs no annotations: the remedy is DATASET.JOINTS, and it is one."""
    monkeypatch.chdir(tmp_path)
    own = make(tmp_path, FIVE)
    sets = ("--set", "DATASET.NUM_JOINTS", 5, "--set", "MODEL.NUM_JOINTS", 5)
    call = ("higherhrnet.__main__", "predict", own.images, "--backend", "torch", "--model", "own.pth")
    message = error(script(*call, "--cfg", TINY_CONFIG, *sets))
    assert "nothing names the 5 joints of config" in message
    assert message.endswith("or a yaml file that has names: with DATASET.JOINTS\n")
    (tmp_path / "joints.yaml").write_text(f"names: [{', '.join(FIVE)}]\n")
    outcome = script(*call, "--cfg", TINY_CONFIG, *sets, "--set", "DATASET.JOINTS", "joints.yaml")
    assert outcome.status == 0, outcome


def table(outcome: Outcome) -> list[str]:
    found = [line for line in outcome.out.splitlines() if line.startswith("|")]
    assert len(found) == 3
    return found


def test_three_numbers_of_joints_are_named_where_they_differ(
    tmp_path: Path, tiny_weights: Path, tiny_onnx: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    """The network's, the configuration's and the annotations', whichever program sees it first."""
    monkeypatch.chdir(tmp_path)
    own = make(tmp_path, EIGHTEEN)

    def numbers(model: object) -> str:
        return (
            f"{model} has 17 joints, config {TINY_CONFIG} 18 (NUM_JOINTS), annotation file {own.annotations} 18; give"
        )

    where = ("--cfg", TINY_CONFIG, *own.opts)
    assert numbers(tiny_weights) in error(script("HigherHRNet_pth2onnx", "--weights", tiny_weights, *where))
    for backend, model in (("torch", tiny_weights), ("onnxruntime", tiny_onnx)):
        chosen = ("--backend", backend, "--model", model, *where)
        assert numbers(model) in error(script("HigherHRNet_benchmark", *chosen))
        assert numbers(model) in error(script("higherhrnet.__main__", "run", *chosen))
        assert numbers(model) in error(script("HigherHRNet_performance", *chosen))
    (tmp_path / PLAIN).mkdir()
    for number, maps in ((1, np.zeros((34, 32, 48), np.float32)), (2, np.zeros((17, 64, 96), np.float32))):
        maps.tofile(tmp_path / PLAIN / f"{0:012d}_{number}.bin")
    both = ("--dump_dir", PLAIN, "--dump_dir_flip", PLAIN)
    assert numbers(PLAIN) in error(script("HigherHRNet_postprocess", *both, *where))
    # A network and a configuration of 17, people of 18.
    opts = ("DATASET.ANNOTATIONS", own.annotations, "DATASET.IMAGES", own.images)
    outcome = script("higherhrnet.__main__", *("run", *CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG, *opts))
    assert f"{tiny_onnx} has 17 joints, config {TINY_CONFIG} 17 (NUM_JOINTS), annotation file {own.annotations} 18" in (
        error(outcome)
    )


def synthesised_ap(own: Own, config: Config, flip: tuple[int, ...] | None = None) -> float:
    """AP of the outputs of a good network; ``flip`` decodes them with other partners than they were made with."""
    dataset = coco.load(config.location.annotations, config.protocol)
    assert dataset.truth is not None
    rng = np.random.default_rng(0)
    options = config.options if flip is None else replace(config.options, flip=flip)
    entries: list[dict[str, Any]] = []
    for image in dataset.images:
        rows = [row for row in dataset.truth.content["annotations"] if row["image_id"] == image.image_id]
        persons = [np.array(row["keypoints"], float).reshape(-1, 3) for row in rows]
        grid = geometry.of_plan(image.width, image.height, config.plan)
        outputs = synthesise(persons, grid, rng, clutter=2, drop=0, joint_set=config.joints)
        keypoints, scores = decode_image(config.plan, image.width, image.height, [outputs], options)
        entries += coco_results.entries(image.image_id, keypoints, scores, category=dataset.person)
    coco_results.write(own.work / "results.json", entries)
    ids = [image.image_id for image in dataset.images]
    return evaluation.evaluate(dataset, own.work / "results.json", ids, config.protocol)["AP"]


@pytest.mark.parametrize("names", [EIGHTEEN, FIVE], ids=len)
def test_synthesised_people_of_any_joints_are_found_unless_flip_pairs_are_wrong(names: tuple[str, ...], tmp_path: Path):
    own = Own(names, tmp_path / "people.json", tmp_path, tmp_path)
    source = scenes.write(tmp_path / "scenes", images=6, seed=7)
    content = json.loads(source.read_text())
    content["annotations"] = [row for row in content["annotations"] if row["num_keypoints"] >= 10]
    own.annotations.write_text(json.dumps(relabelled(content, names)))
    config = loader.load(None, own.opts)
    right = synthesised_ap(own, config)
    wrong = synthesised_ap(own, config, flip=tuple(range(len(names))))
    assert right > 0.9
    assert wrong < right - 0.2


def test_crowd_pose_in_shards(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    """Its annotations of 14 joints, its nine figures, and no file beside its own."""
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "coco", sizes=SIZES)
    content = json.loads((data / "annotations/person_keypoints_val2017.json").read_text())
    content["annotations"] = [
        {k: v for k, v in row.items() if k != "area"} | {"keypoints": row["keypoints"][:42], "num_keypoints": 14}
        for row in content["annotations"]
    ]
    content["categories"] = [{"id": 1, "name": "person", "keypoints": joints.CROWD_POSE.names}]
    for image, crowd_index in zip(content["images"], (0.1, 0.1, 0.5, 0.9, 0.9), strict=True):
        image["crowdIndex"] = crowd_index
    (tmp_path / "crowd/json").mkdir(parents=True)
    (tmp_path / "crowd/json/crowdpose_test.json").write_text(json.dumps(content))
    (data / "images/val2017").rename(tmp_path / "crowd/images")
    opts = ["DATASET.DATASET", "crowd_pose_kpt", "DATASET.DATASET_TEST", "crowd_pose", "DATASET.NUM_JOINTS", "14"]
    opts += ["MODEL.NUM_JOINTS", "14", "DATASET.ROOT", "crowd", "DATASET.TEST", "test"]
    torch.save(build(TINY_CONFIG, *opts).state_dict(), "crowd.pth")
    where = ("--cfg", TINY_CONFIG, *opts, "OUTPUT_DIR", tmp_path / "output")
    run = ("higherhrnet.__main__", "run", "--backend", "torch", "--model", "crowd.pth", "--workers", 1)
    whole = script(*run, *where)
    assert "| Arch | AP | Ap .5 | AP .75 | AR | AR .5 | AR .75 | AP (easy) | AP (medium) | AP (hard) |" in table(whole)
    for shard in ("1/2", "2/2"):
        outcome = script(*run, "--shard", shard, *where)
        assert outcome.status == 0, outcome
        assert re.search("=> the figures are over [23] of 5 images", outcome.out)
    merged = script("higherhrnet.__main__", "merge", *where)
    assert table(merged) == table(whole)


def test_pictures_that_are_annotated_as_they_are_shown(
    tmp_path: Path, tiny_onnx: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    """EXIF orientation 6: refused with the flag that mends it, and with that read, recorded and drawn as shown."""
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "coco", sizes=((150, 200), (160, 160)))
    picture = data / "images/val2017/000000001000.jpg"
    upright = cv2.imread(str(picture))
    assert upright is not None
    orientation = PIL.Image.Exif()
    orientation[0x112] = 6  # the camera was turned: what is stored lies on its left side
    lying = np.ascontiguousarray(np.rot90(upright)[:, :, ::-1])
    PIL.Image.fromarray(lying).save(picture, exif=orientation, quality=98, subsampling=0)
    where = ("--cfg", TINY_CONFIG, "DATASET.ROOT", data, "OUTPUT_DIR", tmp_path / "output")
    trees = ("--output", "bin", "--output_flip", "bin_flip", "--workers", 1)
    message = error(script("HigherHRNet_preprocess", *trees, *where))
    assert "found 200x150 pixels, the annotation file says 150x200, which is its size after its EXIF" in message
    assert "give --exif, which turns all images as viewers do, and give --overwrite" in message
    outcome = script("HigherHRNet_preprocess", *trees, "--exif", "--overwrite", *where)
    assert outcome.status == 0, outcome
    assert "another --exif (True, not False)" in error(script("HigherHRNet_preprocess", *trees, *where))
    run = ("higherhrnet.__main__", "run", *CPU, "--model", tiny_onnx, "--workers", 1, *where)
    assert script(*run, "--exif").status == 0
    (results,) = tmp_path.rglob("keypoints_val2017_results.json")
    made = read_record(results, PeopleWork)
    assert made is not None
    assert made.work.inputs["exif"] is True
    drawn = postprocess.draw_results(
        coco.load(data / "annotations/person_keypoints_val2017.json"),
        results,
        made,
        postprocess.DrawJob(coco.Location(str(data), "val2017"), tmp_path / "drawn", 9, min_score=0),
    )
    found = cv2.imread(str(drawn[0]))
    assert found is not None
    assert found.shape == upright.shape
    write_dataset(tmp_path / "plain", sizes=((150, 200),))
    turned = tmp_path / "plain/images/val2017/000000001000.jpg"
    turned.write_bytes(picture.read_bytes())
    content = json.loads((tmp_path / "plain/annotations/person_keypoints_val2017.json").read_text())
    content["images"][0] |= {"width": 200, "height": 150}
    (tmp_path / "plain/annotations/person_keypoints_val2017.json").write_text(json.dumps(content))
    message = error(
        script("HigherHRNet_preprocess", *trees, "--overwrite", "--exif", *where, "DATASET.ROOT", tmp_path / "plain")
    )
    assert "which is its size before its EXIF orientation turns it; omit --exif" in message


def test_filters_are_recorded_with_the_results(
    tmp_path: Path, tiny_data: Path, tiny_onnx: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    where = ("--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data, "OUTPUT_DIR", tmp_path / "output")
    run = ("higherhrnet.__main__", "run", *CPU, "--model", tiny_onnx, "--workers", 1, *where)

    def people(*opts: object) -> list[dict[str, Any]]:
        outcome = script(*run, "--limit", 3, "--no_eval", *opts)
        assert outcome.status == 0, outcome
        (results,) = tmp_path.rglob("keypoints_val2017_results.json")
        made = read_record(results, PeopleWork)
        assert made is not None
        options.append(made.work.options)
        return json.loads(results.read_text())

    options: list[dict[str, Any]] = []
    everybody = people()
    scores = sorted(entry["score"] for entry in everybody)
    least = scores[len(scores) // 2]
    assert people("TEST.MIN_SCORE", least) == [entry for entry in everybody if entry["score"] >= least]
    fewer = people("TEST.OKS_NMS", 0.3)
    assert 0 < len(fewer) < len(everybody)
    assert all(entry in everybody for entry in fewer)
    assert [(o.get("min_score"), o.get("oks_nms")) for o in options] == [(None, None), (least, None), (None, 0.3)]


def test_the_official_key_of_the_weights_is_honoured(
    tmp_path: Path, tiny_weights: Path, tiny_onnx: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    where = ("--cfg", TINY_CONFIG, "TEST.MODEL_FILE")
    assert "TEST.MODEL_FILE x.pth is no file; correct it" in error(script("HigherHRNet_pth2onnx", *where, "x.pth"))
    assert script("HigherHRNet_pth2onnx", "--output", "a.onnx", *where, tiny_weights).status == 0
    other = tmp_path / "other.pth"
    torch.save({k: v * 2 if v.is_floating_point() else v for k, v in torch.load(tiny_weights).items()}, other)
    both = error(script("HigherHRNet_pth2onnx", "--weights", tiny_weights, *where, other))
    assert f"--weights {tiny_weights} and TEST.MODEL_FILE {other} are two checkpoints; give one" in both
    message = error(script("HigherHRNet_benchmark", *CPU, "--model", tiny_onnx, *where, other))
    assert f"model {tiny_onnx} was not exported from TEST.MODEL_FILE {other}, as far as it says" in message
    message = error(script("HigherHRNet_benchmark", "--backend", "torch", "--model", tiny_weights, *where, other))
    assert f"--model {tiny_weights} and TEST.MODEL_FILE {other} are two checkpoints; give one" in message


def test_one_directory_is_not_both_passes(
    tmp_path: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    both = ("--dump_dir", "d", "--dump_dir_flip", tmp_path / "d")
    outcome = script("HigherHRNet_postprocess", *both, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert "--dump_dir and --dump_dir_flip are both d; give the mirrored inputs' too" in error(outcome)


@pytest.mark.parametrize("split", ["test", "latest2024"])
def test_annotations_of_any_split_are_used_where_they_are(tmp_path: Path, split: str):
    image = coco.Image(0, 1, "a.jpg", 1, 1)
    location = coco.Location(str(tmp_path), split)
    assert not location.has_annotations
    (tmp_path / "annotations").mkdir()
    (tmp_path / f"annotations/person_keypoints_{split}.json").touch()
    (tmp_path / "images" / split).mkdir(parents=True)
    assert location.has_annotations
    assert location.annotations == tmp_path / f"annotations/person_keypoints_{split}.json"
    assert location.picture(image) == tmp_path / "images" / split / "a.jpg"


def test_annotations_and_images_are_named_directly(tmp_path: Path):
    image = coco.Image(0, 1, "a.jpg", 1, 1)
    location = coco.Location("", "val2017", annotation_file="people.json", image_folder="pictures")
    assert (location.annotations, location.picture(image)) == (Path("people.json"), Path("pictures/a.jpg"))
    assert location.absolute().annotations == Path.cwd() / "people.json"
    zipped = replace(location, image_folder="pictures.zip", zipped=True)
    assert zipped.picture(image) == Path("pictures.zip@a.jpg")
