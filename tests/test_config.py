"""config: the official tree, its yaml files and overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import TINY_CONFIG
from higherhrnet import config
from higherhrnet.errors import UserError


def test_the_default_is_w32_512():
    cfg = config.load()
    assert cfg.DATASET.INPUT_SIZE == 512
    assert cfg.MODEL.EXTRA.STAGE4.NUM_CHANNELS == [32, 64, 128, 256]
    assert (cfg.TEST.DETECTION_THRESHOLD, cfg.TEST.TAG_THRESHOLD) == (0.1, 1.0)
    assert (cfg.TEST.NMS_KERNEL, cfg.TEST.NMS_PADDING) == (5, 2)
    assert cfg.is_frozen()


def test_overrides_take_the_type_of_the_key():
    cfg = config.load(
        TINY_CONFIG, ["DATASET.ROOT", "my data/coco", "TEST.TAG_THRESHOLD", "2.5", "TEST.REFINE", "False"]
    )
    assert cfg.DATASET.ROOT == "my data/coco"
    assert cfg.TEST.TAG_THRESHOLD == 2.5
    assert cfg.TEST.REFINE is False


def test_data_dir_is_put_before_a_root_that_does_not_exist(tmp_path: Path):
    cfg = config.load(None, ["DATA_DIR", str(tmp_path), "DATASET.ROOT", "no/such/root"])
    assert str(tmp_path / "no/such/root") == cfg.DATASET.ROOT


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["DATASET.ROOTT", "x"], "DATASET.ROOTT x: Non-existent key: DATASET.ROOTT"),
        (["NO.SUCH.KEY", "x"], "NO.SUCH.KEY"),
        (["TEST.REFINE", "maybe"], "TEST.REFINE maybe: Type mismatch"),
        (["DATASET.INPUT_SIZE", "500"], "DATASET.INPUT_SIZE 500, expected a multiple of 64"),
        (["TEST.NMS_KERNEL", "4"], "TEST.NMS_KERNEL 4"),
        (["TEST.SCALE_FACTOR", "[0.5,1,2]"], r"TEST.SCALE_FACTOR is \[0.5, 1, 2\], only \[1\] is supported"),
        (["TEST.FLIP_TEST", "False"], "TEST.FLIP_TEST is False, only True"),
        (["TEST.DETECTION_THRESHOLD", "-0.1"], "expected at least 0"),
        (["DATASET.ROOT"], "KEY VALUE pairs, found an odd number: DATASET.ROOT"),
    ],
)
def test_what_does_not_fit_is_refused(opts: list[str], message: str):
    with pytest.raises(UserError, match=message):
        config.load(None, opts)


@pytest.mark.parametrize("text", ["UNKNOWN: 1\n", "DATASET: [1, 2]\n", "a: b: c\n", "- 1\n", "TEST:\n  NO: 1\n", "\t"])
def test_a_wrong_yaml_file_is_named(tmp_path: Path, text: str):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config .*wrong\.yaml"):
        config.load(path)


def test_a_missing_yaml_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot read config .*none\.yaml"):
        config.load(tmp_path / "none.yaml")
