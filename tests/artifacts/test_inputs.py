"""Trees of inputs: names, sizes, order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

from higherhrnet.artifacts import inputs
from higherhrnet.errors import UserError

SHAPES = st.sampled_from([(512, 512), (1024, 512), (512, 704)])


def make_input(root: Path, shape: tuple[int, int], index: int) -> Path:
    path = inputs.path(root, shape, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(inputs.size(shape))
    return path


def test_input_names_and_sizes_are_the_guide_s():
    assert inputs.path(Path("prep"), (512, 704), 7) == Path("prep/shape_512x704/000000000007.bin")
    assert inputs.size((512, 704)) == 3 * 512 * 704 * 4


def test_inputs_are_found_in_index_order_whatever_their_shape(tmp_path: Path):
    for index, shape in ((2, (512, 512)), (0, (512, 704)), (1, (704, 512))):
        make_input(tmp_path, shape, index)
    (tmp_path / "record.json").write_text("{}")
    assert [(i.index, i.shape) for i in inputs.find(tmp_path)] == [(0, (512, 704)), (1, (704, 512)), (2, (512, 512))]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "shape_512x512/000000000000.bin").write_bytes(b"short"),
            "found 5 bytes, expected 3145728",
        ),
        (lambda root: make_input(root, (512, 704), 0), "two inputs of index 0"),
        (lambda root: (root / "shape_512x512/cat.bin").touch(), "cat.bin: found this name, expected 12 digits"),
    ],
)
def test_wrong_trees_are_refused(tmp_path: Path, spoil, message: str):
    make_input(tmp_path, (512, 512), 0)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        inputs.find(tmp_path)


def test_missing_and_empty_trees_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="does not exist"):
        inputs.find(tmp_path / "none")
    with pytest.raises(UserError, match="holds no shape_HxW"):
        inputs.find(tmp_path)
