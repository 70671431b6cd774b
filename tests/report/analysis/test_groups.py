"""Groups of pictures and people."""

from __future__ import annotations

import numpy as np
import pytest

from higherhrnet.report.analysis import groups
from tests.support import crowd, official_figures


@pytest.fixture(scope="module")
def made():
    content = crowd.drawn(25, seed=11)
    rng = np.random.default_rng(2)
    return content, crowd.spoil(content, crowd.exact(content, rng, noise=0.8), rng).entries


def test_sizes_are_cocoeval_s_area_ranges(made) -> None:
    content, entries = made
    areas = [(float(low) ** 2, float(high) ** 2) for low, high in groups.SIZES]
    official = official_figures.evaluate(content, entries, areas=areas)
    for place, group in enumerate(groups.by_size(crowd.evaluator(content, entries))):
        assert group.curve is not None
        assert group.curve.ap == pytest.approx(official.precision[..., place].mean(), abs=1e-9)


@pytest.mark.parametrize("by", [groups.by_count, groups.by_crowding, groups.by_occlusion])
def test_groups_of_pictures_are_evaluations_of_these_alone(made, by) -> None:
    content, entries = made
    ours = crowd.evaluator(content, entries)
    found = by(ours)
    assert sum(group.images for group in found) == 25
    assert sum(group.people for group in found) == len(content["annotations"])
    counts = {i: sum(row["image_id"] == i for row in content["annotations"]) for i in range(1, 26)}
    if by is groups.by_count:
        of_two = [image_id for image_id, count in counts.items() if count == 2]
        official = official_figures.evaluate(content, entries, image_ids=of_two)
        group = next(group for group in found if group.label == "2 people")
        assert group.images == len(of_two) > 2
        assert group.curve is not None
        assert group.curve.ap == pytest.approx(official.precision.mean(), abs=1e-9)


@pytest.mark.parametrize("by", [groups.people_by_overlap, groups.people_by_occlusion, groups.people_by_joints])
def test_recall_of_groups_of_people_adds_up_to_that_of_all(made, by) -> None:
    ours = crowd.evaluator(*made)
    found = [group for group in by(ours) if group.people]
    assert len(found) > 1 or by is groups.people_by_overlap  # these people do not overlap
    weighted = sum(group.people * group.recall for group in found) / sum(group.people for group in found)
    assert weighted == pytest.approx(ours.curve(ours.matches).recall, abs=1e-9)


def test_overlap_is_of_boxes_of_people_who_count() -> None:
    keypoints = np.full((17, 3), 2.0)
    boxes = [(0, 0, 10, 10), (5, 0, 10, 10), (100, 0, 10, 10), (0, 0, 10, 10)]
    rows = [crowd.person(n + 1, 1, keypoints, box) for n, box in enumerate(boxes)]
    rows[3]["iscrowd"] = 1
    truth = crowd.evaluator(crowd.content([1], rows), []).truth
    assert groups.overlaps(truth).tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])  # 50 of 150


def test_hidden_is_of_annotated_joints() -> None:
    keypoints = np.column_stack((np.ones((17, 2)), [0] * 7 + [1] * 4 + [2] * 6))
    truth = crowd.evaluator(crowd.content([1], [crowd.person(1, 1, keypoints, (0, 0, 9, 9))]), []).truth
    assert groups.hidden(truth).tolist() == [0.4]
