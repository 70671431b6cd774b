"""Resize against torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from higherhrnet.decode.people import plain
from higherhrnet.decode.resize import resize
from tests.support.maps import to_size
from tests.support.programs import Outcome

Script = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((64, 88), (128, 176)),
        ((64, 80), (256, 320)),
        ((90, 70), (90, 70)),
        ((192, 200), (128, 150)),
        ((61, 100), (99, 77)),
    ],
)
def test_resize_is_torch_s_to_the_bit(source: tuple[int, int], target: tuple[int, int]):
    # As many maps as the network has: for three, one thread of PyTorch takes another kernel than two do.
    maps = np.random.default_rng(0).normal(0, 1, (17, *source)).astype(np.float32)
    np.testing.assert_array_equal(resize(plain(maps), *target), to_size(maps, target))
