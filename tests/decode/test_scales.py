"""Scales and passes fused: against torch and the reference decode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from demo.synthesis import synthesise
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.decode import Outputs, decode, fused
from higherhrnet.decode.scales import decode_image
from higherhrnet.image import geometry
from tests.support import reference_decode
from tests.support.maps import to_size
from tests.support.programs import Outcome

Script = Callable[..., Outcome]
MULTI = ["TEST.SCALE_FACTOR", "[0.5, 1, 2]"]


def scene(plan: Plan, size: tuple[int, int], seed: int, count: int = 3) -> list[list[Outputs]]:
    """Outputs at all scales of an image of size (width, height) with people in random places."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0.2, 0.8, (count, 1, 2)) * size
    persons = [np.column_stack((rng.normal(center, 40, (17, 2)), rng.integers(0, 3, 17))) for center in centers]
    passes = [
        synthesise(persons, geometry.of_plan(*size, plan, factor), np.random.default_rng(seed))
        for factor in plan.factors
    ]
    return [list(each) if plan.flip else [each[0]] for each in passes]


def torch_maps(plan: Plan, outputs: list[list[Outputs]], flip: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Fused heat [K, H, W] and tags [K, H, W, T] in torch's words, for COCO's 17 joints at INPUT_SIZE 512."""
    size = outputs[0][0][1].shape[1:] if not plan.project else None
    total, tags = None, []
    for factor, passes in zip(plan.factors, outputs, strict=True):
        target = size or geometry.of_plan(640, 480, plan, 1).shape
        heats = []
        for number, (output1, output2) in enumerate(passes):
            half = to_size(output1, output2.shape[1:])
            heat, tag = (half[:17] + output2) / np.float32(2), half[17:]
            if number:
                heat, tag = heat[list(flip)][:, :, ::-1], tag[list(flip)][:, :, ::-1]
            heats.append(to_size(heat, target) if plan.project else heat)
            if factor == 1:
                tags.append(to_size(tag, target))
        mean = sum(heats) / np.float32(len(heats))
        mean = mean if plan.project else to_size(mean, target)
        total = mean if total is None else total + mean
    return total / np.float32(len(outputs)), np.stack(tags, axis=-1)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(512, flip=False),
        Plan(512, (2, 1, 0.5)),
        Plan(512, project=False),
        Plan(512, (2, 1, 0.5), project=False),
        Plan(512, (1.5, 1), flip=False),
    ],
    ids=["no flip", "multi-scale", "not projected", "multi-scale, not projected", "two scales, no flip"],
)
@pytest.mark.slow
def test_people_are_those_of_the_reference_decode(plan: Plan):
    outputs = scene(plan, (640, 480), seed=3)
    options = Options()
    expected = reference_decode.decode_maps(*torch_maps(plan, outputs, options.flip), options)
    size = geometry.of_plan(640, 480, plan, 1).shape if plan.project else None
    people = fused(outputs, size, plan.tags_of, options)
    for field in ("keypoints", "scores", "tags"):
        np.testing.assert_array_equal(getattr(people, field), getattr(expected, field), strict=True)
    assert len(people) >= 3
    assert people.tags.shape == (len(people), 17, 2 if plan.flip else 1)


def test_whole_maps_give_the_same_people_as_the_fast_decode():
    plan = Plan(512)
    outputs = scene(plan, (640, 480), seed=5, count=6)
    rng = np.random.default_rng(1)
    for one_pass in outputs[0]:
        for noisy in one_pass:
            noisy[:] += rng.normal(0, 0.02, noisy.shape).astype(np.float32)
    fast = decode(outputs[0][0], outputs[0][1])
    # Two scales of the same outputs: the sum of two equal maps, halved, is the map.
    slow = fused([*outputs, *outputs], geometry.of_plan(640, 480, plan, 1).shape)
    np.testing.assert_array_equal(slow.keypoints, fast.keypoints)
    np.testing.assert_array_equal(slow.scores, fast.scores)
    np.testing.assert_array_equal(slow.tags, fast.tags)
    assert len(fast) > 6


def test_without_flip_test_whole_maps_give_the_same_people_as_the_fast_decode():
    (passes,) = scene(Plan(512, flip=False), (640, 480), seed=6, count=5)
    rng = np.random.default_rng(2)
    for noisy in passes[0]:
        noisy[:] += rng.normal(0, 0.02, noisy.shape).astype(np.float32)
    size = geometry.of_plan(640, 480, Plan(512), 1).shape
    fast, slow = fused([passes], size), fused([passes, passes], size)
    for field in ("keypoints", "scores", "tags"):
        np.testing.assert_array_equal(getattr(fast, field), getattr(slow, field), strict=True)
    assert len(fast) > 5


def test_one_tag_map_serves_all_joints():
    plan = Plan(512)
    outputs = scene(plan, (640, 480), seed=2, count=1)
    for one_pass in outputs[0]:
        one_pass[0][17:] = one_pass[0][17:].max(axis=0)
    shared = [[(output1[:18], output2) for output1, output2 in outputs[0]]]
    people = fused(shared, geometry.of_plan(640, 480, plan, 1).shape)
    np.testing.assert_array_equal(people.keypoints, decode(outputs[0][0], outputs[0][1]).keypoints)


def test_a_center_that_is_left_out_changes_nothing():
    plan = Plan(512)
    outputs = scene(plan, (640, 480), seed=2)

    def widen(maps: np.ndarray) -> np.ndarray:
        return np.concatenate((maps, np.ones_like(maps[:1])))

    with_center = [
        [(np.concatenate((widen(o1[:17]), widen(o1[17:]))), widen(o2)) for o1, o2 in passes] for passes in outputs
    ]
    people = fused(with_center, geometry.of_plan(640, 480, plan, 1).shape)
    np.testing.assert_array_equal(people.keypoints, decode(outputs[0][0], outputs[0][1]).keypoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a[:20], b), r"scale 0: output1 \[20, 128, 176\] and output2 .* do not belong to 17 joints"),
        (lambda a, b: (a, b.astype(np.float64)), "scale 0: output2 is float64"),
        (lambda a, b: (a * np.float32(np.nan), b), "scale 0: output1 holds NaN"),
    ],
)
def test_wrong_outputs_are_refused(change, message: str):
    plan = Plan(512, flip=False, project=False)
    (outputs,) = scene(plan, (640, 480), seed=0)
    with pytest.raises(ValueError, match=message):
        fused([[change(*outputs[0])]], None)


def test_people_of_all_plans_stand_in_the_same_places():
    """A joint that is found everywhere lies within a few pixels of itself, whatever the plan."""
    found = []
    for plan in (Plan(512), Plan(512, flip=False), Plan(512, (2, 1, 0.5)), Plan(512, project=False)):
        outputs = scene(plan, (640, 480), seed=4, count=1)
        keypoints, scores = decode_image(plan, 640, 480, outputs, Options(refine=False))
        found.append(keypoints[scores.argmax()])
    seen = np.all([person[:, 2] > 0 for person in found], axis=0)
    assert seen.sum() >= 5
    for person in found[1:]:
        assert np.abs(person[seen, :2] - found[0][seen, :2]).max() < 4
