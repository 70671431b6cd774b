"""How scores and what became of the people agree."""

from __future__ import annotations

import numpy as np
import pytest

from higherhrnet.report.analysis import errors, scores
from tests.support import crowd


def calibration(*people: tuple[float, bool]) -> scores.Calibration:
    """Of found people of a score, each right or wrong; one picture each."""
    keypoints = np.column_stack((60.0 * np.arange(17), np.full((17, 2), (5, 2))))
    rows = [crowd.person(n + 1, n + 1, keypoints, (0, 0, 100, 100)) for n in range(len(people))]
    entries = [
        crowd.result(n + 1, keypoints[:, :2] + (0 if right else 9999), score) for n, (score, right) in enumerate(people)
    ]
    made = crowd.evaluator(crowd.content(range(1, len(people) + 1), rows), entries)
    return scores.calibrate(made, errors.label(made))


def test_scores_that_are_the_share_that_is_right_have_no_error() -> None:
    """Twenty people in ten bins: of every two of score 0.5 one is right."""
    found = calibration(*[(0.5, n % 2 == 0) for n in range(20)])
    assert len(found.bins) == 10
    assert found.error == pytest.approx(0)
    assert found.order == 0.5
    assert all(b.right == 0.5 and b.people == 2 and b.oks == 0.5 for b in found.bins)


def test_the_error_is_the_mean_distance() -> None:
    assert calibration((0.9, True), (0.9, True), (0.4, False)).error == pytest.approx((0.1 + 0.1 + 0.4) / 3)


def test_order_counts_pairs_of_right_and_wrong() -> None:
    """Of right 0.9, 0.5 and wrong 0.7, 0.5: 0.9 beats both, 0.5 loses one and ties one, 2.5 of 4."""
    assert calibration((0.9, True), (0.5, True), (0.7, False), (0.5, False)).order == 2.5 / 4
    assert calibration((0.9, True)).order is None


def test_scores_that_are_no_shares_have_no_error() -> None:
    assert calibration((1.5, True), (0.3, False)).error is None
    assert calibration().bins == []
