"""Joint sets: the shipped ones, and those derived from names, files and annotations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pycocotools.cocoeval import Params

from higherhrnet.dataset import joints
from higherhrnet.dataset.joints import Description
from higherhrnet.errors import UserError
from tests.support.datasets import ROOT


def test_coco_s_joints_are_the_official_ones():
    """lib/dataset/transforms/build.py and lib/core/group.py of the official code; the sigmas are pycocotools'."""
    assert joints.COCO.flip == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert joints.COCO.order == (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
    assert joints.COCO.sigmas == pytest.approx(Params("keypoints").kpt_oks_sigmas)
    assert len(joints.COCO.limbs) == 19


def test_crowd_pose_s_joints_are_the_official_ones():
    """FLIP_CONFIG of the official lib/dataset/transforms/build.py; the sigmas are crowdposetools'."""
    assert joints.CROWD_POSE.flip == (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)
    assert joints.CROWD_POSE.order == (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13)
    sigmas = (0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79)
    assert joints.CROWD_POSE.sigmas == pytest.approx([s / 10 for s in sigmas])


def test_the_center_comes_first_in_grouping():
    found = joints.COCO.with_center
    assert len(found) == 18
    assert found.order[:3] == (17, 0, 1)
    assert found.flip[17] == 17


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["nose", "left_knee", "right_knee"], [("left_knee", "right_knee")]),
        (["knee_right", "neck", "knee_left"], [("knee_right", "knee_left")]),
        (["LKnee", "RKnee", "Head"], [("LKnee", "RKnee")]),
        (["leftKnee", "rightKnee"], [("leftKnee", "rightKnee")]),
        (["Left Knee", "Right Knee"], [("Left Knee", "Right Knee")]),
        (["L.Knee", "R.Knee"], [("L.Knee", "R.Knee")]),
        (["knee_l", "knee_r"], [("knee_l", "knee_r")]),
        (["lknee", "rknee", "lip"], [("lknee", "rknee")]),
        (["kneeL", "kneeR"], [("kneeL", "kneeR")]),
        (["左膝", "右膝", "头"], [("左膝", "右膝")]),
        (["LEFT_KNEE", "RIGHT_KNEE"], [("LEFT_KNEE", "RIGHT_KNEE")]),
        (["wrist", "thumb1", "index_finger1", "lips", "relation"], []),
    ],
)
def test_partners_in_the_mirror_are_told_by_their_names(names: list[str], pairs: list[tuple[str, str]]):
    assert joints.mirrored(names) == pairs


def test_sides_are_told_by_names_whatever_their_order():
    found = Description().complete(["右膝", "左膝", "RKnee", "LKnee", "neck"])
    assert found.sides == ("right", "left", "right", "left", "middle")


def test_a_joint_without_its_partner_is_named():
    with pytest.raises(UserError, match=r"'left_knee' has no partner 'right_knee' .* under flip_pairs: in a yaml file"):
        joints.mirrored(["left_knee", "nose"])


def test_what_nothing_says_is_derived():
    found = Description().complete(["left_wrist", "right_wrist", "tail"], [(0, 2)], Path("a.json"))
    assert found.name == "annotations"
    assert found.flip == (1, 0, 2)
    assert found.order == (0, 1, 2)
    assert found.limbs == ((0, 2),)
    assert found.sigmas == (0.062, 0.062, joints.SIGMA), "COCO's of the same name, else the median of COCO's"
    assert found.assumed == ("tail",)
    assert found.colors == ((0, 114, 178), (213, 94, 0), (245, 245, 245)), "left, right, middle"


def described(folder: Path, text: str) -> Description:
    (folder / "own.yaml").write_text(text)
    return joints.read(folder / "own.yaml")


def test_a_file_says_the_rest(tmp_path: Path):
    found = described(
        tmp_path,
        "names: [a, b, c]\nflip_pairs: [[a, c]]\nskeleton: [[c, b]]\ngrouping_order: [b, a, c]\n"
        "sigmas: {a: 0.1, c: 1}\ncolors: {b: '#010203', left: '#040506'}\n",
    ).complete()
    assert found.flip == (2, 1, 0)
    assert found.limbs == ((2, 1),)
    assert found.order == (1, 0, 2)
    assert found.sigmas == (0.1, joints.SIGMA, 1)
    assert found.colors == ((4, 5, 6), (1, 2, 3), (213, 94, 0))


def test_a_file_overrides_the_pairs_of_names_that_annotations_give(tmp_path: Path):
    found = described(tmp_path, "flip_pairs: []\n").complete(["left_x", "right_x"], [(0, 1)])
    assert found.flip == (0, 1)
    assert found.limbs == ((0, 1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a, b]", "expected a mapping with names, flip_pairs"),
        ("joints: [a]", "expected a mapping with names, flip_pairs"),
        ("names: [a, a]", "names to be a list of up to 1024 names, each once"),
        ("names: [1, 2]", "names to be a list"),
        ("names:", "names to be a list"),
        ("names: [a, b]\nflip_pairs: [[a, b], [a, b]]", "flip_pairs name 'a' or 'b' twice"),
        ("names: [a, b]\nflip_pairs: [[a, a]]", "flip_pairs name 'a' or 'a' twice"),
        ("names: [a, b]\nflip_pairs: [[a, c]]", "flip_pairs names 'c', which is none of its 2 joints"),
        ("names: [a, b]\nskeleton: [[a]]", "skeleton to be a list of pairs"),
        ("names: [a, b]\nskeleton: [[a, c]]", "skeleton names 'c'"),
        ("names: [a, b]\ngrouping_order: [a]", "grouping_order has 1 of 2 joints"),
        ("names: [a, b]\nsigmas: [0.1]", "1 sigmas for 2 joints"),
        ("names: [a, b]\nsigmas: {c: 0.1}", "sigmas names 'c'"),
        ("names: [a, b]\nsigmas: [0.1, -1]", "sigmas to be positive"),
        ("names: [a, b]\nsigmas: [0.1, .nan]", "sigmas to be positive"),
        ("names: [a, b]\ncolors: {a: red}", "colors to be colours such as"),
        ("names: [a, b]\ncolors: {c: '#000000'}", "colors names 'c'"),
        ("names: [a, b]\nnames: [c, d]", "names stands in line 2 once more"),
        ("names: &x [a, b]\ngrouping_order: *x", "found an alias"),
        ("names: [a, b", "own.yaml: "),
        ("flip_pairs: []", "names no joints"),
        ("!!python/object/apply:os.system [ls]", "own.yaml: could not determine a constructor"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message):
        described(tmp_path, text).complete()


def test_a_file_is_found_by_name_here_and_beside_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert joints.locate("coco", tmp_path) == joints.SHIPPED / "coco.yaml"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/own.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert joints.locate("own.yaml", tmp_path / "configs") == tmp_path / "configs/own.yaml"
    (tmp_path / "own.yaml").touch()
    assert joints.locate("own.yaml", tmp_path / "configs") == Path("own.yaml")
    with pytest.raises(UserError, match=r"cannot read joints absent: No such file.* or one of coco, crowd_pose"):
        joints.read(joints.locate("absent", tmp_path))


def test_the_file_in_the_documentation_is_one(tmp_path: Path):
    (block,) = re.findall(r"```text\n(names: .*?)```", (ROOT / "docs/configurations.md").read_text(), re.DOTALL)
    found = described(tmp_path, block).complete()
    assert found.names == ("nose", "left_hand", "right_hand")
    assert found.flip_pairs == (("left_hand", "right_hand"),)
    assert found.colors[0] == (245, 245, 245)
