"""Ids of people who cross, and who are away for some frames."""

from __future__ import annotations

import numpy as np

from higherhrnet.dataset import joints
from higherhrnet.pipeline.tracks import PATIENCE, Tracker

BODY = np.random.default_rng(0).uniform(0, 100, (17, 2))


def person(x: float) -> np.ndarray:
    return np.column_stack((BODY + np.array([x, 0]), np.ones(17)))


def follow(tracker: Tracker, frame: int, *places: float) -> list[int]:
    people = np.stack([person(x) for x in places]) if places else np.zeros((0, 17, 3))
    return tracker.follow(frame, people, np.ones(len(people))).tolist()


def test_two_who_cross_keep_their_ids_whoever_is_found_first():
    tracker = Tracker(joints.COCO.sigmas)
    left = {follow(tracker, frame, 10 * frame, 400 - 10 * frame)[0] for frame in range(21)}
    swapped = {follow(tracker, frame, 400 - 10 * frame, 10 * frame)[1] for frame in range(21, 41)}
    assert left == swapped == {1}


def test_an_id_survives_an_occlusion_and_not_a_long_absence():
    tracker = Tracker(joints.COCO.sigmas)
    for frame in range(4):
        assert follow(tracker, frame, 12 * frame) == [1]
    assert follow(tracker, 4) == follow(tracker, 5) == []
    assert follow(tracker, 6, 12 * 6) == [1]
    assert follow(tracker, 7 + PATIENCE, 12 * 7) == [2]


def test_far_people_are_others():
    tracker = Tracker(joints.COCO.sigmas)
    assert follow(tracker, 0, 0) == [1]
    assert follow(tracker, 1, 500, 0) == [2, 1]
