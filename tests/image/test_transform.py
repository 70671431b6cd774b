"""From pixels to inputs: the reference's bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.config.plan import Scale
from higherhrnet.errors import UserError
from higherhrnet.image import geometry, reader, transform
from tests.support import golden


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("picture", range(golden.PICTURES))
def test_golden_inputs_to_the_bit(picture: int, tmp_path: Path):
    """Of drawn pictures, at one scale and at three; where bytes change, VERSION must have grown."""
    reference = golden.read("inputs.json")
    assert reference["version"] == transform.VERSION, "python3 -m tests.golden.make inputs"
    pixels = reader.read_image(golden.draw(tmp_path, picture))
    assert sha256(pixels[:, :, ::-1].copy()) == reference["pixels"][picture], "drawn otherwise than the golden ones"
    rows = [row for row in reference["rows"] if row["picture"] == picture]
    assert [(row["factor"], row["smallest"]) for row in rows] == [(1, 1), (2, 0.5), (1, 0.5), (0.5, 0.5)]
    for row in rows:
        scale = Scale(row["factor"], row["smallest"])
        tensor = transform.normalise(transform.warp(pixels, geometry.fit(pixels.shape[1], pixels.shape[0], 512, scale)))
        assert list(tensor.shape) == row["shape"]
        assert sha256(tensor) == row["sha256"], row
        assert sha256(transform.mirror(tensor)) == row["sha256_flip"], row


@pytest.mark.slow
def test_inputs_of_coco_images_to_the_bit(coco_mini: Path):
    """The official code's own hashes, which lie beside the images."""
    rows = json.loads((coco_mini.parents[1] / "golden/preprocess.json").read_text())["rows"]
    assert len(rows) == 79
    for row in rows:
        pixels = reader.read_image(coco_mini / "images/val2017" / row["file_name"])
        grid = geometry.fit(pixels.shape[1], pixels.shape[0], 512)
        tensor = transform.normalise(transform.warp(pixels, grid))
        assert tensor.shape == (3, row["resized_h"], row["resized_w"])
        assert sha256(tensor) == row["sha256"], row["file_name"]
        assert sha256(transform.mirror(tensor)) == row["sha256_flip"], row["file_name"]


def test_normalise_by_hand():
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[0, 1] = 255, 0, 51
    tensor = transform.normalise(pixels)
    assert tensor.dtype == np.float32
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(tensor[:, 0, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(tensor[:, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_normalise_has_the_bits_of_whole_image_arithmetic(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    scaled = pixels.astype(np.float32) / np.float32(255)
    plain = (scaled - np.array(transform.MEAN, np.float32)) / np.array(transform.STD, np.float32)
    np.testing.assert_array_equal(transform.normalise(pixels), plain.transpose(2, 0, 1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_mirror_reverses_width_only(seed, height, width):
    tensor = np.random.default_rng(seed).random((3, height, width), np.float32)
    np.testing.assert_array_equal(transform.mirror(tensor), tensor[:, :, ::-1])


def test_a_bright_pixel_and_its_coordinates_land_together():
    """Geometry's map is the one warpAffine used: the brightest input pixel is where the image's pixel went."""
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[200, 100] = 255
    grid = geometry.fit(400, 300, 512)
    warped = transform.warp(pixels, grid)[:, :, 0]
    y, x = np.unravel_index(warped.argmax(), warped.shape)
    expected = grid.forward[:, :2] @ [100, 200] + grid.forward[:, 2]
    np.testing.assert_allclose([x, y], expected, atol=1)


def test_opencv_5_is_refused(monkeypatch: pytest.MonkeyPatch):
    transform.check_opencv()
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    with pytest.raises(UserError, match=r"OpenCV 5.0.0 found, expected 4.x"):
        transform.check_opencv()


def test_an_input_in_float16_is_the_rounded_one():
    """A session on an NPU may take it so; OpenCV would leave such a target as it was."""
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    half = np.zeros((3, 4, 5), np.float16)
    assert transform.normalise(pixels, half) is half
    np.testing.assert_array_equal(half, transform.normalise(pixels).astype(np.float16))
