"""The Python API at its edges: what is no picture, arrays that are filled again, options, forks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet import Pose
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from tests.support.datasets import TINY_CONFIG


@pytest.fixture
def pose(tiny_onnx: Path) -> Iterator[Pose]:
    with Pose(tiny_onnx, config=TINY_CONFIG, min_score=0, oks_nms=0, flip=False) as made:
        yield made


@pytest.fixture
def pixels(tiny_data: Path) -> np.ndarray:
    return reader.read_image(min((tiny_data / "images/val2017").iterdir()))


def test_an_array_that_is_filled_again_is_each_picture(pose: Pose, pixels: np.ndarray):
    """As a camera's is: the stream has read ahead by then."""
    wanted = [pose(pixels).keypoints, pose(pixels[::-1]).keypoints]
    assert not np.array_equal(wanted[0], wanted[1])
    one = np.empty_like(pixels)

    def filled() -> Iterator[np.ndarray]:
        for number in range(6):
            one[:] = pixels[::-1] if number % 2 else pixels
            yield one

    for number, people in enumerate(pose.stream(filled())):
        assert np.array_equal(people.keypoints, wanted[number % 2])


def test_what_is_no_picture_is_said(pose: Pose, pixels: np.ndarray, tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    for several in ("-", "camera:0", str(tmp_path), str(tmp_path / "*.jpg"), tmp_path / "a.mp4"):
        with pytest.raises(ValueError, match="is no picture; give it to stream"):
            pose(several)
    for other in (None, 3, b"a.jpg", pixels.tolist()):
        with pytest.raises(TypeError, match="expected a path or an array"):
            pose(other)  # type: ignore[arg-type]
    with pytest.raises(BadImageError, match="no file has such a name"):
        pose("")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backend", "tensorflow"),
        ("batch", 0),
        ("threads", -1),
        ("device", 0.5),
        ("min_score", float("nan")),
        ("oks_nms", "0.9"),
    ],
)
def test_options_are_refused_by_name(name: str, value: Any):
    with pytest.raises(UserError, match=f"^{name} is {value!r}, expected"):
        Pose("nobody.onnx", **{name: value})


def test_a_forked_process_is_told_to_make_its_own(pose: Pose, pixels: np.ndarray):
    assert len(pose(pixels)) > 0

    def child() -> None:
        with pytest.raises(RuntimeError, match="threads do not survive a fork"):
            pose(pixels)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 0
