"""The 17 COCO keypoints: names, mirror partners, grouping order and limbs.

Indices are 0-based and follow the order of COCO's ``person_keypoints`` annotations, which is also the order of the
network's heatmaps and tag maps.
"""

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


FLIP = tuple(NAMES.index(_mirror(name)) for name in NAMES)
"""FLIP[j] is the joint that j becomes in the mirrored image."""

GROUPING_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
"""The order in which grouping visits the joints: head and torso first, where tags are most reliable
(Newell et al. 2017, Associative Embedding; lib/core/group.py of the official code)."""

LIMBS = tuple(
    (NAMES.index(a), NAMES.index(b))
    for a, b in (
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
    )
)
"""Pairs of joints that a drawing connects: the ``skeleton`` of COCO's person category."""
