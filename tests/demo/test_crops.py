"""Crops for training carry their joints."""

from __future__ import annotations

import numpy as np

from demo.crops import batch


def test_crops_carry_their_joints() -> None:
    """Every joint of a crop is where its map peaks, mirrored crops included."""
    crops = batch(3, 0, frames=False)
    for people, half in zip(crops.people, crops.half, strict=True):
        for person in people:
            for joint in np.flatnonzero(person[:, 2]):
                x, y = person[joint, :2]
                assert half[joint, int(y / 2), int(x / 2)] > 0.9
