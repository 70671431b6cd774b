"""How far annotators disagree on each joint: the sigmas of object keypoint similarity (OKS)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from higherhrnet.errors import UserError

_OF_PARTS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "head": 0.079,
    "neck": 0.079,
}
"""COCO's (pycocotools.cocoeval.Params) and, the last two, CrowdPose's, whose others are COCO's (crowdposetools)."""


def of(names: Sequence[str]) -> np.ndarray:
    """The sigma of each joint, float64 [K]; those on the left and on the right have one.

    Raises
    ------
    UserError : a joint that neither data set has
    """
    parts = [name.removeprefix("left_").removeprefix("right_") for name in names]
    if unknown := [part for part in parts if part not in _OF_PARTS]:
        raise UserError(f"no sigma is known for the joint {unknown[0]}; expected one of {', '.join(_OF_PARTS)}")
    return np.array([_OF_PARTS[part] for part in parts])
