"""The people of one picture, as the Python API and ``predict`` give them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from higherhrnet.dataset import coco_results, joints
from higherhrnet.decode import filters
from higherhrnet.image import draw
from higherhrnet.pipeline.sources import Place
from higherhrnet.pipeline.stream import Found


@dataclass(frozen=True, eq=False)
class People:
    """P people of one picture, in the order in which they were found. ``people[indices]`` are some of them.

    All arrays are of P people; P is 0 where nobody was found.
    """

    keypoints: np.ndarray
    """float64 [P, K, 3]; x and y in the picture's pixels, whose centers are at .5, and value: about 0 to 1, and 0 of a
    joint that was not found, whose x and y mean nothing."""
    scores: np.ndarray
    """float32 [P]; mean value of a person's K joints, missing ones counted as 0."""
    tags: np.ndarray
    """float32 [P, K, T]; what grouping joined joints by, of the picture and (T is 2) its mirror image. Tags of two
    pictures have nothing to do with each other."""
    size: tuple[int, int]
    """Width and height of the picture in pixels."""
    skeleton: joints.JointSet = joints.COCO
    """What the K joints are called, and which of them a drawing connects."""
    source: str = ""
    """The file, video or camera that the picture is from; '' of an array."""
    frame: int = 0
    """The picture's number in a video or of a camera, from 0."""
    time: float | None = None
    """Seconds from the beginning of the video, by its own time stamps; None of a picture that has none."""
    tracks: np.ndarray | None = None
    """int64 [P]; ids, from 1, of people who are followed from frame to frame; None where they are not."""

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, chosen: Any) -> People:
        chosen = np.atleast_1d(np.arange(len(self))[chosen])
        tracks = None if self.tracks is None else self.tracks[chosen]
        return replace(
            self, keypoints=self.keypoints[chosen], scores=self.scores[chosen], tags=self.tags[chosen], tracks=tracks
        )

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the K joints."""
        return self.skeleton.names

    @property
    def boxes(self) -> np.ndarray:
        """float64 [P, 4]: left, top, width and height of the extent of each person's found joints; NaN without any."""
        found = self.keypoints[:, :, 2:] > 0
        nothing = ~found[:, :, 0].any(axis=1, keepdims=True)
        low = np.where(found, self.keypoints[:, :, :2], np.inf).min(axis=1, initial=np.inf)
        high = np.where(found, self.keypoints[:, :, :2], -np.inf).max(axis=1, initial=-np.inf)
        low, high = np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)
        return np.hstack((low, high - low))

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """The people as entries of a COCO results file; of those who are followed with a ``track_id``."""
        entries = coco_results.entries(image_id, self.keypoints, self.scores)
        if self.tracks is not None:
            for entry, track in zip(entries, self.tracks, strict=True):
                entry["track_id"] = int(track)
        return entries

    def draw(self, image: np.ndarray) -> np.ndarray:
        """A copy of the picture, RGB uint8 [h, w, 3], with the people's skeletons on it.

        Raises ValueError for another type, or another size than that of the picture they were found in.
        """
        width, height = self.size
        if image.dtype != np.uint8 or image.shape != (height, width, 3):
            raise ValueError(f"image is {image.dtype} {list(image.shape)}, expected uint8 [{height}, {width}, 3]")
        bgr = draw.draw_people(
            cv2.cvtColor(image, cv2.COLOR_RGB2BGR), self.keypoints, skeleton=self.skeleton, tracks=self.tracks
        )
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class Filter:
    """Which people are kept; 0 and 0 keep all, as the official code does."""

    min_score: float = 0
    """Of people."""
    oks_nms: float = 0
    """Of two people of at least this object keypoint similarity only the better one is kept; 0 keeps both."""

    def keep(self, people: People) -> People:
        """Those of ``people`` who are left."""
        sigmas = people.skeleton.sigmas
        kept = filters.left(people.keypoints, people.scores, sigmas, least=self.min_score, threshold=self.oks_nms)
        return people[kept]


def of_found(found: Found[Place], skeleton: joints.JointSet, chosen: Filter) -> People:
    """The people of a picture that was read, of the joints that are results: a center, the last one, is left out."""
    assert found.people is not None
    place, own = found.key, len(skeleton)
    people = People(
        found.people.keypoints[:, :own],
        found.people.scores,
        found.people.tags[:, :own],
        found.size,
        skeleton,
        source=place.source.name,
        frame=place.frame,
        time=place.time,
    )
    return chosen.keep(people)
