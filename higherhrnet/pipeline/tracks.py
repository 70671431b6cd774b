"""Ids of people who are followed from frame to frame, by object keypoint similarity (OKS).

A matcher of our own instead of a tracker library: those at hand match boxes (SORT, ByteTrack), which say nothing where
two people cross, or need SciPy and an OpenCV of their own. Joints tell more, and OKS is what people are compared by in
this package anyway.

Each track moves on with its last velocity. Pairs of a track and a person are taken from the most similar one down; a
person without a track begins one, and a track without a person waits for some frames before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from higherhrnet.decode import filters
from higherhrnet.pipeline.people import People
from higherhrnet.pipeline.sources import Source
from higherhrnet.stages.matches import closest

LEAST = 0.2
"""Similarity of a person to where a track is expected; less is another person."""
PATIENCE = 15
"""Frames that a track waits."""
_SMOOTHING = 0.3  # of a new displacement in the velocity: where two people overlap, some displacements are false


@dataclass
class _Track:
    number: int
    keypoints: np.ndarray  # [K, 3], as last seen; of joints that were not found then, as seen before
    area: float
    frame: int
    velocity: np.ndarray  # [2], pixels a frame
    seen: int  # frames

    def expected(self, frame: int) -> np.ndarray:
        moved = self.keypoints.copy()
        moved[:, :2] += self.velocity * (frame - self.frame)
        return moved


class Tracker:
    """Follows people through the frames of one video."""

    def __init__(self, sigmas: Sequence[float]) -> None:
        """``sigmas`` of the K joints."""
        self._sigmas = sigmas
        self._tracks: list[_Track] = []
        self._next = 1

    def follow(self, frame: int, keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The ids int64 [P] of a frame's people.

        frame : its number, more than the last one's; keypoints [P, K, 3], x, y in pixels and value; scores [P]
        """
        self._tracks = [track for track in self._tracks if frame - track.frame <= PATIENCE]
        areas = filters.extents(keypoints)
        similar = np.zeros((len(keypoints), len(self._tracks)))
        for column, track in enumerate(self._tracks):
            similar[:, column] = filters.oks(track.expected(frame), track.area, keypoints, areas, self._sigmas)
        ids = np.zeros(len(keypoints), np.int64)
        for person, column in closest(-similar, -LEAST):
            self._move(self._tracks[column], frame, keypoints[person], areas[person])
            ids[person] = self._tracks[column].number
        for person in map(int, np.argsort(-scores, kind="stable")):
            if ids[person] == 0:
                ids[person] = self._next
                self._tracks.append(
                    _Track(self._next, keypoints[person].copy(), areas[person], frame, np.zeros(2), seen=1)
                )
                self._next += 1
        return ids

    @staticmethod
    def _move(track: _Track, frame: int, keypoints: np.ndarray, area: float) -> None:
        both = (track.keypoints[:, 2] > 0) & (keypoints[:, 2] > 0)
        if both.any():
            moved = np.median(keypoints[both, :2] - track.keypoints[both, :2], axis=0) / (frame - track.frame)
            share = 1.0 if track.seen == 1 else _SMOOTHING
            track.velocity = share * moved + (1 - share) * track.velocity
        expected = track.expected(frame)
        found = keypoints[:, 2:] > 0
        track.keypoints = np.where(found, keypoints, expected)
        track.area = area if track.seen == 1 else (track.area + area) / 2
        track.frame, track.seen = frame, track.seen + 1


class Trackers:
    """A tracker for each source, one source after another."""

    def __init__(self, sigmas: Sequence[float]) -> None:
        """``sigmas`` of the K joints."""
        self._sigmas = sigmas
        self._current: tuple[Source, Tracker] | None = None

    def follow(self, people: People, source: Source) -> People:
        """The people of the source's next frame, with their ids."""
        if self._current is None or self._current[0] != source:
            self._current = source, Tracker(self._sigmas)
        ids = self._current[1].follow(people.frame, people.keypoints, people.scores)
        return replace(people, tracks=ids)
