"""draw: skeletons lie where the keypoints are, left and right differ."""

from __future__ import annotations

import numpy as np
import pytest

from higherhrnet.dataset import joints
from higherhrnet.image import draw


def person(**points: tuple[float, float]) -> np.ndarray:
    keypoints = np.zeros((1, 17, 3))
    for name, (x, y) in points.items():
        keypoints[0, joints.COCO.names.index(name)] = x, y, 1
    return keypoints


def changed(keypoints: np.ndarray) -> np.ndarray:
    image = np.full((200, 300, 3), 128, np.uint8)
    return (draw.draw_people(image, keypoints) != image).any(axis=2)


def test_a_limb_is_drawn_between_its_joints_only():
    where = np.argwhere(changed(person(left_elbow=(50, 100), left_wrist=(150, 100))))
    assert where.min(axis=0).tolist() == pytest.approx([100, 50], abs=8)
    assert where.max(axis=0).tolist() == pytest.approx([100, 150], abs=8)


def test_left_and_right_have_different_colors():
    image = np.zeros((200, 300, 3), np.uint8)
    left = draw.draw_people(image, person(left_elbow=(50, 100), left_wrist=(150, 100)))
    right = draw.draw_people(image, person(right_elbow=(50, 100), right_wrist=(150, 100)))
    blue, _, red = left[100, 100].tolist()
    assert blue > red
    blue, _, red = right[100, 100].tolist()
    assert red > blue


def test_missing_joints_and_people_are_not_drawn():
    keypoints = person(left_elbow=(50, 100), left_wrist=(150, 100))
    keypoints[..., 2] = 0
    assert not changed(keypoints).any()
    assert not changed(np.zeros((0, 17, 3))).any()


def test_the_image_itself_stays():
    image = np.zeros((50, 50, 3), np.uint8)
    draw.draw_people(image, person(nose=(25, 25)))
    assert not image.any()
