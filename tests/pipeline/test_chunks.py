"""Chunks and the disk they may take."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.pipeline.chunks import IN_FLIGHT, plan

SIZES = st.lists(st.tuples(st.integers(100, 900), st.integers(100, 900)), min_size=1, max_size=60)


def images_of(sizes) -> list[coco.Image]:
    return [coco.Image(index, 7 * index, f"{index}.jpg", w, h) for index, (w, h) in enumerate(sizes)]


def bytes_of(shape: tuple[int, int]) -> tuple[int, int]:
    return 24 * shape[0] * shape[1], 50 * shape[0] * shape[1]


@settings(deadline=None)
@given(sizes=SIZES, budget=st.integers(2 * 10**7, 10**9), batch=st.sampled_from([1, 3]), most=st.sampled_from([99, 5]))
def test_a_plan_holds_every_image_once_in_chunks_of_one_shape_that_fit(sizes, budget: int, batch: int, most: int):
    images = images_of(sizes)
    try:
        chunks = plan(images, tested=Plan(128), budget=budget, image_bytes=bytes_of, batch=batch, most=most)
    except UserError as e:
        assert "takes" in str(e)
        return
    assert sorted(image.index for chunk in chunks for image in chunk.images) == list(range(len(images)))
    assert len({chunk.name for chunk in chunks}) == len(chunks)
    for chunk in chunks:
        assert {geometry.fit(i.width, i.height, 128).shape for i in chunk.images} == {chunk.shape}
        assert chunk.bytes <= budget
        assert chunk.bytes >= sum(bytes_of(chunk.shape)) * len(chunk.images)
        if len(chunk.images) > batch:
            assert chunk.bytes * IN_FLIGHT <= budget, "several in flight must fit"
            assert len(chunk.images) <= max(most, batch)


def test_a_budget_too_small_for_one_image_is_refused():
    with pytest.raises(UserError, match=r"--disk_budget is 1.0 MB, one batch of shape 128x256 takes 2.5 MB; give more"):
        plan(images_of([(800, 400)]), tested=Plan(128), budget=10**6, image_bytes=bytes_of, batch=1)
