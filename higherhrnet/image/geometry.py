"""The grid of network input sizes, and how one image is resized into it.

Sizes are ``width, height`` for images (OpenCV's order) and ``(H, W)`` for arrays, folders and ATC; every name says
which. Formulas: lib/utils/transforms.py of the official code at aa23881 with the guide's limit on the long side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np

from higherhrnet.config.plan import Plan, Scale
from higherhrnet.errors import UserError

STEP = 64
"""Input sides are multiples of this: the deepest branch is at 1/32 and one side of a pair must stay even."""

SMALLEST_STEP = 32
"""At scales above the smallest: the network halves sides five times."""

_PIXEL_STD = 200.0  # lib/utils/transforms.py gives scales in units of 200 pixels


def _enlarge(side: int, scale: Scale) -> int:
    """From a side at the smallest scale to this one's, in the official order of operations."""
    return int(side * scale.factor / scale.smallest)


def _smallest_short_side(short_side: int, scale: Scale) -> int:
    return int((scale.smallest * short_side + (STEP - 1)) // STEP * STEP)


def shape_grid(short_side: int, scale: Scale | None = None) -> list[tuple[int, int]]:
    """All input shapes (H, W) in the order in which the guide lists them for ATC, at a scale with limited long sides.

    For 512 at scale 1 the guide's 17: (1024, 512), (960, 512) .. (512, 512), (512, 576) .. (512, 1024).
    """
    scale = scale or Scale()
    smallest = _smallest_short_side(short_side, scale)
    sides = [_enlarge(side, scale) for side in range(smallest, 2 * smallest + 1, STEP)]
    return [(h, sides[0]) for h in reversed(sides)] + [(sides[0], w) for w in sides[1:]]


def shapes(plan: Plan) -> list[tuple[int, int]]:
    """All input shapes (H, W) of all scales with limited long sides, the largest first."""
    scales = (replace(plan.scale(factor), limited=True) for factor in plan.factors)
    return list(dict.fromkeys(shape for scale in scales for shape in shape_grid(plan.short_side, scale)))


@dataclass(frozen=True)
class Geometry:
    """One image's way into the network: sizes and the affine maps in both directions.

    The maps are computed where they are asked for: of images that are done already, only the shape is. They are
    read-only, as images of one size share a Geometry.
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

    @cached_property
    def forward(self) -> np.ndarray:
        """From image pixels to input pixels: float64 (2, 3) for column vectors (x, y, 1)."""
        source, target = _triangles(self.center, self.scale, self.input_width, self.input_height)
        return _read_only(cv2.getAffineTransform(source, target))

    @cached_property
    def inverse(self) -> np.ndarray:
        """From input pixels to image pixels: float64 (2, 3) for column vectors (x, y, 1)."""
        return self._inverse_from(self.input_height, self.input_width)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the network input."""
        return self.input_height, self.input_width

    @property
    def is_cut(self) -> bool:
        """True where the grid's limit crops the image's ends instead of showing all of it."""
        return self.uncut_long_side > max(self.shape)

    def to_image(self, points: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Map points [..., 2] (x, y) from input pixels to image pixels, in float64.

        ``size`` is the (H, W) of the map the points are in, where that shows the same part of the image as the input
        at another resolution.
        """
        inverse = self.inverse if size in {None, self.shape} else self._inverse_from(*size)
        return points.astype(np.float64) @ inverse[:, :2].T + inverse[:, 2]

    def _inverse_from(self, height: int, width: int) -> np.ndarray:
        source, target = _triangles(self.center, self.scale, width, height)
        return _read_only(cv2.getAffineTransform(target, source))


@lru_cache(maxsize=1024, typed=True)
def fit(image_width: int, image_height: int, short_side: int, scale: Scale | None = None) -> Geometry:
    """Place an image in the grid of ``short_side`` (DATASET.INPUT_SIZE): its short side fills the short side.

    At another ``scale`` than 1 the same, larger or smaller (get_multi_scale_size of the official
    lib/utils/transforms.py).

    Raises UserError: a size that is not positive.
    """
    scale_of_test = scale or Scale()
    if image_width < 1 or image_height < 1:
        raise UserError(f"image size {image_width}x{image_height}, expected positive width and height")
    portrait = image_width < image_height
    short, long = (image_width, image_height) if portrait else (image_height, image_width)
    # In the official order of operations: the quotient is rounded before it is multiplied.
    smallest = _smallest_short_side(short_side, scale_of_test)
    uncut = int((smallest / short * long + (STEP - 1)) // STEP * STEP)
    long_side = min(max(uncut, smallest), 2 * smallest) if scale_of_test.limited else uncut
    short_side, long_side, uncut = (_enlarge(side, scale_of_test) for side in (smallest, long_side, uncut))
    along_long = long_side / short_side * short / _PIXEL_STD
    along_short = short / _PIXEL_STD
    input_width, input_height = (short_side, long_side) if portrait else (long_side, short_side)
    extent = (along_short, along_long) if portrait else (along_long, along_short)
    center = (float(int(image_width / 2.0 + 0.5)), float(int(image_height / 2.0 + 0.5)))
    return Geometry(image_width, image_height, input_width, input_height, uncut, center, extent)


def of_plan(image_width: int, image_height: int, plan: Plan, factor: float = 1) -> Geometry:
    """Place an image as ``fit`` does, at one of a plan's scales."""
    return fit(image_width, image_height, plan.short_side, plan.scale(factor))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _triangles(
    center: tuple[float, float], scale: tuple[float, float], width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same three points in the image and in a map of width x height that shows its part ``center``, ``scale``."""
    source = _triangle(np.array(center), scale[0] * _PIXEL_STD)
    return source, _triangle(np.array([width * 0.5, height * 0.5]), width)


def _triangle(center: np.ndarray, width: float) -> np.ndarray:
    """Three float32 points (3, 2): the center, half a width above it, and the corner that completes a right angle."""
    points = np.zeros((3, 2), np.float32)
    points[0] = center
    points[1] = center + np.array([0, width * -0.5])
    offset = points[0] - points[1]
    points[2] = points[1] + np.array([-offset[1], offset[0]], np.float32)
    return points
