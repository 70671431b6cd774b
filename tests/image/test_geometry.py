"""geometry: the guide's 17 shapes, sizes and affine maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.config.plan import Plan, Scale
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from tests.support import golden
from tests.support.programs import Outcome

SIZES = st.integers(1, 3000)


def test_grid_is_the_guides_list_in_its_order():
    guide = (
        "1024,512;960,512;896,512;832,512;768,512;704,512;640,512;576,512;512,512;"
        "512,576;512,640;512,704;512,768;512,832;512,896;512,960;512,1024"
    )
    assert ";".join(f"{h},{w}" for h, w in geometry.shape_grid(512)) == guide


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (512, 512, (512, 512)),
        (513, 512, (512, 576)),  # one pixel over a step takes the next shape
        (512, 513, (576, 512)),
        (640, 480, (512, 704)),  # 682.67 rounds up to 704
        (480, 640, (704, 512)),
        (1000, 500, (512, 1024)),
        (2000, 500, (512, 1024)),  # longer than the grid: its limit
        (1, 5000, (1024, 512)),
    ],
)
def test_shape_of_a_size(width, height, shape):
    assert geometry.fit(width, height, 512).shape == shape


@pytest.mark.parametrize(
    ("width", "height", "cut"), [(1024, 512, False), (1025, 512, True), (512, 1025, True), (700, 500, False)]
)
def test_is_cut_names_images_longer_than_the_grid(width, height, cut):
    assert geometry.fit(width, height, 512).is_cut is cut


def test_twice_the_size_is_centered_scaling_by_two():
    grid = geometry.fit(256, 256, 512)
    np.testing.assert_allclose(grid.forward, [[2, 0, 0], [0, 2, 0]], atol=1e-12)
    np.testing.assert_allclose(grid.to_image(np.array([[512.0, 100.0]])), [[256, 50]], atol=1e-12)


def test_golden_sizes_centers_scales_and_matrices():
    reference = golden.read("geometry.json")
    assert len(reference["rows"]) == 28
    for row in reference["rows"]:
        grid = geometry.fit(row["width"], row["height"], reference["input_size"])
        assert (grid.input_width, grid.input_height) == (row["resized_w"], row["resized_h"])
        for name in ("center", "scale", "forward", "inverse"):
            np.testing.assert_allclose(getattr(grid, name), row[name], rtol=0, atol=1e-9, err_msg=f"{name} of {row}")


@given(SIZES, SIZES)
def test_every_size_lands_in_the_grid(width, height):
    assert geometry.fit(width, height, 512).shape in geometry.shape_grid(512)


@given(SIZES, SIZES)
def test_turning_an_image_turns_its_shape(width, height):
    assert geometry.fit(width, height, 512).shape == geometry.fit(height, width, 512).shape[::-1]


@given(SIZES, SIZES, st.floats(0, 1), st.floats(0, 1))
def test_inverse_undoes_forward(width, height, x, y):
    grid = geometry.fit(width, height, 512)
    point = np.array([x * width, y * height])
    there = grid.forward[:, :2] @ point + grid.forward[:, 2]
    # The three point pairs are float32, so a matrix is good to about 1e-7 of the coordinates it maps.
    np.testing.assert_allclose(grid.to_image(there[None])[0], point, atol=1e-5 * max(width, height, 1024))


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, -1)])
def test_impossible_sizes_are_refused(width, height):
    with pytest.raises(UserError, match=f"{width}x{height}.*positive"):
        geometry.fit(width, height, 512)


Script = Callable[..., Outcome]


def test_sizes_of_scales_are_the_official_ones():
    # get_multi_scale_size(640 x 427, 512, s, 0.5) by hand: 256 / 427 * 640 = 383.7, up to 384.
    plan = Plan(512, (2, 1, 0.5))
    assert [geometry.of_plan(640, 427, plan, factor).shape for factor in plan.factors] == [
        (1024, 1536),
        (512, 768),
        (256, 384),
    ]
    assert geometry.shape_grid(512, plan.scale(1)) == [
        *[(h, 512) for h in (1024, 896, 768, 640)],
        *[(512, w) for w in (512, 640, 768, 896, 1024)],
    ]
    shapes = geometry.shapes(plan)
    assert shapes[0] == (2048, 1024)
    assert len(shapes) == 27


@pytest.mark.parametrize("limited", [True, False])
def test_long_images_are_cut_only_where_the_side_is_limited(limited: bool):
    grid = geometry.fit(900, 300, 512, Scale(limited=limited))
    assert grid.shape == ((512, 1024) if limited else (512, 1536))
    assert grid.is_cut is limited
    assert np.allclose(grid.to_image(np.array([[0.0, 256.0]]))[0, 0], 150 if limited else 0, atol=1e-6)


def test_points_of_a_smaller_map_go_to_the_same_place():
    grid = geometry.fit(640, 427, 512)
    points = np.array([[10.0, 20.0], [300.5, 401.25]])
    half = (grid.shape[0] // 2, grid.shape[1] // 2)
    np.testing.assert_allclose(grid.to_image(points / 2, half), grid.to_image(points), atol=1e-3)


def test_images_of_one_size_share_a_geometry_that_nobody_can_change():
    grid = geometry.fit(640, 480, 512)
    assert geometry.fit(640, 480, 512) is grid
    for matrix in (grid.forward, grid.inverse):
        with pytest.raises(ValueError, match="read-only"):
            matrix[0, 0] = 1
