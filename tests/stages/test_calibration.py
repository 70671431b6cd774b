"""Which inputs are chosen to calibrate on."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import claim, inputs
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.errors import UserError
from higherhrnet.stages import calibration
from tests.support.works import INPUTS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """20 inputs of 32x32, 10 of 32x64, one of 64x32, without a record: other programs' trees have none."""
    root = tmp_path / "bins"
    index = 0
    for shape, count in (((32, 32), 20), ((32, 64), 10), ((64, 32), 1)):
        for _ in range(count):
            path = inputs.path(root, shape, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.full((3, *shape), index, np.float32).tofile(path)
            index += 1
    return root


def test_every_shape_has_one_and_the_rest_go_by_pixels(tree: Path):
    """Pixels are 20, 20 and 2 thousand: of 11 inputs one is the only tall one's, and the others share alike."""
    chosen = calibration.choose(tree, None, 11, seed=0)
    assert Counter(one.shape for one in chosen.plain) == {(32, 32): 5, (32, 64): 5, (64, 32): 1}
    assert chosen.available == 31
    assert chosen.flipped == chosen.pictures == ()


def test_the_seed_decides(tree: Path, tmp_path: Path):
    mirrored = tmp_path / "flip"
    shutil.copytree(tree, mirrored)

    def indices(seed: int) -> list[int]:
        return [one.index for one in calibration.choose(tree, mirrored, 12, seed).all]

    assert indices(1) == indices(1)
    assert indices(1) != indices(2)
    assert len(calibration.choose(tree, None, 1000, 0).all) == 31


def test_batches_are_of_one_shape_and_repeat_their_first(tree: Path):
    chosen = calibration.choose(tree, None, 11, seed=0)
    batches = list(chosen.batches(4))
    assert [batch.shape for batch in batches] == [
        *[(4, 3, 32, 32)] * 2,
        *[(4, 3, 32, 64)] * 2,
        (4, 3, 64, 32),
    ]
    assert (batches[1] == batches[1][0, 0, 0, 0]).all()  # five inputs: one in the second batch


def test_mirrored_inputs_are_of_the_same_pictures(tree: Path, tmp_path: Path):
    """They may be of a data set of equal names: only the plain ones' pictures would be recorded."""
    mirrored = tmp_path / "flip"
    with pytest.raises(UserError, match="--inputs and --inputs_flip are both"):
        calibration.choose(tree, tree, 12, 0)
    shutil.copytree(tree, mirrored)
    claim.write(tree, Record(INPUTS, Facts(pictures="a" * 64), complete=True))
    with pytest.raises(UserError, match=r"only one of .* says what it is of; preprocess both in one run"):
        calibration.choose(tree, mirrored, 12, 0)
    for pictures, ok in (("a" * 64, True), ("b" * 64, False)):
        claim.write(mirrored, Record(replace(INPUTS, flip=True), Facts(pictures=pictures), complete=True))
        if ok:
            assert calibration.choose(tree, mirrored, 12, 0).flipped
    with pytest.raises(
        UserError, match=r"of other work than the plain ones: other pictures .*; preprocess both in one"
    ):
        calibration.choose(tree, mirrored, 12, 0)


def test_too_few_are_refused(tree: Path):
    for path in list(tree.glob("*/*.bin"))[9:]:
        path.unlink()
    with pytest.raises(UserError, match="holds 9 inputs, expected at least 10"):
        calibration.choose(tree, None, 200, 0)
