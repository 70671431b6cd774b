"""Decode: the golden people, answers by hand, properties, input checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.synthesis import synthesise
from higherhrnet.config.options import Options
from higherhrnet.dataset import joints
from higherhrnet.decode import VERSION, decode
from higherhrnet.decode.people import ARRAYS
from higherhrnet.decode.scales import whole_maps
from higherhrnet.image import geometry
from tests.support import golden, reference_decode

Outputs = tuple[np.ndarray, np.ndarray]
ONE_JOINT = Options(flip=(0,), order=(0,))


def blank(joint_count: int, height: int, width: int) -> tuple[Outputs, Outputs]:
    """Outputs of an input of height x width pixels, for both passes, all 0."""

    def one_pass() -> Outputs:
        output1 = np.zeros((2 * joint_count, height // 4, width // 4), np.float32)
        return output1, np.zeros((joint_count, height // 2, width // 2), np.float32)

    return one_pass(), one_pass()


def put(passes, joint: int, x: int, y: int, heat: float, tag: float) -> None:
    """One half-resolution pixel of heat in both passes' output2, with a tag around it."""
    for (output1, output2), mirrored in zip(passes, (False, True), strict=True):
        column = output2.shape[2] - 1 - x if mirrored else x
        output2[joint, y, column] = heat
        tags = output1[len(output2) + joint]
        tags[max(y // 2 - 2, 0) : y // 2 + 3, max(column // 2 - 2, 0) : column // 2 + 3] = tag


@pytest.mark.parametrize("case", range(golden.CASES))
def test_golden_people(case: int):
    people = decode(*golden.outputs(case))
    expected = golden.read("decode/expected.json")[case]["persons"]
    assert len(people) == len(expected)
    for keypoints, score, tags, person in zip(people.keypoints, people.scores, people.tags, expected, strict=True):
        reference = np.array(person["keypoints_resized"])
        np.testing.assert_allclose(keypoints[:, :2], reference[:, :2], rtol=0, atol=1e-3)
        np.testing.assert_allclose(keypoints[:, 2], reference[:, 2], rtol=0, atol=1e-5)
        np.testing.assert_allclose(score, person["score"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(tags, np.array(person["tags"]), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_people_change_with_the_version_only():
    """To the bit, where the tolerances above would let a change through: then decode.VERSION must have grown."""
    reference = golden.read("people.json")
    assert reference.pop("version") == VERSION, "python3 -m tests.golden.make people"
    assert golden.people_hashes() == reference


def test_one_peak_by_hand():
    # Along each axis 1, 0.5 in half-resolution pixels 5 and 6: pixels 10, 11, 12 are 0.75, 0.875, 0.625. The higher
    # neighbour of 11 is 10, and the average with output1's zeros halves the value.
    outputs, flip_outputs = blank(1, 64, 96)
    for dy, dx in np.ndindex(2, 2):
        put((outputs, flip_outputs), 0, 5 + dx, 5 + dy, 0.5 ** (dx + dy), tag=2)
    people = decode(outputs, flip_outputs, ONE_JOINT)
    np.testing.assert_array_equal(people.keypoints, [[[11.25, 11.25, 0.875**2 / 2]]])
    np.testing.assert_array_equal(people.scores, people.keypoints[:, 0, 2])
    np.testing.assert_array_equal(people.tags, [[[2, 2]]])


def test_peak_without_adjust_is_its_pixel():
    outputs, flip_outputs = blank(1, 64, 96)
    for dy, dx in np.ndindex(2, 2):
        put((outputs, flip_outputs), 0, 5 + dx, 5 + dy, 0.5 ** (dx + dy), tag=2)
    people = decode(outputs, flip_outputs, Options(flip=(0,), order=(0,), adjust=False))
    np.testing.assert_array_equal(people.keypoints[0, 0, :2], [11, 11])


@pytest.mark.parametrize(("x", "expected_x"), [(0, 0.25), (47, 95.75)])
@pytest.mark.parametrize(("y", "expected_y"), [(0, 0.25), (31, 63.75)])
def test_peak_in_a_corner(x, y, expected_x, expected_y):
    # The border repeats, so the outermost pixel is the peak; beyond the border it is its own neighbour.
    outputs, flip_outputs = blank(1, 64, 96)
    put((outputs, flip_outputs), 0, x, y, 1, tag=0)
    people = decode(outputs, flip_outputs, ONE_JOINT)
    np.testing.assert_array_equal(people.keypoints, [[[expected_x, expected_y, 0.5]]])


def test_nobody():
    people = decode(*blank(17, 64, 96))
    assert people.keypoints.shape == (0, 17, 3)
    assert people.scores.shape == (0,)
    assert people.tags.shape == (0, 17, 2)
    assert len(people) == 0
    assert {a.dtype for a in (people.keypoints, people.scores, people.tags)} == {np.dtype(np.float32)}


def test_no_people_wanted():
    outputs, flip_outputs = blank(1, 64, 96)
    put((outputs, flip_outputs), 0, 5, 5, 1, tag=0)
    assert len(decode(outputs, flip_outputs, Options(flip=(0,), order=(0,), max_people=0))) == 0


def two_people() -> tuple[Outputs, Outputs]:
    """Joint 0 of a person of tag 0 (the higher) and one of tag 3; joint 1 of both, their heights the other way."""
    passes = blank(2, 64, 96)
    put(passes, 0, 0, 0, 1.0, tag=0)
    put(passes, 0, 47, 0, 0.8, tag=3)
    put(passes, 1, 0, 31, 0.6, tag=0)
    put(passes, 1, 47, 31, 0.9, tag=3)
    return passes


def test_two_people_by_their_tags():
    people = decode(*two_people(), Options(flip=(0, 1), order=(0, 1)))
    np.testing.assert_array_equal(people.keypoints[0], [[0.25, 0.25, 0.5], [0.25, 63.75, np.float32(0.3)]])
    np.testing.assert_array_equal(
        people.keypoints[1], [[95.75, 0.25, np.float32(0.4)], [95.75, 63.75, np.float32(0.45)]]
    )
    np.testing.assert_array_equal(people.tags[:, :, 0], [[0, 0], [3, 3]])
    np.testing.assert_allclose(people.scores, [0.4, 0.425], rtol=1e-6)


def test_order_decides_who_is_first():
    people = decode(*two_people(), Options(flip=(0, 1), order=(1, 0)))
    np.testing.assert_array_equal(people.tags[:, 0, 0], [3, 0])


def test_refine_fills_a_low_peak_of_the_person_and_leaves_the_score():
    passes = blank(2, 64, 96)
    put(passes, 0, 0, 0, 1.0, tag=3)
    put(passes, 1, 47, 31, 0.15, tag=3)
    options = Options(flip=(0, 1), order=(0, 1))
    people = decode(*passes, options)
    np.testing.assert_array_equal(people.keypoints[0, 1], [95.75, 63.75, np.float32(0.075)])
    np.testing.assert_array_equal(people.scores, [0.25])
    np.testing.assert_array_equal(people.tags[0, 1], [0, 0])
    without = decode(*passes, Options(flip=(0, 1), order=(0, 1), refine=False))
    np.testing.assert_array_equal(without.keypoints[0, 1], [0, 0, 0])


def test_more_people_than_max_people():
    # Three peaks of joint 0 found three people; later peaks see the first two only, and the third founds a fourth.
    passes = blank(2, 64, 96)
    for x, heat, tag in ((0, 1.0, 1), (24, 0.9, 5), (47, 0.8, 9)):
        put(passes, 0, x, 0, heat, tag)
        put(passes, 1, x, 31, heat, tag + 0.25)
    options = Options(flip=(0, 1), order=(0, 1), max_people=2, refine=False)
    people = decode(*passes, options)
    assert len(people) == 2  # peaks are limited to two a joint as well
    assert reference_decode.decode(*passes, options).keypoints.shape == people.keypoints.shape


def test_costs_too_large_for_the_package_still_end():
    rng = np.random.default_rng(0)
    passes = blank(3, 64, 96)
    for array in (a for one_pass in passes for a in one_pass):
        array[:] = rng.normal(0, 1e30, array.shape)
    people = decode(*passes, Options(flip=(0, 1, 2), order=(0, 1, 2)))
    assert len(people) > 30
    assert np.isfinite(people.keypoints).all()


@given(x=st.integers(0, 47), y=st.integers(0, 31), heat=st.floats(0.5, 1, width=16))
def test_a_peak_is_found_wherever_it_is(x, y, heat):
    # A lone half-resolution pixel makes four equal highest pixels; with one tag they become one person, the last one.
    outputs, flip_outputs = blank(1, 64, 96)
    put((outputs, flip_outputs), 0, x, y, heat, tag=0)
    found = decode(outputs, flip_outputs, ONE_JOINT).keypoints[0, 0]
    inside = (0.75 if 0 < x < 47 else 1) * (0.75 if 0 < y < 31 else 1)
    assert abs(found[0] - (2 * x + 1)) <= 0.75
    assert abs(found[1] - (2 * y + 1)) <= 0.75
    np.testing.assert_allclose(found[2], heat / 2 * inside, rtol=1e-6)


def scene(seed: int, count: int) -> tuple[Outputs, Outputs]:
    """People without neighbours in tag space, keypoints at random in a 512 x 512 input."""
    rng = np.random.default_rng(seed)
    shape = geometry.fit(512, 512, 512)
    persons = [np.column_stack((rng.uniform(20, 490, (17, 2)), np.full(17, 2))) for _ in range(count)]
    return synthesise(persons, shape, rng, clutter=0, drop=0, tag_spread=5)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4))
@pytest.mark.slow
def test_passes_exchanged_mirror_the_maps(seed, count):
    """To the bit at half the size, where sums of two do not depend on their order.

    Enlarged, within a few roundings of the largest value: fused multiply-adds round the first product only, which
    mirroring makes the second.
    """
    flip = list(joints.COCO.flip)
    outputs, flip_outputs = scene(seed, count)
    for size, roundings in ((None, 0), ((512, 512), 4)):
        heat, (tags, flip_tags) = whole_maps([[outputs, flip_outputs]], size, 0, flip)
        mirrored, (others, flip_others) = whole_maps([[flip_outputs, outputs]], size, 0, flip)
        for ours, theirs in ((mirrored, heat), (others, flip_tags), (flip_others, tags)):
            allowed = roundings * np.finfo(np.float32).eps * np.abs(theirs).max()
            assert np.abs(ours - theirs[flip][:, :, ::-1]).max() <= allowed


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4))
def test_passes_exchanged_mirror_people_who_stand_apart(seed, count):
    """Only of those: a mean of tags rounds otherwise in another order of joints, which moves what is a near-tie.

    Same joints 64 pixels apart keep all their peaks and tags, so that no joint is left to be searched by its tag; tags
    5 apart in both passes are at distances of 7, 14 and 21, not near the halves at which distances are rounded.
    """
    rng = np.random.default_rng(seed)
    places = np.array([standing_apart(rng, count) for _ in joints.COCO.names]).transpose(1, 0, 2)  # [P, 17, 2]
    persons = [np.column_stack((person, np.full(len(joints.COCO.names), 2))) for person in places]
    grid = geometry.fit(512, 512, 512)
    outputs, flip_outputs = synthesise(persons, grid, rng, clutter=0, drop=0, tag_spread=5)
    people, mirrored = decode(outputs, flip_outputs), decode(flip_outputs, outputs)
    assert len(people) == len(mirrored) == count
    expected = people.keypoints[:, list(joints.COCO.flip)] * [-1, 1, 1] + [512, 0, 0]
    nearest = []
    for person in mirrored.keypoints:
        distances = np.abs(expected[:, :, :2] - person[:, :2]).max(axis=(1, 2))
        nearest.append(int(distances.argmin()))
        # Equal neighbours are moved a quarter pixel one way or the other, and half of that again.
        assert distances.min() <= 0.75
    assert sorted(nearest) == list(range(count))


def standing_apart(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random points [count, 2] in 512 x 512, at least 64 pixels apart."""
    while True:
        points = rng.uniform(20, 490, (count, 2))
        gaps = np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(count, 1)]
        if not (gaps < 64).any():
            return points


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.integers(-100, 100))
def test_tags_matter_by_their_differences_only(seed, shift):
    outputs, flip_outputs = scene(seed, 3)
    people = decode(outputs, flip_outputs, Options(refine=False))
    for output1, _ in (outputs, flip_outputs):
        output1[17:] = np.where(output1[17:] != 0, output1[17:] + np.float32(shift), 0)
    shifted = decode(outputs, flip_outputs, Options(refine=False))
    np.testing.assert_array_equal(shifted.keypoints, people.keypoints)
    np.testing.assert_array_equal(shifted.scores, people.scores)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e37])
@pytest.mark.parametrize(("position", "name"), list(enumerate(ARRAYS)))
def test_values_that_are_no_heat_are_refused_by_the_arrays_name(value, position, name):
    passes = blank(17, 64, 96)
    array = passes[position // 2][position % 2]
    array[-1, -1, -1] = value
    with pytest.raises(ValueError, match=rf"^{name} holds NaN"):
        decode(*passes)


@pytest.mark.parametrize(("position", "name"), list(enumerate(ARRAYS)))
def test_one_nan_is_found_in_every_row_of_every_map(position, name):
    passes = blank(5, 72, 64)  # four tiles and a half of rows
    options = Options(flip=(0, 1, 2, 3, 4), order=(0, 1, 2, 3, 4))
    array = passes[position // 2][position % 2]
    for place in np.ndindex(array.shape[:2]):
        array[place][-1] = np.nan
        with pytest.raises(ValueError, match=rf"^{name} holds NaN"):
            decode(*passes, options)
        array[place][-1] = 0


@pytest.mark.parametrize("value", [3e18, 1.5e19, -9e36])  # of the first only sums of squares do
def test_values_are_no_error_where_their_squares_overflow(value):
    passes = blank(17, 64, 96)
    for array in (*passes[0], *passes[1]):
        array[-1] = value
    decode(*passes)


@pytest.mark.parametrize("position", [0, 1])
def test_values_that_are_no_heat_are_refused_without_flip_test_too(position):
    outputs, _ = blank(17, 64, 96)
    outputs[position][-1, -1, -1] = np.nan
    with pytest.raises(ValueError, match=rf"^{ARRAYS[position]} holds NaN"):
        decode(outputs)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda a: a[:33], r"output1 has shape \[33, 16, 24\], expected \[34, 16, 24\]"),
        (1, lambda a: a.astype(np.float64), r"output2 is float64 \[17, 32, 48\], expected float32"),
        (2, lambda a: a[:, :8], r"flip_output1 has shape \[34, 8, 24\]"),
        (3, lambda a: a[None], r"flip_output2 is float32 \[1, 17, 32, 48\], expected float32 with three"),
        (3, lambda a: a[:, :, :0], r"flip_output2 is float32 \[17, 32, 0\]"),
        (0, lambda a: a.astype(">f4"), r"output1 is >f4"),
    ],
)
def test_wrong_arrays_are_refused(position, change, message):
    arrays = [a for one_pass in blank(17, 64, 96) for a in one_pass]
    arrays[position] = change(arrays[position])
    with pytest.raises(ValueError, match=message):
        decode((arrays[0], arrays[1]), (arrays[2], arrays[3]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(nms_kernel=4), "nms_kernel is 4"),
        (Options(max_people=-1), "max_people is -1"),
        (Options(flip=(0, 1)), "expected each of the arrays' 17 joints once"),
        (Options(order=(17,)), "expected joints 0 to 16"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        decode(*blank(17, 64, 96), options)


def memory_map(array: np.ndarray, path: Path) -> np.ndarray:
    array.tofile(path)
    return np.memmap(path, np.float32, mode="r", shape=array.shape)


def unaligned(array: np.ndarray, path: Path) -> np.ndarray:
    path.write_bytes(b" " + array.tobytes())
    return np.frombuffer(path.read_bytes(), np.uint8)[1:].view(np.float32).reshape(array.shape)


@pytest.mark.parametrize(
    "layout",
    [
        memory_map,
        unaligned,
        lambda array, _: np.asfortranarray(array),
        lambda array, _: np.repeat(array, 2, axis=2)[:, :, ::2],
        lambda array, _: array[:, ::-1].copy()[:, ::-1],
        lambda array, _: np.broadcast_to(array, array.shape),
    ],
    ids=["memory map", "unaligned", "Fortran", "strided", "reversed", "read-only"],
)
def test_any_layout_gives_the_same_people_without_compiling_again(tmp_path, layout):
    passes = scene(1, 2)
    expected = decode(*passes)
    (a, b), (c, d) = ([layout(a, tmp_path / f"{i}{j}") for j, a in enumerate(p)] for i, p in enumerate(passes))
    np.testing.assert_array_equal(decode((a, b), (c, d)).keypoints, expected.keypoints)
