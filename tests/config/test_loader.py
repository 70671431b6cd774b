"""config: the official tree, its yaml files and overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.cli import predict
from higherhrnet.config import loader
from higherhrnet.config.plan import Plan
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, joints
from higherhrnet.errors import UserError
from tests.support.datasets import TINY_CONFIG

CROWD_POSE = loader.DEFAULT.parents[2] / "crowd_pose/higher_hrnet/w32_512_adam_lr1e-3.yaml"


def test_the_default_is_w32_512():
    cfg = loader.tree()
    assert cfg.DATASET.INPUT_SIZE == 512
    assert cfg.MODEL.EXTRA.STAGE4.NUM_CHANNELS == [32, 64, 128, 256]
    assert (cfg.TEST.DETECTION_THRESHOLD, cfg.TEST.TAG_THRESHOLD) == (0.1, 1.0)
    assert (cfg.TEST.NMS_KERNEL, cfg.TEST.NMS_PADDING) == (5, 2)
    assert cfg.is_frozen()


def test_overrides_take_the_type_of_the_key():
    cfg = loader.tree(
        TINY_CONFIG, ["DATASET.ROOT", "my data/coco", "TEST.TAG_THRESHOLD", "2.5", "TEST.REFINE", "False"]
    )
    assert cfg.DATASET.ROOT == "my data/coco"
    assert cfg.TEST.TAG_THRESHOLD == 2.5
    assert cfg.TEST.REFINE is False


def test_data_dir_is_put_before_a_root_that_does_not_exist(tmp_path: Path):
    cfg = loader.tree(None, ["DATA_DIR", str(tmp_path), "DATASET.ROOT", "no/such/root"])
    assert str(tmp_path / "no/such/root") == cfg.DATASET.ROOT


EIGHTEEN = ["DATASET.NUM_JOINTS", "18", "MODEL.NUM_JOINTS", "18"]


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["DATASET.ROOTT", "x"], "DATASET.ROOTT x: Non-existent key: DATASET.ROOTT"),
        (["NO.SUCH.KEY", "x"], "NO.SUCH.KEY"),
        (["TEST.REFINE", "maybe"], "TEST.REFINE maybe: Type mismatch"),
        (["DATASET.INPUT_SIZE", "500"], "DATASET.INPUT_SIZE 500, expected a multiple of 64"),
        (["TEST.NMS_KERNEL", "4"], "TEST.NMS_KERNEL 4"),
        (["TEST.SCALE_FACTOR", "[0.5,2]"], r"TEST.SCALE_FACTOR is \[0.5, 2\], expected 1 among several"),
        (["TEST.SCALE_FACTOR", "[1,1.3]"], "multiples of half the smallest"),
        (["TEST.SCALE_FACTOR", "[1,1]"], "positive numbers of 0.125 to 8, each once"),
        (["TEST.SCALE_FACTOR", "[]"], "positive numbers"),
        (["TEST.SCALE_FACTOR", "[1,True]"], "positive numbers"),
        (["TEST.WITH_AE", "(True,True)"], "TEST.WITH_AE"),
        (["DATASET.DATA_FORMAT", "png"], "DATA_FORMAT is png, expected jpg or zip"),
        (["DATASET.DATASET", "crowd_pose_kpt"], "two data sets"),
        (["DATASET.DATASET_TEST", "mpii"], "DATASET_TEST is mpii, expected coco, crowd_pose"),
        (["DATASET.NUM_JOINTS", "18"], "DATASET.NUM_JOINTS is 18, MODEL.NUM_JOINTS 17, expected one number"),
        (["DATASET.NUM_JOINTS", "0", "MODEL.NUM_JOINTS", "0"], "expected one number of 1 to 1024"),
        ([*EIGHTEEN, "DATASET.JOINTS", "coco"], r"joints .*coco.yaml are 17, config .* has 18 \(DATASET.NUM_JOINTS\)"),
        (["DATASET.JOINTS", "absent.yaml"], "cannot read joints absent.yaml: No such file"),
        (["TEST.OKS_NMS", "1.5"], "TEST.OKS_NMS 1.5, expected 0 to 1, where 0 is off"),
        (["TEST.MIN_SCORE", "-0.1"], "TEST.MIN_SCORE -0.1, expected 0 to 1"),
        (["TEST.IGNORE_CENTER", "False"], "IGNORE_CENTER False keeps a center"),
        (["TEST.IGNORE_CENTER", "True"], "IGNORE_CENTER has no effect: without DATASET.WITH_CENTER"),
        (["DATASET.WITH_CENTER", "True", "MODEL.TAG_PER_JOINT", "False"], "IGNORE_CENTER True would leave out"),
        (["TEST.DETECTION_THRESHOLD", "-0.1"], "expected a finite number of at least 0"),
        (["TEST.TAG_THRESHOLD", "1e999"], "expected a finite number of at least 0"),
        (["DATASET.INPUT_SIZE", "6400000"], "expected a multiple of 64 of at most 4096"),
        (["DATASET.MAX_NUM_PEOPLE", "1000000000000"], "expected 1 to 1024"),
        (["TEST.NMS_KERNEL", "100001", "TEST.NMS_PADDING", "50000"], "of at most 255"),
        (["DATASET.TEST", "../../elsewhere"], "expected a name like val2017"),
        (["DATASET.TEST", ""], "expected a name like val2017"),
        (["DATASET.TEST", ".."], "expected a name like val2017"),
        (["OUTPUT_DIR", "'\\ud800'"], "OUTPUT_DIR is .*, which no file system can hold"),
        *(
            (["TEST.SCALE_FACTOR", f], "positive numbers of")
            for f in ("[1e300]", "[1,60]", "[0.001]", "[" + "9" * 400 + "]")
        ),
        (["OUTPUT_DIR", "a\0b"], "OUTPUT_DIR is .*, which no file system can hold"),
        (["DATASET.INPUT_SIZE", "None"], "DATASET.INPUT_SIZE has no value"),
        (["DATASET", "None"], "DATASET has no value|DATASET None: "),
        (["MODEL.EXTRA", "None"], "MODEL.EXTRA is None|MODEL.EXTRA None: "),
        (["TEST.SCALE_FACTOR", "[" * 100_000], "TEST.SCALE_FACTOR"),
        (["TEST.SCALE_FACTOR", "9" * 10_000], "TEST.SCALE_FACTOR"),
        (["DATASET.ROOT"], "KEY VALUE pairs, found an odd number: DATASET.ROOT"),
    ],
)
def test_what_does_not_fit_is_refused(opts: list[str], message: str):
    with pytest.raises(UserError, match=message):
        loader.load(None, opts)


@pytest.mark.parametrize(
    "text",
    [
        *("UNKNOWN: 1\n", "DATASET: [1, 2]\n", "a: b: c\n", "- 1\n", "TEST:\n  NO: 1\n", "\t", "\xff", "[" * 50_000),
        "A: &a [1, 1]\nB: &b [*a, *a]\nMODEL: {EXTRA: {X: [*b, *b]}}\n",
        "TEST:\n  DETECTION_THRESHOLD: .nan\n",
        'OUTPUT_DIR: "a\\0b"\n',
        f"OUTPUT_DIR: {'x' * 100_001}\n",
        "OUTPUT_DIR: !!python/object/apply:os.getcwd []\n",
    ],
    ids=range(13),
)
def test_a_wrong_yaml_file_is_named(tmp_path: Path, text: str):
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"config .*wrong\.yaml"):
        loader.load(path)


@pytest.mark.parametrize("name", ["evil.py", "evil.txt", "evil"])
def test_a_configuration_is_never_run(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text(f"cfg = open({str(tmp_path / 'ran')!r}, 'w') and {{}}\n")
    with pytest.raises(UserError, match=f"config {path}: "):
        loader.load(path)
    assert not (tmp_path / "ran").exists()
    path.write_bytes(loader.DEFAULT.read_bytes())
    assert loader.tree(path) == loader.tree(loader.DEFAULT), "yaml, whatever its name"


def test_a_missing_yaml_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot read config .*none\.yaml"):
        loader.load(tmp_path / "none.yaml")


def test_a_center_adds_a_joint():
    cfg = loader.tree(None, ["DATASET.WITH_CENTER", "True"])
    assert (cfg.DATASET.NUM_JOINTS, cfg.MODEL.NUM_JOINTS) == (18, 18)
    config = loader.load(None, ["DATASET.WITH_CENTER", "True"])
    assert config.heads == Heads(18, 18)
    assert config.joints == joints.COCO
    assert config.result_joints == 17
    kept = loader.load(None, ["DATASET.WITH_CENTER", "True", "TEST.IGNORE_CENTER", "False"])
    assert kept.options.order[:3] == (17, 0, 1)
    assert kept.result_joints == 17


def test_crowd_pose_has_no_order_of_grouping_with_a_center():
    with pytest.raises(UserError, match="an order of grouping with the center for coco only"):
        loader.load(CROWD_POSE, ["DATASET.WITH_CENTER", "True", "TEST.IGNORE_CENTER", "False"])


def test_what_the_stages_take_of_a_configuration():
    config = loader.load(
        None,
        ["TEST.SCALE_FACTOR", "[0.5, 1, 2]", "TEST.FLIP_TEST", "False", "DATASET.DATA_FORMAT", "zip"],
    )
    assert config.plan == Plan(512, (2, 1, 0.5), flip=False, project=True, limited=True)
    assert (config.location.kind, config.location.zipped) == ("coco", True)
    assert loader.load(None, ["MODEL.TAG_PER_JOINT", "False"]).heads == Heads(17, 1)


def test_crowd_pose_s_joints():
    config = loader.load(CROWD_POSE)
    options = config.options
    # As lib/dataset/transforms/build.py and lib/core/group.py of the official code have them.
    assert options.flip == (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)
    assert [joint + 1 for joint in options.order] == [1, 2, 3, 4, 5, 6, 7, 12, 13, 8, 9, 10, 11, 14]
    assert config.location.kind == coco.CROWD_POSE
    assert sorted(options.order) == list(range(14))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DATASET:\n  ROOT: a\n  TEST: b\nDATASET:\n  ROOT: c\n", "line 4 gives DATASET again, which line 1 has"),
        ("DATASET:\n  ROOT: a\n  ROOT: b\n", "line 3 gives ROOT again, which line 2 has"),
        ("MODEL:\n  EXTRA: {STAGE2: {A: 1, A: 2}}\n", "line 2 gives A again, which line 2 has"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(tmp_path: Path, text: str, said: str):
    """Of two, yaml takes the last, and with a section all that the first one said is lost."""
    (tmp_path / "twice.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        loader.load(tmp_path / "twice.yaml")


def leaves(defaults: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in defaults.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


OTHER = {
    "DATASET.TEST": "train2017",
    "DATASET.INPUT_SIZE": "256",
    "DATASET.DATA_FORMAT": "zip",
    "TEST.SCALE_FACTOR": "[1,2]",
    "TEST.NMS_KERNEL": "3",
    "DATASET.JOINTS": "crowd_pose",
    "DATA_DIR": "elsewhere",
}
"""Values other than tiny.yaml's that are taken."""


def values(key: str, default: object) -> list[str]:
    """Of which at least one is another than tiny.yaml's."""
    if isinstance(default, bool):
        return ["True", "False"]
    if isinstance(default, str):
        return [OTHER.get(key, "other")]
    if isinstance(default, list | tuple):
        return [OTHER.get(key, "[7]" if isinstance(default, list) else "(7,)")]
    return [OTHER.get(key, "7" if isinstance(default, int) else "7.0")]


@pytest.mark.parametrize(
    ("key", "default"),
    # The commands that take weights honour TEST.MODEL_FILE themselves.
    [leaf for leaf in leaves(loader._DEFAULTS) if leaf[0] != "TEST.MODEL_FILE"],
)
def test_an_override_does_something_or_is_refused(key: str, default: object):
    """No key is taken and ignored."""
    beside = ["DATASET.ROOT", "data", "DATASET.WITH_CENTER", str(key == "TEST.IGNORE_CENTER")]
    before = loader.load(TINY_CONFIG, beside)
    found: list[Config | None] = []
    for value in values(key, default):
        try:
            found.append(replace(loader.load(TINY_CONFIG, [*beside, key, value]), text=before.text))
        except UserError as e:
            assert "omit it" in str(e) or key.rpartition(".")[2] in str(e)
            found.append(None)
    assert any(made != before for made in found), f"{key} does nothing"


@pytest.mark.parametrize(("key", "default"), list(leaves(loader._DEFAULTS)))
def test_an_override_of_predict_does_something_or_is_refused(key: str, default: object):
    """What is of a data set or of results alone is refused, where the configuration names the joints."""

    def used(config: Config) -> tuple[object, ...]:
        joints = (config.heads, config.described, config.groups_center)
        return (config.plan, config.decoding, config.weights, config.extra, *joints)

    beside = ["DATASET.WITH_CENTER", str(key == "TEST.IGNORE_CENTER")]
    before = used(loader.load(TINY_CONFIG, beside))
    found = []
    for value in values(key, default):
        try:
            config = loader.load(TINY_CONFIG, [*beside, key, value])
            predict._check_overrides([(key, value)], config)
            found.append(used(config) != before)
        except UserError as e:
            assert "omit it" in str(e) or key.rpartition(".")[2] in str(e)
            found.append(True)
    assert any(found), f"{key} does nothing"


def test_joints_of_no_shipped_set_come_from_the_annotations(tmp_path: Path):
    names = [f"joint {k}" for k in range(16)] + ["left_hand", "right_hand"]
    category = {"id": 3, "keypoints": names, "skeleton": [[1, 2], [17, 18]]}
    (tmp_path / "a.json").write_text(json.dumps({"images": [{}], "categories": [category]}))
    config = loader.load(None, [*EIGHTEEN, "DATASET.ANNOTATIONS", str(tmp_path / "a.json")])
    assert config.heads == Heads(18, 18)
    assert config.joints.names == tuple(names)
    assert config.joints.limbs == ((0, 1), (16, 17))
    assert config.options.flip == (*range(16), 17, 16)
    (tmp_path / "own.yaml").write_text("flip_pairs: []\n")
    own = loader.load(
        None, [*EIGHTEEN, "DATASET.ANNOTATIONS", str(tmp_path / "a.json"), "DATASET.JOINTS", str(tmp_path / "own.yaml")]
    )
    assert own.options.flip == tuple(range(18)), "overridden"
    category["keypoints"] = names[1:]
    (tmp_path / "a.json").write_text(json.dumps({"images": [{}], "categories": [category]}))
    with pytest.raises(UserError, match=r"skeleton of category 3 has \[17, 18\], expected pairs of its 17 joints"):
        _ = loader.load(None, [*EIGHTEEN, "DATASET.ANNOTATIONS", str(tmp_path / "a.json")]).joints
    category["skeleton"] = []
    (tmp_path / "a.json").write_text(json.dumps({"images": [{}], "categories": [category]}))
    with pytest.raises(UserError, match=r"a.json has 17 joints, config .* 18 \(DATASET.NUM_JOINTS\)"):
        _ = loader.load(None, [*EIGHTEEN, "DATASET.ANNOTATIONS", str(tmp_path / "a.json")]).joints
