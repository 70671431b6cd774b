"""Training samples: square crops of generated scenes, and what the network should answer for them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo import scenes
from higherhrnet.dataset import joints

INPUT_SIZE = 512  # what the short side of an image becomes
SIGMA = 2.0  # cells, at both resolutions, as in the official configs
MAX_PEOPLE = 8

# A crop shows single figures at little cost; a frame of full height lets the network see people far apart, who need
# different tags as much as neighbours do.
CROP, CROPS = 320, 3
FRAME, FRAMES = 512, 1

# Only pictures of several people teach tags that differ; most written scenes show one or two.
CROWDED = 0.5  # of the scenes


@dataclass(frozen=True)
class Batch:
    """``images`` uint8 [n, s, s, 3] BGR; ``quarter`` float32 [n, 17, s/4, s/4] and ``half`` [n, 17, s/2, s/2],
    heatmaps in 0..1; ``people`` float32 [n, MAX_PEOPLE, 17, 3]: x, y in pixels of the crop, 1 where there is a joint.
    """

    images: NDArray[np.uint8]
    quarter: NDArray[np.float32]
    half: NDArray[np.float32]
    people: NDArray[np.float32]


def batch(seed: int, number: int, *, frames: bool) -> Batch:
    """Batch ``number`` of a training run, a function of its arguments alone: ``CROPS`` crops or ``FRAMES`` frames."""
    rng = scenes.generator(scenes.TRAINING, seed, number)
    cut, count = (_frame, FRAMES) if frames else (_crop, CROPS)
    samples = [cut(rng, scenes.scene(rng, crowd=bool(rng.random() < CROWDED))) for _ in range(count)]
    images, people = (np.stack(part) for part in zip(*samples, strict=True))
    size = images.shape[1]
    quarter = np.stack([heatmaps(p, size // 4, 4) for p in people])
    half = np.stack([heatmaps(p, size // 2, 2) for p in people])
    return Batch(images, quarter, half, people)


def _crop(rng: np.random.Generator, scene: scenes.Scene) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Around somebody's joint, at 0.75 to 1.15 times the scale of the test."""
    height, width = scene.image.shape[:2]
    centre = rng.uniform(0.2, 0.8, 2) * (width, height)
    if scene.people and rng.random() < 0.85:
        found = scene.people[rng.integers(len(scene.people))].keypoints
        found = found[found[:, 2] > 0]
        centre = found[rng.integers(len(found)), :2]
    scale = INPUT_SIZE / min(width, height) * np.exp(rng.uniform(np.log(0.75), np.log(1.15)))
    centre = centre + rng.uniform(-0.4, 0.4, 2) * CROP / scale
    return _sample(rng, scene, centre, scale, CROP)


def _frame(rng: np.random.Generator, scene: scenes.Scene) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The whole short side and as much of the long side as fits, at nearly the scale of the test."""
    height, width = scene.image.shape[:2]
    scale = INPUT_SIZE / min(width, height) * rng.uniform(0.95, 1.05)
    play = np.maximum(np.array([width, height]) - FRAME / scale, 0) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * play
    return _sample(rng, scene, centre, scale, FRAME)


def _sample(
    rng: np.random.Generator, scene: scenes.Scene, centre: NDArray[np.float64], scale: float, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    affine = np.array([[scale, 0, size / 2 - scale * centre[0]], [0, scale, size / 2 - scale * centre[1]]])
    image = cv2.warpAffine(scene.image, affine, (size, size), flags=cv2.INTER_LINEAR)
    people = np.zeros((MAX_PEOPLE, len(joints.COCO.names), 3), np.float32)
    for slot, person in zip(people, scene.people, strict=False):
        slot[:, :2] = person.keypoints[:, :2] @ affine[:, :2].T + affine[:, 2]
        inside = ((slot[:, :2] >= 0) & (slot[:, :2] < size)).all(1)
        slot[:, 2] = inside & (person.keypoints[:, 2] > 0)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        people = people[:, joints.COCO.flip]
        people[..., 0] = size - people[..., 0]
    return image.astype(np.uint8, copy=False), people


def heatmaps(people: NDArray[np.float32], cells: int, stride: int) -> NDArray[np.float32]:
    """Gaussians of height 1 at the joints of ``people`` [n, 17, 3]: float32 [17, cells, cells].

    Decoding enlarges maps with cells' centres at half coordinates, so a joint at pixel x lies at x / stride - 0.5 in
    units of cell indices; its Gaussian is centred there, not at the nearest cell.
    """
    maps = np.zeros((people.shape[1], cells, cells), np.float32)
    reach = int(3 * SIGMA) + 1
    for person in people:
        for joint in np.flatnonzero(person[:, 2]):
            x, y = person[joint, :2] / stride - 0.5
            left, top = max(round(float(x)) - reach, 0), max(round(float(y)) - reach, 0)
            columns = np.arange(left, min(round(float(x)) + reach + 1, cells), dtype=np.float32)
            rows = np.arange(top, min(round(float(y)) + reach + 1, cells), dtype=np.float32)
            bump = np.exp(-((columns - x) ** 2) / (2 * SIGMA**2)) * np.exp(-((rows - y) ** 2) / (2 * SIGMA**2))[:, None]
            part = maps[joint, top : top + len(rows), left : left + len(columns)]
            np.maximum(part, bump, out=part)
    return maps
