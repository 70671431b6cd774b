"""What surrounds the figures: cluttered backgrounds, and objects that stand between them and the viewer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.canvas import Canvas, Colour, Floats, box, disc, tone
from demo.figure import random_colour


def background(rng: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint8], float]:
    """A street, a park or a room: uint8 [height, width, 3] BGR, and the row where its floor begins."""
    # Painted at half size and enlarged: four times cheaper, and as soft as a lens leaves what is out of focus.
    w, h = (width + 1) // 2, (height + 1) // 2
    horizon = int(h * rng.uniform(0.3, 0.55))
    image = np.empty((h, w, 3), np.uint8)
    paint = (_street, _park, _room)[rng.integers(3)]
    paint(rng, image, horizon)
    for _ in range(rng.integers(0, 5)):
        _distractor(rng, image, horizon)
    # Uneven lighting, coarse and fine.
    coarse = cv2.resize(rng.normal(1, 0.08, (h // 48, w // 48)).astype(np.float32), (w, h))
    fine = cv2.resize(rng.normal(0, 0.04, (h // 5, w // 5)).astype(np.float32), (w, h))
    shaded = np.clip(image * (coarse + fine)[..., None], 0, 255).astype(np.uint8)
    enlarged = cv2.resize(shaded, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged.astype(np.uint8, copy=False), 2.0 * horizon


def obstacle(rng: np.random.Generator, canvas: Canvas, at: Floats, size: float, tag: int) -> None:
    """Draw a crate, planter, pole, screen or table that stands at ``at`` (x, y); ``size``: a person's height there."""
    canvas.darken(at, (0.35 * size, 0.06 * size), 0.4)
    kind = rng.integers(5)
    x, y = at
    if kind == 0:  # crate
        w, h = size * rng.uniform(0.16, 0.32), size * rng.uniform(0.2, 0.42)
        colour = (70 + rng.uniform(-20, 20), 120 + rng.uniform(-25, 25), 165 + rng.uniform(-25, 25))
        canvas.fill(box(x - w, y - h, x + w, y), tone(colour, 0.6), tag)
        planks = 4
        for i in range(planks):
            top = y - h + (i + 0.08) * h / planks
            plank = box(x - 0.96 * w, top, x + 0.96 * w, top + 0.84 * h / planks)
            canvas.fill(plank, tone(colour, rng.uniform(0.85, 1)))
        for s in (-1.0, 1.0):
            canvas.fill(box(x + s * 0.84 * w - 0.1 * w, y - h, x + s * 0.84 * w + 0.1 * w, y), tone(colour, 0.75))
    elif kind == 1:  # planter with a bush
        w, h = size * rng.uniform(0.14, 0.24), size * rng.uniform(0.14, 0.22)
        pot = random_colour(rng, value=(80, 200))
        green = (rng.uniform(30, 80), rng.uniform(90, 160), rng.uniform(40, 100))
        for t in np.linspace(0, 1, 26):
            centre = np.array([x, y - h]) + rng.normal(0, 1, 2) * (0.55 * w, 0.3 * w) - (0, 0.5 * w)
            canvas.fill(disc(centre, w * rng.uniform(0.22, 0.42)), tone(green, 0.6 + 0.5 * t), tag)
        shaded = np.array([(x - w, y - h), (x + w, y - h), (x + 0.75 * w, y), (x - 0.75 * w, y)])
        canvas.fill(shaded, tone(pot, 0.7), tag)
        canvas.fill(np.array([(x - w, y - h), (x + 0.4 * w, y - h), (x + 0.3 * w, y), (x - 0.75 * w, y)]), pot)
        canvas.fill(box(x - 1.08 * w, y - 1.12 * h, x + 1.08 * w, y - 0.94 * h), tone(pot, 1.08), tag)
    elif kind == 2:  # pole
        radius, h = size * rng.uniform(0.02, 0.045), size * rng.uniform(0.9, 1.6)
        colour = random_colour(rng)
        canvas.limb(at - (0, h), at, radius, radius, colour, tag)
        foot = np.array([1.6 * radius, 0])
        canvas.limb(at - foot, at + foot, radius, radius, tone(colour, 0.7), tag)
    elif kind == 3:  # screen on two feet
        w, h = size * rng.uniform(0.16, 0.3), size * rng.uniform(0.4, 0.65)
        colour, band = random_colour(rng), random_colour(rng)
        canvas.fill(box(x - w, y - h, x + w, y - 0.06 * size), tone(colour, 0.55), tag)
        canvas.fill(box(x - 0.94 * w, y - h + 0.05 * w, x + 0.94 * w, y - 0.075 * size), colour)
        canvas.fill(box(x - 0.94 * w, y - 0.7 * h, x + 0.94 * w, y - 0.5 * h), band)
        for s in (-0.8, 0.8):
            canvas.limb(np.array([x + s * w, y - 0.06 * size]), np.array([x + s * w, y]), 2, 3, (60, 60, 60), tag)
    else:  # table
        w, h = size * rng.uniform(0.25, 0.42), size * rng.uniform(0.3, 0.42)
        colour = (60 + rng.uniform(-20, 20), 95 + rng.uniform(-25, 25), 150 + rng.uniform(-25, 25))
        for s in (-0.9, 0.9):
            canvas.limb(np.array([x + s * w, y - h]), np.array([x + s * w, y]), 0.02 * size, 0.016 * size, colour, tag)
        canvas.fill(box(x - w, y - h, x + w, y - 0.78 * h), tone(colour, 0.7), tag)
        canvas.fill(box(x - w, y - h, x + w, y - 0.9 * h), tone(colour, 1.05))


def _muted(rng: np.random.Generator, value: tuple[int, int], strongest: int = 80) -> Colour:
    """A colour for large surfaces, weaker than those of clothes."""
    return random_colour(rng, value=value, saturation=(5, strongest))


def _gradient(image: NDArray[np.uint8], top: Colour, bottom: Colour) -> None:
    t = np.linspace(0, 1, len(image))[:, None]
    image[:] = ((1 - t) * np.array(top) + t * np.array(bottom))[:, None]


def _rectangle(image: NDArray[np.uint8], x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    cv2.rectangle(image, (int(x0), int(y0)), (int(x1), int(y1)), colour, -1)


def _street(rng: np.random.Generator, image: NDArray[np.uint8], horizon: int) -> None:
    h, w = image.shape[:2]
    sky = _muted(rng, (180, 250))
    _gradient(image[:horizon], tone(sky, 0.85), tone(sky, 1.2))
    x = float(-rng.uniform(0, 40))
    while x < w:
        width, top = rng.uniform(30, 90), horizon * rng.uniform(0, 0.6)
        wall = _muted(rng, (80, 220), 110)
        _rectangle(image, x, top, x + width, horizon, wall)
        glass = tone(wall, rng.choice([0.5, 0.65, 1.25]))
        step = rng.uniform(9, 18)
        for wy in np.arange(top + 5, horizon - 8, step * 1.2):
            for wx in np.arange(x + 5, x + width - 6, step):
                _rectangle(image, wx, wy, wx + step * 0.5, wy + step * 0.65, glass)
        x += width
    grey = rng.uniform(80, 170)
    _gradient(image[horizon:], (grey, grey, grey + 5), (grey * 0.75, grey * 0.75, grey * 0.78))
    for _ in range(rng.integers(2, 7)):
        y = horizon + (h - horizon) * rng.uniform(0, 1) ** 1.5
        cv2.line(image, (0, int(y)), (w, int(y + rng.normal(0, 6))), (grey * 1.2,) * 3, int(rng.integers(1, 4)))


def _park(rng: np.random.Generator, image: NDArray[np.uint8], horizon: int) -> None:
    h, w = image.shape[:2]
    _gradient(image[:horizon], (235, 190 + rng.uniform(-30, 20), 130 + rng.uniform(-30, 40)), (245, 235, 215))
    green = (rng.uniform(40, 90), rng.uniform(110, 170), rng.uniform(70, 130))
    _gradient(image[horizon:], tone(green, 0.85), green)
    for _ in range(rng.integers(3, 9)):
        x, r = rng.uniform(0, w), rng.uniform(12, 42)
        trunk = (40, 60, 85 + rng.uniform(-15, 20))
        base = horizon + rng.uniform(0, 0.12) * h
        _rectangle(image, x - r * 0.12, base - r * 2, x + r * 0.12, base, trunk)
        for _ in range(14):
            c = (int(x + rng.normal(0, 0.5) * r), int(base - 2.1 * r + rng.normal(0, 0.45) * r))
            cv2.circle(image, c, int(r * rng.uniform(0.25, 0.5)), tone(green, rng.uniform(0.45, 0.95)), -1)
    for _ in range(rng.integers(30, 70)):
        x, y = rng.uniform(0, w), rng.uniform(horizon, h)
        tuft = tone(green, rng.uniform(0.7, 1.2))
        cv2.ellipse(image, (int(x), int(y)), (int(rng.integers(2, 9)), 1), 0, 0, 360, tuft, -1)


def _room(rng: np.random.Generator, image: NDArray[np.uint8], horizon: int) -> None:
    h, w = image.shape[:2]
    floor_row = int(horizon + 0.12 * h)
    wall, floor = _muted(rng, (140, 245)), _muted(rng, (80, 200))
    image[:floor_row] = wall
    if rng.random() < 0.5:
        step = rng.uniform(8, 30)
        for x in np.arange(0, w, step):
            _rectangle(image, x, 0, x + step * 0.4, floor_row, tone(wall, 0.93))
    for _ in range(rng.integers(2, 7)):
        x, y, pw, ph = rng.uniform(-10, w), rng.uniform(-10, floor_row * 0.7), rng.uniform(15, 60), rng.uniform(15, 60)
        _rectangle(image, x - 3, y - 3, x + pw + 3, y + ph + 3, tone(wall, 0.5))
        _rectangle(image, x, y, x + pw, y + ph, random_colour(rng))
        for _ in range(3):
            c = (int(x + rng.uniform(0.2, 0.8) * pw), int(y + rng.uniform(0.2, 0.8) * ph))
            cv2.circle(image, c, int(rng.uniform(2, 0.2 * min(pw, ph) + 3)), random_colour(rng), -1)
    for _ in range(rng.integers(0, 3)):  # shelves with books
        x, y, width = rng.uniform(-10, w * 0.8), rng.uniform(0.15, 0.9) * floor_row, rng.uniform(40, 110)
        bx = x
        while bx < x + width:
            thick = rng.uniform(3, 8)
            _rectangle(image, bx, y - rng.uniform(12, 24), bx + thick, y, random_colour(rng))
            bx += thick + 1
        _rectangle(image, x, y, x + width, y + 3, tone(wall, 0.45))
    _gradient(image[floor_row:], tone(floor, 0.75), floor)
    _rectangle(image, 0, floor_row - 4, w, floor_row, tone(wall, 0.7))
    for i in range(-8, 9):
        cv2.line(image, (w // 2 + i * 14, floor_row), (w // 2 + i * 60, h), tone(floor, 0.7), 1)


def _distractor(rng: np.random.Generator, image: NDArray[np.uint8], horizon: int) -> None:
    """Something limb-like or head-like that belongs to nobody."""
    h, w = image.shape[:2]
    x, y = int(rng.uniform(0, w)), int(rng.uniform(0.3 * horizon, h))
    colour = random_colour(rng)
    kind = rng.integers(3)
    if kind == 0:
        cv2.circle(image, (x, y), int(rng.uniform(4, 22)), colour, -1, cv2.LINE_AA)
    elif kind == 1:
        end = (int(x + rng.normal(0, 35)), int(y + rng.normal(0, 35)))
        cv2.line(image, (x, y), end, colour, int(rng.integers(2, 11)), cv2.LINE_AA)
    else:
        corners = np.array([x, y]) + rng.normal(0, 22, (4, 2))
        cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
