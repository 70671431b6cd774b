"""Two sets of results compared."""

from __future__ import annotations

import numpy as np
import pytest

from higherhrnet.dataset import coco
from higherhrnet.report.analysis import difference, figures
from higherhrnet.report.analysis.figures import Draws
from tests.support import crowd


def test_people_gained_lost_and_moved() -> None:
    """Found now: the 2nd and 3rd, and one of nobody; before: the 1st, and the 3rd a little aside."""
    at = [np.column_stack((60.0 * np.arange(17) + x, np.full((17, 2), (5, 2)))) for x in (0, 2000, 4000)]
    content = crowd.content([1], [crowd.person(n + 1, 1, k, (0, 0, 100, 100)) for n, k in enumerate(at)])
    points = [k[:, :2] for k in at]
    now = crowd.evaluator(content, [crowd.result(1, p, 0.9) for p in (points[1], points[2], points[2] + 9999)])
    before = crowd.evaluator(content, [crowd.result(1, points[0], 0.9), crowd.result(1, points[2] + [0, 8.0], 0.9)])
    found = difference.people(now, before)
    assert found.gained.tolist() == [False, True, False]
    assert found.lost.tolist() == [True, False, False]
    assert found.better.tolist() == [False, False, True]
    assert not found.worse.any()
    assert (found.wrong, found.wrong_before) == (1, 0)
    back = difference.people(before, now)
    assert back.worse.tolist() == found.better.tolist()
    assert back.gained.tolist() == found.lost.tolist()


def test_changes_and_their_intervals() -> None:
    content = crowd.drawn(30, seed=5)
    content["annotations"] = [row for row in content["annotations"] if row["area"] <= 96**2]
    good, bad = (crowd.exact(content, np.random.default_rng(1), noise=noise) for noise in (0.2, 1.2))
    parts = [figures.parts(crowd.evaluator(content, entries), coco.COCO, None) for entries in (good, bad)]
    now, before = parts
    draws = Draws(30, 100, 0)
    found = {change.name: change for change in difference.changes(now, before, coco.COCO, draws)}
    ap = found["AP"]
    assert ap.difference == pytest.approx(
        figures.read(parts[0], coco.COCO)["AP"] - figures.read(parts[1], coco.COCO)["AP"]
    )
    assert ap.interval is not None
    assert ap.difference is not None
    assert 0 < ap.interval[0] < ap.difference < ap.interval[1]
    same = difference.changes(parts[0], parts[0], coco.COCO, draws)
    assert all(change.interval == (0, 0) for change in same if change.difference is not None)
    undefined = found["AP (L)"]  # there are no large people
    assert undefined.difference is None
    assert undefined.interval is None
