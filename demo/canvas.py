"""Anti-aliased, shaded shapes on an image that also records what was drawn last at every pixel.

Coordinates are continuous pixels, (x, y), the centre of the first pixel at (0.5, 0.5); colours are BGR in 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]

_SHIFT = 4  # fractional bits of the coordinates OpenCV draws with


@dataclass(frozen=True)
class Canvas:
    """``image`` uint8 [h, w, 3]; ``owner`` uint8 [h, w], 0: nobody's; ``light`` [2]: unit vector to the light."""

    image: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    light: Floats

    def fill(self, polygon: Floats, colour: Colour, tag: int | None = None) -> None:
        """Fill a convex polygon [n, 2]; ``tag`` also marks its pixels as owned."""
        points = _fixed(polygon)
        cv2.fillConvexPoly(self.image, points, colour, cv2.LINE_AA, _SHIFT)
        if tag is not None:
            cv2.fillConvexPoly(self.owner, points, tag, cv2.LINE_8, _SHIFT)

    def limb(self, a: Floats, b: Floats, ra: float, rb: float, colour: Colour, tag: int | None = None) -> None:
        """A round limb from ``a`` to ``b`` whose radius goes from ``ra`` to ``rb``, shaded as if lit from ``light``."""
        self.fill(capsule(a, b, ra, rb), tone(colour, 0.62), tag)
        for size, brightness in ((0.8, 1.0), (0.42, 1.16)):
            if size * max(ra, rb) < 1:
                break
            shift = self.light * (1 - size)
            self.fill(capsule(a + shift * ra, b + shift * rb, size * ra, size * rb), tone(colour, brightness))

    def textured(self, polygon: Floats, texture: Floats, tag: int | None = None) -> None:
        """Fill a convex polygon with ``texture`` float [th, tw, 3], stretched over the polygon's bounding box."""
        height, width = self.owner.shape
        (x0, y0), (x1, y1) = np.floor(polygon.min(0)).astype(int) - 1, np.ceil(polygon.max(0)).astype(int) + 1
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if left >= right or top >= bottom:
            return
        points = _fixed(polygon - (left, top))
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillConvexPoly(mask, points, 255, cv2.LINE_AA, _SHIFT)
        stretched = cv2.resize(texture.astype(np.float32), (int(x1 - x0), int(y1 - y0)))
        paint = stretched[top - y0 : bottom - y0, left - x0 : right - x0]
        part = self.image[top:bottom, left:right]
        alpha = mask[..., None] * np.float32(1 / 255)
        part[:] = np.clip(part + (paint - part) * alpha, 0, 255)
        if tag is not None:
            self.owner[top:bottom, left:right][mask > 127] = tag

    def darken(self, centre: Floats, radii: tuple[float, float], amount: float) -> None:
        """A soft elliptic shadow: factor 1 - ``amount`` at its centre."""
        height, width = self.owner.shape
        low, high = np.floor(centre - radii).astype(int), np.ceil(centre + radii).astype(int)
        left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
        if left >= right or top >= bottom:
            return
        x = (np.arange(left, right, dtype=np.float32) + 0.5 - centre[0]) / radii[0]
        y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - centre[1]) / radii[1]
        falloff = np.clip(1 - (x * x)[None] - (y * y)[:, None], 0, 1)
        part = self.image[top:bottom, left:right]
        part[:] = part * (1 - np.float32(amount) * falloff[..., None])


def capsule(a: Floats, b: Floats, ra: float, rb: float) -> Floats:
    """The outline [16, 2] of the convex hull of two discs: centres ``a``, ``b``, radii ``ra``, ``rb``."""
    dx, dy = b - a
    distance = float(np.hypot(dx, dy))
    if distance <= abs(ra - rb) + 1e-6:
        return disc(a, ra) if ra > rb else disc(b, rb)
    axis = np.arctan2(dy, dx)
    # Where the common tangent touches: with unequal radii it is not at right angles to the axis.
    touch = np.arccos((ra - rb) / distance)
    around_a = axis + np.linspace(touch, 2 * np.pi - touch, 8)
    around_b = axis + np.linspace(-touch, touch, 8)
    return np.concatenate((a + ra * _unit(around_a), b + rb * _unit(around_b)))


def disc(centre: Floats, radius: float, squash: float = 1.0, points: int = 20) -> Floats:
    """An ellipse [points, 2]: half-axes ``squash * radius`` in x and ``radius`` in y."""
    return centre + radius * _unit(np.linspace(0, 2 * np.pi, points, endpoint=False)) * (squash, 1)


def hull(*parts: Floats) -> Floats:
    """The convex hull [n, 2] of several point sets."""
    points = np.concatenate(parts).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)


def box(x0: float, y0: float, x1: float, y1: float) -> Floats:
    """An upright rectangle [4, 2]."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def tone(colour: Colour, brightness: float) -> Colour:
    """The colour made darker (below 1) or lighter (above 1, towards white)."""
    if brightness <= 1:
        return (colour[0] * brightness, colour[1] * brightness, colour[2] * brightness)
    white = (brightness - 1) * 255
    return (min(colour[0] + white, 255.0), min(colour[1] + white, 255.0), min(colour[2] + white, 255.0))


def _unit(angles: Floats) -> Floats:
    return np.stack((np.cos(angles), np.sin(angles)), 1)


def _fixed(points: Floats) -> NDArray[np.int32]:
    # OpenCV's integer coordinates are pixel centres. Far-off points are clipped: its fixed-point arithmetic overflows.
    return np.round((np.clip(points, -4000, 4000) - 0.5) * (1 << _SHIFT)).astype(np.int32)
