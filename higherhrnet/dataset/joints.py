"""The joints of COCO (17) and CrowdPose (14): names, mirror partners, grouping order and limbs.

Indices are 0-based and follow the order of the data set's annotations, which is also the order of the network's
heatmaps and tag maps. NAMES, FLIP, GROUPING_ORDER and LIMBS are COCO's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NAMES = (
    "nose",  # 0
    "left_eye",  # 1
    "right_eye",  # 2
    "left_ear",  # 3
    "right_ear",  # 4
    "left_shoulder",  # 5
    "right_shoulder",  # 6
    "left_elbow",  # 7
    "right_elbow",  # 8
    "left_wrist",  # 9
    "right_wrist",  # 10
    "left_hip",  # 11
    "right_hip",  # 12
    "left_knee",  # 13
    "right_knee",  # 14
    "left_ankle",  # 15
    "right_ankle",  # 16
)


def _mirror(name: str) -> str:
    side, _, part = name.partition("_")
    return {"left": f"right_{part}", "right": f"left_{part}"}.get(side, name)


def _flip(names: Sequence[str]) -> tuple[int, ...]:
    return tuple(names.index(_mirror(name)) for name in names)


FLIP = _flip(NAMES)
"""FLIP[j] is the joint that j becomes in the mirrored image."""

GROUPING_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
"""The order in which grouping visits the joints: head and torso first, where tags are most reliable
(Newell et al. 2017, Associative Embedding; lib/core/group.py of the official code)."""


def _limbs(names: Sequence[str], *pairs: tuple[str, str]) -> tuple[tuple[int, int], ...]:
    return tuple((names.index(a), names.index(b)) for a, b in pairs)


LIMBS = _limbs(
    NAMES,
    *(
        ("left_ankle", "left_knee"),
        ("left_knee", "left_hip"),
        ("right_ankle", "right_knee"),
        ("right_knee", "right_hip"),
        ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"),
        ("left_shoulder", "right_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("right_shoulder", "right_elbow"),
        ("left_elbow", "left_wrist"),
        ("right_elbow", "right_wrist"),
        ("left_eye", "right_eye"),
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
        ("left_ear", "left_shoulder"),
        ("right_ear", "right_shoulder"),
    ),
)
"""Pairs of joints that a drawing connects: the ``skeleton`` of COCO's person category."""


_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
"""COCO's, of both sides (pycocotools, Params.setKpParams)."""
_SIGMA = 0.072  # of other joints: the median of COCO's


@dataclass(frozen=True)
class JointSet:
    """What a network's K maps stand for, in their order."""

    names: tuple[str, ...]
    order: tuple[int, ...]
    """The order in which grouping visits the joints; each once."""
    limbs: tuple[tuple[int, int], ...]

    @property
    def flip(self) -> tuple[int, ...]:
        """flip[j] is the joint that j becomes in the mirrored image."""
        return _flip(self.names)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Of object keypoint similarity: a joint's spread in units of its person's scale."""
        return tuple(_SIGMAS.get(name.partition("_")[2] or name, _SIGMA) for name in self.names)

    def __len__(self) -> int:
        return len(self.names)


COCO = JointSet(NAMES, GROUPING_ORDER, LIMBS)

_CROWD_POSE_NAMES = (
    "left_shoulder",  # 0
    "right_shoulder",  # 1
    "left_elbow",  # 2
    "right_elbow",  # 3
    "left_wrist",  # 4
    "right_wrist",  # 5
    "left_hip",  # 6
    "right_hip",  # 7
    "left_knee",  # 8
    "right_knee",  # 9
    "left_ankle",  # 10
    "right_ankle",  # 11
    "head",  # 12
    "neck",  # 13
)

CROWD_POSE = JointSet(
    _CROWD_POSE_NAMES,
    # lib/core/group.py has one list, COCO's, and takes as many of its entries as there are joints. The published
    # figures are with that order, whatever the joints' names.
    order=GROUPING_ORDER[: len(_CROWD_POSE_NAMES)],
    limbs=_limbs(
        _CROWD_POSE_NAMES,
        *(
            ("head", "neck"),
            ("neck", "left_shoulder"),
            ("neck", "right_shoulder"),
            ("left_shoulder", "left_hip"),
            ("right_shoulder", "right_hip"),
            ("left_hip", "right_hip"),
            ("left_shoulder", "left_elbow"),
            ("right_shoulder", "right_elbow"),
            ("left_elbow", "left_wrist"),
            ("right_elbow", "right_wrist"),
            ("left_hip", "left_knee"),
            ("right_hip", "right_knee"),
            ("left_knee", "left_ankle"),
            ("right_knee", "right_ankle"),
        ),
    ),
)

COCO_WITH_CENTER = JointSet((*NAMES, "center"), (len(NAMES), *GROUPING_ORDER), LIMBS)
"""COCO's joints and the mean of a person's, DATASET.WITH_CENTER, where grouping begins with it
(TEST.IGNORE_CENTER False)."""
