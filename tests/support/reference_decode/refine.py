"""After grouping: quarter-pixel offsets, and missing joints filled from the heatmap and tags."""

from __future__ import annotations

import numpy as np

QUARTER = np.float32(0.25)
"""Offset toward the higher neighbour, in pixels (Newell et al. 2016, Stacked Hourglass, section 3.3)."""


def shift(heatmap: np.ndarray, x: int, y: int) -> tuple[float, float]:
    """The point of pixel (x, y): its center, moved a quarter pixel toward the higher neighbour in x and in y.

    Ties and lower neighbours move it the negative way; at the border the neighbour is the pixel itself.
    """
    height, width = heatmap.shape
    right = heatmap[y, min(x + 1, width - 1)] > heatmap[y, max(x - 1, 0)]
    down = heatmap[min(y + 1, height - 1), x] > heatmap[max(y - 1, 0), x]
    return x + 0.5 + (0.25 if right else -0.25), y + 0.5 + (0.25 if down else -0.25)


def adjust(heatmaps: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Move every found joint of people [P, K, 3] from its pixel to its point; heatmaps are [K, H, W]."""
    adjusted = people.copy()
    for person in adjusted:
        for joint, (x, y, value) in enumerate(person):
            if value > 0:
                person[joint, :2] = shift(heatmaps[joint], int(x), int(y))
    return adjusted


def refine(heatmaps: np.ndarray, tags: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Fill each person's missing joints where heat is high and the tag is near the person's mean tag.

    heatmaps are float32 [K, H, W], tags [K, H, W, T], people [P, K, 3]. The place is the largest
    heat - round(tag distance), the first in row order among equals; it is taken if its heat is above 0.
    """
    refined = people.copy()
    for person in refined:
        found = np.nonzero(person[:, 2] > 0)[0]
        mean_tag = np.mean([tags[j, int(person[j, 1]), int(person[j, 0])] for j in found], axis=0)
        for joint in np.nonzero(person[:, 2] == 0)[0]:
            heatmap = heatmaps[joint]
            distance = ((tags[joint] - mean_tag) ** 2).sum(axis=2) ** 0.5
            y, x = np.unravel_index(np.argmax(heatmap - np.round(distance)), heatmap.shape)
            if heatmap[y, x] > 0:
                person[joint] = (*shift(heatmap, int(x), int(y)), heatmap[y, x])
    return refined
