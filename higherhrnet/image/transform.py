"""From an image's pixels to the network's input and its mirror image.

The bytes are those of the reference: warpAffine of OpenCV 4.x (5.x warps otherwise), then ImageNet normalisation in
float32.
"""

from __future__ import annotations

import cv2
import numpy as np

from higherhrnet.errors import UserError
from higherhrnet.image.geometry import Geometry

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's R, G, B in units of 0..1, which the backbone was trained with."""
VERSION = 1
"""Of the way from a picture to an input: larger wherever equal pictures give other bytes. Golden tests guard it."""


def check_opencv() -> None:
    """Refuse an OpenCV whose warpAffine gives other pixels than the reference's. Raises UserError."""
    if not cv2.__version__.startswith("4."):
        raise UserError(
            f"OpenCV {cv2.__version__} found, expected 4.x: warpAffine of 5.x differs in up to 16 % of the pixels; "
            f"pip install 'opencv-python-headless>=4.6,<5'"
        )


def warp(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Resize an image [h, w, 3] into the input frame: uint8 [H, W, 3], bilinear, black outside the image."""
    return cv2.warpAffine(image, geometry.forward, (geometry.input_width, geometry.input_height))


def _normalisation_table() -> np.ndarray:
    """float32 [3, 256]: the normalised value of every byte, a channel a row.

    The same float32 operations in the same order as on whole images, so the same bits at a third of the time.
    """
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    mean, std = np.array(MEAN, np.float32)[:, None], np.array(STD, np.float32)[:, None]
    return (values - mean) / std


_TABLE = _normalisation_table()


def normalise(image: np.ndarray, tensor: np.ndarray | None = None) -> np.ndarray:
    """RGB uint8 [H, W, 3] to the network's input: float32 [3, H, W], (x / 255 - mean) / std; into ``tensor`` if given.

    A given ``tensor`` must have its rows in C order; into a float16 one the values are rounded.
    """
    if tensor is not None and tensor.dtype != np.float32:  # OpenCV would fill another array in its place
        tensor[:] = normalise(image)
        return tensor
    tensor = np.empty((3, *image.shape[:2]), np.float32) if tensor is None else tensor
    for channel, plane in enumerate(cv2.split(image)):
        cv2.LUT(plane, _TABLE[channel], dst=tensor[channel])
    return tensor


def mirror(tensor: np.ndarray) -> np.ndarray:
    """The flip input: the finished tensor [3, H, W] mirrored in width (not the image mirrored, then warped)."""
    mirrored = np.empty_like(tensor)
    for channel in range(len(tensor)):
        cv2.flip(tensor[channel], 1, dst=mirrored[channel])
    return mirrored


def mirror_pixels(image: np.ndarray) -> np.ndarray:
    """The flip input before normalisation: uint8 [H, W, 3] mirrored in width."""
    return cv2.flip(image, 1)
