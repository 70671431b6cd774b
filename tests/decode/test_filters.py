"""Duplicates and low scores, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from higherhrnet.config.options import Options
from higherhrnet.decode import filters
from higherhrnet.decode.people import People
from higherhrnet.decode.scales import filtered

SIGMAS = (0.05, 0.1)


def person(x: float, y: float, *, side: float = 10, values: tuple[float, float] = (1, 1)) -> np.ndarray:
    """Two joints, at opposite corners of a square."""
    return np.array([[x, y, values[0]], [x + side, y + side, values[1]]])


def test_the_similarity_by_hand():
    """Joints 1 and 2 pixels off, areas 100 and 300: s^2 is 200."""
    a, b = person(0, 0), person(0, 0)
    b[0, 0] += 1
    b[1, 1] += 2
    expected = (np.exp(-1 / (2 * 200 * 0.1**2)) + np.exp(-4 / (2 * 200 * 0.2**2))) / 2
    assert filters.oks(a, 100, b[None], np.array([300.0]), SIGMAS) == pytest.approx([expected])
    b[1, 2] = 0
    assert filters.oks(a, 100, b[None], np.array([300.0]), SIGMAS) == pytest.approx([np.exp(-1 / 4)]), "joints of both"
    a[0, 2] = 0
    assert filters.oks(a, 100, b[None], np.array([300.0]), SIGMAS) == [0], "no joint of both"


def test_areas_are_those_of_the_joints_that_were_found():
    people = np.stack([person(0, 0, side=4), person(0, 0, values=(1, 0)), person(0, 0, values=(0, 0))])
    assert filters.extents(people).tolist() == [16, 0, 0]
    assert filters.extents(people[:0]).tolist() == []


def test_of_people_who_are_alike_the_better_one_is_kept():
    people = np.stack([person(0, 0), person(50, 0), person(0.1, 0), person(50, 0.1), person(0, 90)])
    scores = np.array([0.3, 0.9, 0.5, 0.9, 0.1], np.float32)
    areas = filters.extents(people)
    assert filters.oks_nms(people, scores, areas, SIGMAS, 0.9).tolist() == [1, 2, 4], "of equals the first"
    assert filters.oks_nms(people[:1], scores[:1], areas[:1], SIGMAS, 0.9).tolist() == [0]


def test_no_two_of_those_who_are_left_are_alike():
    rng = np.random.default_rng(3)
    people = np.concatenate((rng.uniform(0, 30, (40, 2, 2)), np.ones((40, 2, 1))), axis=2)
    scores, areas = rng.random(40), np.full(40, 400.0)
    kept = filters.oks_nms(people, scores, areas, SIGMAS, 0.5)
    assert 1 < len(kept) < 40
    for i in kept:
        others = kept[kept != i]
        assert (filters.oks(people[i], areas[i], people[others], areas[others], SIGMAS) < 0.5).all()
    for i in set(range(40)).difference(kept):
        better = kept[scores[kept] >= scores[i]]
        assert (filters.oks(people[i], areas[i], people[better], areas[better], SIGMAS) >= 0.5).any()


def left(people: np.ndarray, *, oks_nms: float = 0, min_score: float = 0) -> list[float]:
    """The scores of those who are left of people [3, K, 3] with scores 0.9, 0.8, 0.2."""
    found = People(people, np.array([0.9, 0.8, 0.2]), np.zeros((*people.shape[:2], 1)))
    return filtered(found, Options(sigmas=SIGMAS, oks_nms=oks_nms, min_score=min_score)).scores.tolist()


def test_both_are_off_unless_asked_for():
    people = np.stack([person(0, 0), person(0, 0), person(50, 0)])
    assert left(people) == [0.9, 0.8, 0.2]
    assert left(people, oks_nms=0.9) == [0.9, 0.2]
    assert left(people, min_score=0.5) == [0.9, 0.8]
    assert left(people, min_score=0.5, oks_nms=0.9) == [0.9]
    assert left(people, min_score=1, oks_nms=0.9) == []
    with_center = np.concatenate((people, np.zeros((3, 1, 3))), axis=1)
    assert left(with_center, oks_nms=0.9) == [0.9, 0.2]


def test_records_name_them_where_they_are_on():
    assert not {"oks_nms", "min_score", "sigmas"} & Options().recorded.keys()
    recorded = Options(oks_nms=0.9, min_score=0.1, sigmas=SIGMAS).recorded
    assert (recorded["oks_nms"], recorded["min_score"], recorded["sigmas"]) == (0.9, 0.1, SIGMAS)
