"""matches: who is whom among the people of an image, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from higherhrnet.dataset import joints
from higherhrnet.stages.matches import LEAST_OKS, Matches, Pair, match

SIGMAS = joints.COCO.sigmas


def person(x: float = 0.0, y: float = 0.0, size: float = 100.0) -> np.ndarray:
    """17 joints [17, 3] in a square of ``size`` at (x, y), all found."""
    places = np.array([(j % 5, j // 5) for j in range(17)]) * size / 4
    return np.column_stack([places + np.array((x, y)), np.ones(17)])


def moved(of: np.ndarray, joint: int, by: float) -> np.ndarray:
    to = of.copy()
    to[joint, 0] += by
    return to


def without(of: np.ndarray, *joint: int) -> np.ndarray:
    to = of.copy()
    to[list(joint)] = 0
    return to


def people(*every: np.ndarray) -> np.ndarray:
    return np.stack(every) if every else np.empty((0, 17, 3))


def test_equal_people_are_each_other_whatever_their_order():
    far = person(500)
    found = match(people(person(), far), people(far, person()), SIGMAS, distance=0.1)
    assert found == Matches((Pair(0, 1, 0, 0, 0.0, 0), Pair(1, 0, 0, 0, 0.0, 0)), (), ())
    assert found.changed == 0


def test_equal_people_come_before_those_who_are_nearly_so():
    """Taken in order, the first would be paired with the second's equal."""
    a, b = person(), moved(person(), 3, 0.05)
    assert [(p.first, p.second) for p in match(people(a, b), people(b, a), SIGMAS, distance=0.1).pairs] == [
        (0, 1),
        (1, 0),
    ]


def test_people_found_twice_at_one_place_are_themselves():
    twice = people(person(), person())
    assert [(p.first, p.second) for p in match(twice, twice, SIGMAS, distance=0).pairs] == [(0, 0), (1, 1)]


def test_what_moved_is_said():
    """Joint 3 by 2 pixels and joint 4 by 1; within 2 pixels nothing moved."""
    other = moved(moved(person(), 3, 2.0), 4, -1.0)
    (pair,) = match(people(person()), people(other), SIGMAS, distance=0.1).pairs
    assert (pair.moved, pair.unshared, pair.shift, pair.joint, pair.is_same) == (2, 0, 2.0, 3, False)
    assert match(people(person()), people(other), SIGMAS, distance=2).changed == 0


def test_a_joint_that_one_run_lacks_has_not_moved_but_changes_its_person():
    """Where it is not found its place means nothing, here (0, 0), which joint 0 is at by chance."""
    for first, second in ((person(), without(person(), 0)), (without(person(), 16), person())):
        (pair,) = match(people(first), people(second), SIGMAS, distance=0.1).pairs
        assert (pair.moved, pair.unshared, pair.shift, pair.is_same) == (0, 1, 0.0, False)


def test_the_more_alike_are_one_person():
    """Both of B are like A's one; the nearer is it, the other is new."""
    found = match(people(person()), people(person(9), person(4)), SIGMAS, distance=0.1)
    assert ([(p.first, p.second) for p in found.pairs], found.gone, found.new) == ([(0, 1)], (), (0,))


def test_people_who_are_not_alike_are_gone_and_new():
    """OKS of a person moved by d, of which every joint moves: above and below LEAST_OKS."""
    assert LEAST_OKS == 0.5
    near, far = (match(people(person()), people(person(d)), SIGMAS, distance=0.1) for d in (12, 60))
    assert (len(near.moved), near.gone, near.new) == (1, (), ())
    assert (far.pairs, far.gone, far.new, far.changed) == ((), (0,), (0,), 2)


def test_one_keypoint_has_no_extent_and_may_still_move():
    first, second = person(), moved(person(), 0, 1.0)
    first, second = without(first, *range(1, 17)), without(second, *range(1, 17))
    assert len(match(people(first), people(second), SIGMAS, distance=0.1).moved) == 1


def test_images_without_people():
    assert match(people(), people(), SIGMAS, distance=1) == Matches((), (), ())
    assert match(people(person()), people(), SIGMAS, distance=1) == Matches((), (0,), ())
    assert match(people(), people(person(), person()), SIGMAS, distance=1) == Matches((), (), (0, 1))


@pytest.mark.parametrize("count", [250])
def test_a_crowd_is_found_again_in_any_order(count: int):
    """Of 250 people some overlap: 240 the same, 5 moved by 3 pixels, 5 gone and 5 new, twice the same answer."""
    rng = np.random.default_rng(5)
    first = people(*(person(x, y, size) for x, y, size in rng.uniform((0, 0, 40), (2000, 2000, 90), (count, 3))))
    second = first.copy()
    second[:5, 7, 0] += 3
    second[5:10, :, :2] += 10_000
    order = rng.permutation(count)
    found = match(first, second[order], SIGMAS, distance=0.1)
    assert all(order[pair.second] == pair.first for pair in found.pairs)
    assert [(p.first, p.joint, p.moved) for p in found.moved] == [(p, 7, 1) for p in range(5)]
    assert found.gone == tuple(range(5, 10))
    assert sorted(order[list(found.new)]) == list(range(5, 10))
    assert found == match(first, second[order], SIGMAS, distance=0.1)
