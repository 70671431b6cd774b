"""People of a lower precision against float32's: what counts as the same, and who is asked, over a stand-in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

from demo.synthesis import synthesise
from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.backends.in_process import InProcess, Seconds
from higherhrnet.backends.torch_decode import Maps
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.image import geometry
from higherhrnet.pipeline.agreement import Agreement, compare
from higherhrnet.pipeline.stream import Found, Picture, Stream

PLAN = Plan(128)
SQUARE, WIDE = (128, 128), (128, 192)
Passes = list[tuple[np.ndarray, np.ndarray]]


def two_people(shape: tuple[int, int]) -> Passes:
    """Outputs of a picture with one person in its left half and one in its right, and of its mirror image."""
    height, width = shape
    rng = np.random.default_rng(0)
    places = [rng.uniform(0.1, 0.4, (17, 2)) * (1, 2) + (left, 0) for left in (0, 0.5)]
    people = [np.column_stack((place * (width, height), np.full(17, 2))) for place in places]
    grid = geometry.of_plan(width, height, PLAN)
    assert grid.shape == shape
    return list(synthesise(people, grid, rng, clutter=0, drop=0))


def in_half(passes: Passes, *, drops: bool) -> Passes:
    """As float16 would have them; ``drops``: without the heat of the right half, which the mirror image has left."""
    rounded = [(a.astype(np.float16).astype(np.float32), b.astype(np.float16).astype(np.float32)) for a, b in passes]
    for (first, second), right in zip(rounded, (True, False), strict=True):
        for heat in (first[:17], second) if drops else ():
            middle = heat.shape[2] // 2
            heat[:, :, slice(middle, None) if right else slice(middle)] = 0
    return rounded


@dataclass(frozen=True)
class Kind:
    """How a session hands over what it computes."""

    passes: int
    slots: int
    keeps_maps: bool = False


KINDS = [Kind(1, 1), Kind(1, 4), Kind(2, 4), Kind(2, 4, keeps_maps=True)]


class Half(InProcess):
    """A device that finds two people in the first picture of a batch and one in the second.

    In less than float32 it finds one in the first too, at the shapes that it ``drops``.
    """

    name = "stand-in float16"
    runtime = "stand-in"

    def __init__(self, kind: Kind, *, drops: Sequence[tuple[int, int]] = (), has_exact: bool = True) -> None:
        super().__init__(batch=2, heads=dumps.Heads(17, 17), done=lambda _: None)
        self.kind, self.drops, self.has_exact, self.keeps_maps = kind, drops, has_exact, kind.keeps_maps
        self.asked: list[tuple[int, int]] = []

    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        return Session(self, shape)


class Session:
    def __init__(self, backend: Half, shape: tuple[int, int]) -> None:
        self._backend, self._shape, self.passes = backend, shape, backend.kind.passes
        self._exact = two_people(shape)
        first, second = in_half(self._exact, drops=shape in backend.drops), in_half(self._exact, drops=True)
        self._batch = [tuple(map(np.stack, zip(*pair, strict=True))) for pair in zip(first, second, strict=True)]
        self.sources = [np.empty((2, *shape, 3), np.uint8) for _ in range(backend.kind.slots)]
        one, two = self._of(self._batch, 0)
        self.results = [(np.empty_like(one), np.empty_like(two)) for _ in self.sources]
        self._launches, self._pass_in = 0, [0] * len(self.sources)

    def _of(self, passes: Sequence[tuple[np.ndarray, ...]], number: int) -> tuple[np.ndarray, ...]:
        """Outputs [passes * N, ...] of a launch, which is of one pass where the session does one at a time."""
        chosen = passes if self.passes == 2 else passes[number : number + 1]
        return tuple(np.concatenate(outputs) for outputs in zip(*chosen, strict=True))

    def launch(self, slot: int) -> None:
        self._pass_in[slot] = self._launches % 2
        self._launches += 1

    def wait(self, slot: int) -> Seconds:
        for result, output in zip(self.results[slot], self._of(self._batch, self._pass_in[slot]), strict=True):
            result[:] = output
        return Seconds(0, 0)

    def exact(self, slot: int) -> tuple[np.ndarray, ...]:
        self._backend.asked.append(self._shape)
        return self._of([(first[None], second[None]) for first, second in self._exact], self._pass_in[slot])

    def maps(self, slot: int, flip: Sequence[int]) -> Maps:
        first, second = map(torch.from_numpy, self.results[slot])
        return Maps((first, second), passes=2, flip=flip)


def pictures() -> Iterator[Picture[int]]:
    for number in range(9):
        pixels = np.zeros((*(SQUARE, WIDE)[number % 2], 3), np.uint8)
        yield Picture(number, f"image {number}", partial(lambda pixels: (pixels, None), pixels))


def found_by(backend: Half) -> tuple[list[Found[int]], Agreement | None]:
    with Stream(backend, PLAN, Options(), threads=2) as stream:
        return list(stream.run(pictures())), stream.agreement


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_people_that_rounding_does_not_change_agree(kind: Kind):
    backend = Half(kind)
    found, agreement = found_by(backend)
    assert [len(one.people or ()) for one in found] == [2, 2, 1, 1, 2, 2, 1, 1, 2]
    assert sorted(backend.asked) == sorted([SQUARE, WIDE] * (2 // kind.passes)), "the first picture of a shape, once"
    assert agreement is not None
    assert agreement.shapes.keys() == {SQUARE, WIDE}
    for one in agreement.shapes.values():
        assert one.agrees
        assert one.same == 2
        assert 0 < one.score < 1e-3, "the float16 maps were decoded, and the others"
    assert agreement.text().startswith(
        "stand-in float16 against float32, the first picture of 2 shapes: 4 people, all the same, joints up to "
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_person_that_half_precision_drops_is_said_and_nothing_stops(kind: Kind):
    found, agreement = found_by(Half(kind, drops=[WIDE]))
    assert [len(one.people or ()) for one in found] == [2, 1, 1, 1, 2, 1, 1, 1, 2]
    assert agreement is not None
    assert agreement.shapes[SQUARE].agrees
    assert replace(agreement.shapes[WIDE], shift=0, score=0) == type(agreement.shapes[WIDE])(2, 1, 1, 0, 0)
    (line,) = agreement.text().splitlines()
    assert line.startswith("note: stand-in float16 against float32, the first picture of 2 shapes: other people at 1 ")
    assert "(128x192: 1 of 2 the same, 0 others), joints up to " in line
    assert line.endswith("see what its AP is, or give --precision float32")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_float32_is_asked_nothing(kind: Kind):
    backend = Half(kind, has_exact=False)
    found, agreement = found_by(backend)
    assert len(found) == 9
    assert agreement is None
    assert backend.asked == []


def people(*offsets: float, scores: Sequence[float] = ()) -> decode.People:
    """People 100 pixels high, beside each other at these distances."""
    joints = np.linspace(0, 100, 17)
    count = len(offsets)
    keypoints = np.empty((count, 17, 3))
    for person, x in zip(keypoints, offsets, strict=True):
        person[:] = np.column_stack((joints / 2 + x, joints, np.full(17, 0.8)))
    own = np.array(scores or [0.8] * count, np.float32)
    return decode.People(keypoints, own, np.zeros((count, 17, 2), np.float32))


def test_the_order_of_people_does_not_matter():
    one = compare(people(0, 300), people(300.5, 0, scores=[0.7, 0.8]))
    assert (one.exact, one.found, one.same, one.agrees) == (2, 2, 2, True)
    assert one.shift == pytest.approx(0.5)
    assert one.score == pytest.approx(0.1)


def test_a_person_that_moves_is_not_the_same():
    one = compare(people(0), people(6))
    assert (one.exact, one.found, one.same, one.agrees) == (1, 1, 0, False)
    assert one.shift == pytest.approx(6)
    other = compare(people(0), people(60))  # two people
    assert (other.exact, other.found, other.same, other.shift) == (1, 1, 0, 0)


def test_two_people_in_one_s_place_are_one_too_many():
    one = compare(people(0), people(0, 0))
    assert (one.exact, one.found, one.same, one.agrees) == (1, 2, 1, False)


def test_what_is_hardly_there_may_come_go_and_hop():
    assert compare(people(0, 300, scores=[0.8, 0.09]), people(0)).agrees
    assert compare(people(0), people(0, 300, scores=[0.8, 0.09])).agrees
    assert compare(people(0, scores=[0.09]), people(6, scores=[0.09])).agrees
    assert not compare(people(0, 300, scores=[0.8, 0.11]), people(0)).agrees
    hopping = people(0)
    hopping.keypoints[0, 3] = 900, 900, 0.09
    one = compare(people(0), hopping)
    assert (one.same, one.agrees, one.shift) == (1, True, 0)


def test_many_shapes_stay_a_line():
    agreement = Agreement("x")
    for width in range(128, 1024, 64):
        agreement.add((128, width), people(0), people(300))
    assert "other people at 14 (128x128: 0 of 1 the same, 1 others; 128x192: " in agreement.text()
    assert agreement.text().count("the same") == 4


def test_of_several_devices_the_one_that_differs_is_said():
    agreement = Agreement("x")
    for found in (people(0), people(), people(0)):
        agreement.add(SQUARE, people(0), found)
    assert "(128x128: 0 of 1 the same, 0 others)" in agreement.text()


@pytest.mark.parametrize(("first", "second"), [((), ()), ((), (0,)), ((0,), ())])
def test_pictures_without_people(first: Sequence[float], second: Sequence[float]):
    one = compare(people(*first), people(*second))
    assert (one.exact, one.found, one.same) == (len(first), len(second), 0)
    assert one.agrees == (first == second)
    agreement = Agreement("x")
    assert agreement.text() == ""
    agreement.add(SQUARE, people(*first), people(*second))
    assert agreement.text().startswith("x against" if one.agrees else "note: x against")
