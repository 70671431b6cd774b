"""The drawn video, by the demo's network: ids survive a crossing, and two frames behind something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demo import clip
from higherhrnet import People, Pose
from tests.support.datasets import DEMO_CONFIG

OVERLAP = range(11, 14)
"""Frames in which one of the two who cross is in front of the other, and joints of both are found as one person's."""


def id_of(figure: np.ndarray, people: People) -> int:
    """The id of who was found where a drawn figure is; 0 of nobody."""
    assert people.tracks is not None
    best, at = 0, 30.0
    for keypoints, number in zip(people.keypoints, people.tracks, strict=True):
        both = (figure[:, 2] > 0) & (keypoints[:, 2] > 0)
        distance = np.median(np.linalg.norm(keypoints[both, :2] - figure[both, :2], axis=1)) if both.sum() > 5 else at
        if distance < at:
            best, at = int(number), distance
    return best


@pytest.mark.slow
def test_ids_survive_a_crossing_and_two_hidden_frames(demo_onnx: Path):
    """No switch but while the two overlap; after it each has its own id again."""
    frames = list(clip.frames(seed=1))
    smaller = ("DATASET.INPUT_SIZE", "384")  # than it was trained at: half the time
    with Pose(demo_onnx, backend="onnxruntime", config=DEMO_CONFIG, settings=smaller, flip=False, threads=1) as pose:
        found = list(pose.stream((frame.pixels for frame in frames), track=True))
    ids = np.array(
        [[id_of(figure, people) for figure in frame.people] for frame, people in zip(frames, found, strict=True)]
    )
    assert sorted(ids[0]) == [1, 2, 3]
    assert (ids[list(clip.HIDDEN), 2] == 0).all(), "who is hidden is not found"
    clear = [number for number in range(clip.FRAMES) if number not in OVERLAP]
    switches = [(ids[clear, figure] != ids[0, figure]) & (ids[clear, figure] != 0) for figure in range(3)]
    assert np.sum(switches) == 0
    assert (ids[list(OVERLAP), 2] == ids[0, 2]).all()
