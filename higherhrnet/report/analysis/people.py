"""Annotated and found people as arrays, in the order in which COCOeval takes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

MOST = 20
"""People of an image that are evaluated, those of the highest scores (maxDets of COCOeval 'keypoints')."""


@dataclass(frozen=True)
class Truth:
    """The annotated people of the N images evaluated, by image id and then as in the file: G of K joints."""

    images: np.ndarray
    """int64 [N], image ids, ascending."""
    image: np.ndarray
    """int64 [G], places in ``images``."""
    ids: np.ndarray
    """int64 [G]"""
    keypoints: np.ndarray
    """float64 [G, K, 3]; x, y in pixels, visibility 0 to 2."""
    boxes: np.ndarray
    """float64 [G, 4]; x, y, width, height."""
    areas: np.ndarray
    """float64 [G], pixels squared: the scale s of OKS, squared."""
    crowd: np.ndarray
    """bool [G]; several found people may be one annotated crowd."""
    ignored: np.ndarray
    """bool [G]: crowds, and people without annotated joints. Nobody has to find them, and to find them is no error."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> np.ndarray:
        """Bool [G, K]: joints that were annotated, hidden ones too."""
        return self.keypoints[..., 2] > 0


@dataclass(frozen=True)
class Found:
    """The people found in those images, by image id and then by falling score: D of K joints, at most MOST an image."""

    image: np.ndarray
    """int64 [D], places in Truth.images."""
    rank: np.ndarray
    """int64 [D], from 0 in each image."""
    entry: np.ndarray
    """int64 [D], places in the results file."""
    keypoints: np.ndarray
    """float64 [D, K, 2]; x, y in pixels."""
    values: np.ndarray
    """float64 [D, K]: what the network says of each joint."""
    scores: np.ndarray
    """float64 [D]"""
    areas: np.ndarray
    """float64 [D]: of the joints' extent, which COCOeval takes for the size of people that match nobody."""
    beyond: int = 0
    """How many more the file has, beyond MOST of an image."""

    def __len__(self) -> int:
        return len(self.scores)

    def scored(self, scores: np.ndarray) -> tuple[Found, np.ndarray]:
        """The same people with other scores, in the order that these give them, and their places here (int64 [D])."""
        order = np.lexsort((-scores, self.image))
        names = ("image", "entry", "keypoints", "values", "areas")  # ranks stay: there are as many in each image
        return replace(self, scores=scores[order], **{name: getattr(self, name)[order] for name in names}), order


def truth(content: Mapping[str, Any], image_ids: Collection[int], *, joints: int) -> Truth:
    """The annotated people of the images named: of what ground_truth.read made of a file, and COCOeval evaluates."""
    images = np.array(sorted(image_ids), np.int64)
    wanted = set(images.tolist())
    rows = [row for row in content["annotations"] if row["image_id"] in wanted]
    image = np.searchsorted(images, np.array([row["image_id"] for row in rows], np.int64))
    order = np.argsort(image, kind="stable")
    rows = [rows[i] for i in order]
    crowd = np.array([bool(row["iscrowd"]) for row in rows], bool)
    return Truth(
        images,
        image[order],
        np.array([row["id"] for row in rows], np.int64),
        np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, joints, 3),
        np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4),
        np.array([row["area"] for row in rows], np.float64),
        crowd,
        crowd | np.array([row["num_keypoints"] == 0 for row in rows], bool),
    )


def found(entries: Sequence[Mapping[str, Any]], images: np.ndarray, *, joints: int) -> Found:
    """The people of a results file in ``images`` (Truth.images); ``entries`` were checked by coco_results.check."""
    places = {image_id: place for place, image_id in enumerate(images.tolist())}
    chosen = np.array([i for i, entry in enumerate(entries) if entry["image_id"] in places], np.int64)
    image = np.array([places[entries[i]["image_id"]] for i in chosen], np.int64)
    scores = np.array([entries[i]["score"] for i in chosen], np.float64)
    order = np.lexsort((-scores, image))  # stable: ties stay in the file's order
    chosen, image, scores = chosen[order], image[order], scores[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = rank < MOST
    chosen = chosen[kept]
    keypoints = np.array([entries[i]["keypoints"] for i in chosen], np.float64).reshape(-1, joints, 3)
    sides = np.ptp(keypoints[..., :2], axis=1) if len(keypoints) else np.zeros((0, 2))
    return Found(
        image[kept],
        rank[kept],
        chosen,
        keypoints[..., :2].copy(),
        keypoints[..., 2].copy(),
        scores[kept],
        sides[:, 0] * sides[:, 1],
        int((~kept).sum()),
    )
