"""Dumps: sizes, types and the names that tools give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import dumps
from higherhrnet.errors import UserError

SMALL, LARGE = (2, 3, 4), (2, 6, 4)


def values(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_exact_and_whole_buffer_dumps_give_the_same_array(tmp_path: Path):
    values(SMALL).tofile(tmp_path / "exact.bin")
    np.concatenate((values(SMALL).ravel(), np.full(24, np.nan, np.float32))).tofile(tmp_path / "whole.bin")
    for name in ("exact.bin", "whole.bin"):
        np.testing.assert_array_equal(dumps.read(tmp_path / name, SMALL, LARGE), values(SMALL))


@pytest.mark.parametrize("count", [0, 1, 23, 25, 47, 49])
def test_dumps_of_any_other_size_are_refused(tmp_path: Path, count: int):
    np.zeros(count, np.float32).tofile(tmp_path / "a.bin")
    with pytest.raises(UserError, match=rf"a.bin: found {4 * count} bytes, expected 96 for .* or 192"):
        dumps.read(tmp_path / "a.bin", SMALL, LARGE)


@pytest.mark.parametrize("lead", [(), (1,)])
def test_npy_dumps_with_and_without_batch_axis(tmp_path: Path, lead: tuple[int, ...]):
    np.save(tmp_path / "a.npy", values(SMALL).reshape(*lead, *SMALL))
    np.testing.assert_array_equal(dumps.read(tmp_path / "a.npy", SMALL, LARGE), values(SMALL))


def test_npy_dumps_in_float16_are_widened(tmp_path: Path):
    """Of an .om with --output_type=FP16; a .npy says its type itself."""
    np.save(tmp_path / "a.npy", values(SMALL).astype(np.float16))
    found = dumps.read(tmp_path / "a.npy", SMALL, LARGE)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values(SMALL).astype(np.float16))


def test_npy_dumps_of_other_type_shape_or_with_pickles_are_refused(tmp_path: Path):
    file = tmp_path / "a.npy"
    for array in (values(SMALL).astype(np.float64), values(SMALL).astype(">f4"), values((2, 4, 3))):
        np.save(file, array)
        with pytest.raises(UserError, match=r"expected float32 or float16 \[2, 3, 4\]"):
            dumps.read(file, SMALL, LARGE)
    np.save(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(UserError, match="is not a NumPy array"):
        dumps.read(file, SMALL, LARGE)


@pytest.mark.parametrize(
    ("names", "first", "suffix"),
    [
        (["000000000003_1.bin", "000000000003_2.bin"], 1, "bin"),
        (["000000000003_0.bin", "000000000003_1.bin", "x_summary.json"], 0, "bin"),
        (["000000000003_0.npy", "000000000003_1.npy"], 0, "npy"),
    ],
)
def test_namings_of_the_tools(tmp_path: Path, names: list[str], first: int, suffix: str):
    for name in names:
        (tmp_path / name).touch()
    assert dumps.find(tmp_path) == ([3], dumps.Naming(first, suffix))


def test_dumps_of_two_tools_in_one_directory_are_refused(tmp_path: Path):
    for name in ("000000000003_0.bin", "000000000003_1.bin", "000000000003_2.bin"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="several runs"):
        dumps.find(tmp_path)


def test_an_empty_dump_directory_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="holds no dumps"):
        dumps.find(tmp_path)
