"""The grid of network input sizes, and how one image is resized into it.

Sizes are ``width, height`` for images (OpenCV's order) and ``(H, W)`` for arrays, folders and ATC; every name says
which. Formulas: lib/utils/transforms.py of the official code at aa23881 with the guide's limit on the long side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from higherhrnet.errors import UserError

STEP = 64
"""Input sides are multiples of this: the deepest branch is at 1/32 and one side of a pair must stay even."""

_PIXEL_STD = 200.0  # lib/utils/transforms.py gives scales in units of 200 pixels


def shape_grid(short_side: int) -> list[tuple[int, int]]:
    """All input shapes (H, W) in the order in which the guide lists them for ATC.

    For 512 the guide's 17: (1024, 512), (960, 512) .. (512, 512), (512, 576) .. (512, 1024).
    """
    sides = range(short_side, 2 * short_side + 1, STEP)
    return [(h, short_side) for h in reversed(sides)] + [(short_side, w) for w in sides[1:]]


@dataclass(frozen=True)
class Geometry:
    """One image's way into the network: sizes and the affine maps in both directions.

    ``forward`` maps image pixels to input pixels, ``inverse`` input pixels to image pixels; both are float64 (2, 3)
    matrices for column vectors (x, y, 1).
    """

    image_width: int
    image_height: int
    input_width: int
    input_height: int
    uncut_long_side: int
    """Long side of the input before the grid's limit; more than the input's where the image's ends are cut off."""
    center: tuple[float, float]
    scale: tuple[float, float]
    """(x, y) extent of the input in image pixels, divided by 200: the official code's unit."""
    forward: np.ndarray
    inverse: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the network input."""
        return self.input_height, self.input_width

    @property
    def is_cut(self) -> bool:
        """True where the grid's limit crops the image's ends instead of showing all of it."""
        return self.uncut_long_side > max(self.shape)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Map points [..., 2] (x, y) from input pixels to image pixels, in float64."""
        return points.astype(np.float64) @ self.inverse[:, :2].T + self.inverse[:, 2]


def fit(image_width: int, image_height: int, short_side: int) -> Geometry:
    """Place an image in the grid of ``short_side`` (DATASET.INPUT_SIZE): its short side fills the short side.

    Raises
    ------
    UserError : a size that is not positive
    """
    if image_width < 1 or image_height < 1:
        raise UserError(f"image size {image_width}x{image_height}, expected positive width and height")
    portrait = image_width < image_height
    short, long = (image_width, image_height) if portrait else (image_height, image_width)
    # In the official order of operations: the quotient is rounded before it is multiplied.
    uncut = int((short_side / short * long + (STEP - 1)) // STEP * STEP)
    long_side = min(max(uncut, short_side), 2 * short_side)
    along_long = long_side / short_side * short / _PIXEL_STD
    along_short = short / _PIXEL_STD
    input_width, input_height = (short_side, long_side) if portrait else (long_side, short_side)
    scale = (along_short, along_long) if portrait else (along_long, along_short)
    center = (float(int(image_width / 2.0 + 0.5)), float(int(image_height / 2.0 + 0.5)))
    source = _triangle(np.array(center), scale[0] * _PIXEL_STD)
    target = _triangle(np.array([input_width * 0.5, input_height * 0.5]), input_width)
    return Geometry(
        image_width,
        image_height,
        input_width,
        input_height,
        uncut,
        center,
        scale,
        forward=cv2.getAffineTransform(source, target),
        inverse=cv2.getAffineTransform(target, source),
    )


def _triangle(center: np.ndarray, width: float) -> np.ndarray:
    """Three float32 points (3, 2): the center, half a width above it, and the corner that completes a right angle."""
    points = np.zeros((3, 2), np.float32)
    points[0] = center
    points[1] = center + np.array([0, width * -0.5])
    offset = points[0] - points[1]
    points[2] = points[1] + np.array([-offset[1], offset[0]], np.float32)
    return points
