"""What a good network would output for an image whose people are known: test input that needs no weights.

The arrays have the shape and the look of HigherHRNet's: a Gaussian of sigma 2 at every visible keypoint in the heatmaps
of both resolutions (as the training targets), a patch of the person's tag around it in the tag maps, zero elsewhere.
Heights, tags and the two passes vary at random, some keypoints are missed, and a few peaks belong to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from higherhrnet.dataset import joints
from higherhrnet.image.geometry import Geometry

SIGMA = 2.0
"""Standard deviation of a peak in pixels of its heatmap: DATASET.SIGMA of the official configs."""

_TAG_RADIUS = (
    5  # tag maps are trained at keypoints only; around one they stay near its tag about as far as its peak goes
)

_MISS = 0.25
"""Standard deviation of a peak's distance from its keypoint in input pixels. Annotations are whole pixels: peaks just
there often have two equal highest pixels, which a network's never have."""

Outputs = tuple[np.ndarray, np.ndarray]


class _Peak(NamedTuple):
    joint: int
    x: float  # input pixels, pixel centers at .5
    y: float
    height: float
    tag: float


def synthesise(
    persons: Sequence[np.ndarray],
    geometry: Geometry,
    rng: np.random.Generator,
    *,
    clutter: int = 6,
    drop: float = 0.15,
    tag_spread: float = 1.7,
    joint_set: joints.JointSet = joints.COCO,
) -> tuple[Outputs, Outputs]:
    """Make the outputs for an image and for its mirror image.

    Parameters
    ----------
    persons : each [K, 3] as COCO annotates: x and y in image pixels, visibility (0: not labelled, left out)
    geometry : the image's way into the network input [H, W]; keypoints outside the input are left out
    rng : the only source of chance, so a seed fixes the arrays
    clutter : number of low peaks (0.05 to 0.35) that belong to nobody, in random places, joints and tags
    drop : probability that a keypoint is missed, in both passes
    tag_spread : distance between the tags of people next to each other in tag space
    joint_set : of the K joints

    Returns
    -------
    outputs, flip_outputs : each output1 float32 [2K, H/4, W/4] (K heatmaps, K tag maps) and output2 float32
        [K, H/2, W/2] (heatmaps); heat in 0 to 1, tags around 0
    """
    peaks = _people_peaks(persons, geometry, rng, drop, tag_spread) + _clutter_peaks(
        geometry, rng, clutter, len(joint_set)
    )
    width, height = geometry.input_width, geometry.input_height
    mirrored = [peak._replace(joint=joint_set.flip[peak.joint], x=width - peak.x) for peak in peaks]
    count = len(joint_set)
    return _paint(peaks, width, height, rng, count), _paint(mirrored, width, height, rng, count)


def _people_peaks(
    persons: Sequence[np.ndarray], geometry: Geometry, rng: np.random.Generator, drop: float, tag_spread: float
) -> list[_Peak]:
    tags = (rng.permutation(len(persons)) - (len(persons) - 1) / 2) * tag_spread
    peaks = []
    for person, tag in zip(persons, tags, strict=True):
        points = person[:, :2] @ geometry.forward[:, :2].T + geometry.forward[:, 2]  # [K, 2], input pixels
        points += rng.normal(0, _MISS, points.shape)
        heights = rng.uniform(0.4, 1, len(person))
        seen = (person[:, 2] > 0) & (rng.random(len(person)) >= drop)
        for joint in np.nonzero(seen)[0]:
            x, y = points[joint]
            if 0 <= x < geometry.input_width and 0 <= y < geometry.input_height:
                peaks.append(_Peak(int(joint), float(x), float(y), float(heights[joint]), float(tag)))
    return peaks


def _clutter_peaks(geometry: Geometry, rng: np.random.Generator, count: int, joint_count: int) -> list[_Peak]:
    return [
        _Peak(
            joint=int(rng.integers(joint_count)),
            x=rng.uniform(0, geometry.input_width),
            y=rng.uniform(0, geometry.input_height),
            height=rng.uniform(0.05, 0.35),
            tag=rng.normal(0, 10),
        )
        for _ in range(count)
    ]


def _paint(peaks: Sequence[_Peak], width: int, height: int, rng: np.random.Generator, count: int) -> Outputs:
    output1 = np.zeros((2 * count, height // 4, width // 4), np.float32)
    output2 = np.zeros((count, height // 2, width // 2), np.float32)
    for joint, x, y, peak_height, tag in peaks:
        low, high = peak_height * rng.uniform(0.9, 1, 2)
        _add_gaussian(output1[joint], x / 4 - 0.5, y / 4 - 0.5, low)
        _add_gaussian(output2[joint], x / 2 - 0.5, y / 2 - 0.5, high)
        row, column = int(y / 4), int(x / 4)
        rows = slice(max(row - _TAG_RADIUS, 0), row + _TAG_RADIUS + 1)
        columns = slice(max(column - _TAG_RADIUS, 0), column + _TAG_RADIUS + 1)
        output1[count + joint, rows, columns] = tag + rng.normal(0, 0.05)
    return output1, output2


def _add_gaussian(heatmap: np.ndarray, x: float, y: float, peak_height: float) -> None:
    """Raise ``heatmap`` to a Gaussian at (x, y) in map pixels; where two overlap the higher counts, as in training."""
    radius = int(3 * SIGMA + 2)
    left, top = max(int(x) - radius, 0), max(int(y) - radius, 0)
    part = heatmap[top : int(y) + radius + 1, left : int(x) + radius + 1]
    along_x = np.exp(-((left + np.arange(part.shape[1]) - x) ** 2) / (2 * SIGMA**2))
    along_y = np.exp(-((top + np.arange(part.shape[0]) - y) ** 2) / (2 * SIGMA**2))
    np.maximum(part, (peak_height * along_y[:, None] * along_x).astype(np.float32), out=part)
