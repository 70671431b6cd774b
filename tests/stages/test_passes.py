"""Lists of inputs are of one tree, and those of both passes of one work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from higherhrnet.artifacts import claim, info
from higherhrnet.errors import UserError
from higherhrnet.stages import dataset_info, passes


@pytest.fixture
def lists(tiny_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees a and b of equal plain inputs and one mirrored, with lists of their names."""
    monkeypatch.chdir(tmp_path)
    for name, tree in (("a", "bins"), ("b", "bins"), ("flip", "bins_flip")):
        shutil.copytree(tiny_inputs / tree, name)
        dataset_info.list_inputs(Path(name), name)


@pytest.mark.parametrize("within", [False, True])
def test_lists_that_mix_two_trees_are_refused(lists: None, within: bool):
    """A shape's list of another tree, or a line of one: the first tree's record would be taken for all."""
    shapes = info.of_shapes("a")
    last = max(shapes)
    mixed = shapes[last].read_text().splitlines(keepends=True)
    mixed[-1 if within else 0 :] = (
        info.of_shapes("b")[last].read_text().splitlines(keepends=True)[-1 if within else 0 :]
    )
    shapes[last].write_text("".join(mixed))
    with pytest.raises(UserError, match=r"a_HxW.info name inputs of two trees, .*a and .*b; list one"):
        passes.load("a", flip=False)


def test_a_tree_by_two_names_is_one(lists: None):
    Path("link").symlink_to("a")
    shapes = info.of_shapes("a")
    listed = shapes[max(shapes)]
    entries = [info.Entry(Path("link", *e.path.parts[-2:]).absolute(), e.width, e.height) for e in info.read(listed)]
    info.write(listed, entries)
    assert passes.load("a", flip=False).made is not None


def test_the_same_inputs_are_not_both_passes(lists: None):
    """Without records, as other programs' trees have none, nothing else says so."""
    claim.record_of(Path("a")).unlink()
    plain, flip = passes.load("a", flip=False), passes.load("a", flip=True)
    with pytest.raises(UserError, match="name the same inputs; list the mirrored ones"):
        passes.check_pair(plain, flip)


def test_inputs_with_and_without_a_record_are_no_pair(lists: None):
    claim.record_of(Path("flip")).unlink()
    plain, flip = passes.load("a", flip=False), passes.load("flip", flip=True)
    with pytest.raises(UserError, match=r"nothing says what those that .* names are of; preprocess both in one run"):
        passes.check_pair(plain, flip)
