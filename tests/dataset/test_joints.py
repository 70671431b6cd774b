"""Joints of CrowdPose."""

from __future__ import annotations

from collections.abc import Callable

from higherhrnet.dataset import joints
from tests.support.programs import Outcome

Script = Callable[..., Outcome]


def test_crowd_pose_s_joints_mirror_each_other():
    names, flip = joints.CROWD_POSE.names, joints.CROWD_POSE.flip
    assert [names[i] for i in flip][-2:] == ["head", "neck"]
    assert all(flip[flip[i]] == i for i in range(14))
    assert names[flip[names.index("left_knee")]] == "right_knee"
