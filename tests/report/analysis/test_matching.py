"""Matches and curves against COCOeval's own."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from higherhrnet.report.analysis.matching import AREAS
from tests.support import crowd, official_figures


def scene(rng: np.random.Generator, images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """People with joints on a coarse grid, so that similarities tie; crowds; nobody's joints; equal scores."""
    annotations: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for image_id in range(1, images + 1):
        for _ in range(rng.integers(0, 5)):
            side = float(rng.choice([20, 60, 200]))
            keypoints = np.column_stack((rng.integers(0, 6, (17, 2)) * 8.0, rng.choice([0, 1, 2], 17)))
            if rng.random() < 0.2:
                keypoints[:] = 0
            row = crowd.person(len(annotations) + 1, image_id, keypoints, [4.0, 4.0, side, side])
            annotations.append(row | {"iscrowd": int(rng.random() < 0.2)})
        of_image = [row for row in annotations if row["image_id"] == image_id]
        for _ in range(rng.choice([0, 1, 4, 26])):
            points = rng.integers(0, 6, (17, 2)) * 8.0
            if of_image and rng.random() < 0.7:
                row = of_image[rng.integers(len(of_image))]
                points = np.array(row["keypoints"]).reshape(17, 3)[:, :2] + rng.choice([0, 1, 4], (17, 2))
            entries.append(crowd.result(image_id, points, float(rng.choice([0.2, 0.5, 0.7, 0.9]))))
    return crowd.content(range(1, images + 1), annotations), entries


@hypothesis.given(st.integers(0, 2**32 - 1))
@hypothesis.settings(max_examples=25)
def test_matches_are_cocoeval_s(seed: int) -> None:
    content, entries = scene(np.random.default_rng(seed), images=4)
    hypothesis.assume(content["annotations"] and entries)
    official = official_figures.evaluate(content, entries, areas=list(AREAS.values()))
    ours = crowd.evaluator(content, entries)
    for place, area in enumerate(AREAS.values()):
        curve = ours.curve(ours.match(area=area))
        np.testing.assert_allclose(curve.precision, official.precision[..., place], atol=1e-9)
        np.testing.assert_allclose(curve.recall, official.recall[..., place], atol=1e-9)


@hypothesis.given(st.integers(0, 2**32 - 1))
@hypothesis.settings(max_examples=10)
def test_of_one_joint_they_are_cocoeval_s_with_one_sigma(seed: int) -> None:
    rng = np.random.default_rng(seed)
    content, entries = scene(rng, images=4)
    hypothesis.assume(content["annotations"] and entries)
    joint = int(rng.integers(17))
    ours = crowd.evaluator(content, entries)
    alone = [dict(row, keypoints=row["keypoints"][3 * joint : 3 * joint + 3]) for row in content["annotations"]]
    alone = [row | {"num_keypoints": int(row["keypoints"][2] > 0)} for row in alone]
    found = [entry | {"keypoints": entry["keypoints"][3 * joint : 3 * joint + 3]} for entry in entries]
    official = official_figures.evaluate(content | {"annotations": alone}, found, sigmas=[float(ours.sigmas[joint])])
    curve = ours.curve(ours.of_joint(joint))
    np.testing.assert_allclose(curve.precision, official.precision[..., 0], atol=1e-9)


def test_a_found_person_takes_the_free_one_it_resembles_most() -> None:
    """Two found, two annotated 4 pixels apart: the first takes the nearer, the second has to take what is left."""
    at = np.column_stack((np.arange(17) * 9.0, np.full((17, 2), (0, 2))))
    left, right = at.copy(), at + np.array([4.0, 0, 0])
    content = crowd.content([1], [crowd.person(n, 1, k, [0, 0, 200, 200]) for n, k in ((1, left), (2, right))])
    entries = [crowd.result(1, right[:, :2], 0.9), crowd.result(1, right[:, :2], 0.8)]
    matches = crowd.evaluator(content, entries).matches
    assert matches.person[0].tolist() == [1, 0]
    assert matches.oks[0, 0] == 1
    assert matches.oks[0, 1] < 1
    assert matches.right[0].all()
    assert not matches.missing[0].any()


@pytest.mark.parametrize("nothing", ["annotations", "results"])
def test_nobody(nothing: str) -> None:
    content = crowd.drawn(2, seed=1)
    entries = crowd.exact(content, np.random.default_rng(0))
    if nothing == "annotations":
        content["annotations"] = []
    else:
        entries = []
    ours = crowd.evaluator(content, entries)
    assert ours.curve(ours.matches).ap == (-1 if nothing == "annotations" else 0)
