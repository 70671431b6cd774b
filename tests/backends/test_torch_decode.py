"""What the decode on a device rounds and compares by; that its people are the host's, see test_device_decode.py."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.backends import torch_decode
from higherhrnet.backends.in_process import NoRoomError

FLOATS = st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100)


def mixed(a: float, b: float) -> list[float]:
    """Three quarters of ``a`` and a quarter of ``b``, and the other way round."""
    near, far = torch.tensor([0.75, 0.25], dtype=torch.float64), torch.tensor([0.25, 0.75])
    return torch_decode._mix(torch.tensor([a]), torch.tensor([b]), near, far).tolist()


def rounded(exact: Fraction) -> float:
    """The nearest float32, of two the even one."""
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return float(min(around, key=lambda each: (abs(Fraction(float(each)) - exact), int(each.view(np.int32)) & 1)))


def check(a: float, b: float) -> None:
    for weight, ours in zip((Fraction(3, 4), Fraction(1, 4)), mixed(a, b), strict=True):
        product = rounded((1 - weight) * Fraction(b))
        assert ours == rounded(weight * Fraction(a) + Fraction(product))


@given(FLOATS, FLOATS)
def test_samples_are_mixed_with_one_rounding(a: float, b: float):
    check(a, b)


@pytest.mark.parametrize("b", [0.0, 1e-40, -1e-40, 2.0**-60, -(2.0**-60), 2.0**-29, -(2.0**-28)])
@pytest.mark.parametrize("steps", range(12))
def test_a_middle_between_two_floats_is_left_by_whatever_is_added(steps: int, b: float):
    """0.75 * a is one for some of these; float64 does not see the smaller ones of b beside it."""
    check(float(np.float32(1) + steps * np.finfo(np.float32).eps), b)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.25, 0.0, -0.2, 1e-50])
def test_float32_is_above_a_threshold_where_it_is_above_the_float32_below_it(threshold: float):
    lowest = torch_decode._largest_float32(threshold)
    near = np.float32(threshold)
    for value in (np.nextafter(near, np.float32(-1)), near, np.nextafter(near, np.float32(1))):
        assert (float(value) > threshold) == (float(value) > lowest)
        assert float(torch.tensor(value)) == value
        assert bool(torch.tensor(value) > lowest) == (float(value) > threshold)


def test_a_full_device_is_said_so_that_who_does_not_know_torch_understands(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch_decode, "max_pool2d", full)
    maps = torch_decode.Maps((torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 8, 8)), passes=1, flip=[0])
    with pytest.raises(NoRoomError):
        maps.find(kernel=5, limit=30, threshold=0.1)
