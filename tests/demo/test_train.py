"""Training: targets and batches."""

from __future__ import annotations

import numpy as np
import pytest

from demo.crops import SIGMA, batch, heatmaps


def test_targets_are_centred_on_the_joints() -> None:
    people = np.zeros((1, 17, 3), np.float32)
    people[0, 3] = 41.0, 26.6, 1
    for stride in (4, 2):
        target = heatmaps(people, 128 // stride, stride)
        assert not target[[0, 1, 2, *range(4, 17)]].any()
        rows, columns = np.indices(target[3].shape)
        centre = [(target[3] * (axis + 0.5) * stride).sum() / target[3].sum() for axis in (columns, rows)]
        assert centre == pytest.approx([41.0, 26.6], abs=0.05)  # the Gaussian is cut at about 3 sigma
        assert target[3].max() == pytest.approx(1, abs=1 - np.exp(-2 * 0.5**2 / (2 * SIGMA**2)))


def test_training_batches_depend_on_seed_and_step_alone() -> None:
    first, again, other = (batch(seed, 1, frames=False) for seed in (3, 3, 4))
    assert first.images.tobytes() == again.images.tobytes()
    assert np.array_equal(first.people, again.people)
    assert first.images.tobytes() != other.images.tobytes()
