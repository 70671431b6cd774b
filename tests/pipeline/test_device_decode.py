"""The decode of maps on a device: the people are the host's to the bit, here with the CPU as the device.

What it computes by is, operation by operation, the same on a GPU (backends/torch_decode.py says why).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from demo.synthesis import synthesise
from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.backends import torch_cuda
from higherhrnet.backends.in_process import InProcess, NoRoomError
from higherhrnet.backends.torch_decode import Maps
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import joints
from higherhrnet.decode.people import People
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.model.network import HigherHRNet
from higherhrnet.pipeline import device_decode
from higherhrnet.pipeline.device_decode import DeviceDecoder
from higherhrnet.pipeline.stream import Picture, Stream
from tests.support.datasets import TINY_CONFIG
from tests.support.delayed_device import CpuCard
from tests.support.networks import build
from tests.support.synthetic_maps import KINDS, Arrays, random_options

GRID = [(height // 8, width // 8) for height, width in geometry.shape_grid(512)]
"""The 17 shapes at an eighth: some are no multiples of a tile."""
PLAN = Plan(64)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # where tests share the cores, a second thread waits more than it works
    yield
    torch.set_num_threads(threads)


def on_device(batch: Sequence[Arrays], flip: Sequence[int], *, with_flip: bool = True, device: str = "cpu") -> Maps:
    passes = 2 if with_flip else 1
    first, second = (
        torch.from_numpy(np.stack([arrays[number][output] for number in range(passes) for arrays in batch])).to(device)
        for output in (0, 1)
    )
    return Maps((first, second), passes=passes, flip=flip)


def assert_same(batch: Sequence[Arrays], options: Options, *, with_flip: bool = True, device: str = "cpu") -> int:
    maps = on_device(batch, options.flip, with_flip=with_flip, device=device)
    found = device_decode.people(maps, options, len(batch), with_flip=with_flip)
    for ours, arrays in zip(found, batch, strict=True):
        assert ours is not None
        reference = decode.decode(arrays[0], arrays[1] if with_flip else None, options)
        for field in ("keypoints", "scores", "tags"):
            np.testing.assert_array_equal(getattr(ours, field), getattr(reference, field), strict=True)
    return sum(len(ours or ()) for ours in found)


# A threshold below 0 makes people without a joint above 0.
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_flip", [True, False], ids=["flip", "no flip"])
def test_maps_of_every_sort(kind, with_flip: bool):
    """Twelve outputs of each, two in a batch, of any options: 336."""
    rng = np.random.default_rng([KINDS.index(kind), 25])
    people = 0
    for _ in range(6):
        count = int(rng.choice([1, 2, 3, 4]))
        height, width = (4 * rng.integers(2, 20, 2)).tolist()
        options = random_options(rng, count, kind)
        batch = [kind(rng, count, height, width) for _ in range(2)]
        people += assert_same(batch, options, with_flip=with_flip)
    assert people > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_every_sort_on_a_gpu(kind):
    rng = np.random.default_rng([KINDS.index(kind), 25])
    for _ in range(6):
        options = random_options(rng, 4, kind)
        assert_same([kind(rng, 4, 256, 192) for _ in range(2)], options, device="cuda")


def scene(
    shape: tuple[int, int], rng: np.random.Generator, *, people: int, clutter: int, joint_set: joints.JointSet
) -> Arrays:
    at = replace(geometry.fit(64, 64, 64), input_height=shape[0], input_width=shape[1])
    clouds = rng.uniform((0, 0), shape[::-1], (people, 2))
    count = len(joint_set)
    persons = [np.column_stack((rng.normal(c, 12, (count, 2)), rng.integers(0, 3, count))) for c in clouds]
    return synthesise(persons, at, rng, drop=0.3, clutter=clutter, joint_set=joint_set)


@pytest.mark.parametrize(("number", "shape"), list(enumerate(GRID)))
def test_every_shape_of_the_grid(number: int, shape: tuple[int, int]):
    """Two people, a crowd of six and 200 peaks of clutter, of COCO's 17 joints or CrowdPose's 14: 51 outputs."""
    rng = np.random.default_rng(number)
    joint_set = (joints.COCO, joints.CROWD_POSE)[number % 2]
    options = Options(flip=joint_set.flip, order=joint_set.order)
    sorts = ((2, 6), (6, 6), (1, 200))
    batch = [scene(shape, rng, people=p, clutter=c, joint_set=joint_set) for p, c in sorts]
    assert assert_same(batch, options, with_flip=number % 3 != 0) >= 9


class _Backend(InProcess):
    """The tiny network on a stand-in for a card that copies as late as it may."""

    name = runtime = "stand-in"

    def __init__(self, network: HigherHRNet, *, keeps_maps: bool) -> None:
        heads = dumps.Heads(17, 17)
        super().__init__(batch=2, heads=heads, done=lambda _: None)
        self.keeps_maps = keeps_maps
        setting = torch_cuda.Setting("float32", 2, heads, largest=(64, 128), keeps_maps=keeps_maps)
        self._card = torch_cuda.Card(network, CpuCard((2, 1, 0)), setting)  # type: ignore[arg-type]

    def open(self, shape: tuple[int, int], device: int = 0) -> torch_cuda.CudaSession:
        raise NotImplementedError

    def open_pictures(self, shape: tuple[int, int], device: int = 0, *, flip: bool) -> torch_cuda.CudaSession:
        session = self._card.open(shape, pictures=True, flip=flip)
        real = session.launch

        def launch(slot: int) -> None:
            """What is still read in a slot that is launched again is NaN."""
            for maps in session._maps[slot]:
                maps.fill_(np.nan)
            real(slot)

        session.launch = launch  # type: ignore[method-assign]
        return session


def _pictures(count: int) -> Iterator[Picture[int]]:
    for number in range(count):
        size = ((64, 64), (64, 100), (120, 64))[number % 3]
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        yield Picture(number, f"image {number}", partial(lambda pixels: (pixels, None), pixels))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, flip=False)], ids=["flip", "no flip"])
def test_a_stream_finds_the_same_people_on_the_device(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """All of 16 pictures; each slot is used several times, once what was found in it was taken."""
    monkeypatch.setattr(torch_cuda, "_IN_FLIGHT", 0)  # no more slots than the least
    network = build(TINY_CONFIG)

    def found(*, keeps_maps: bool) -> list[People]:
        with Stream(_Backend(network, keeps_maps=keeps_maps), plan, Options(max_people=4), threads=2) as stream:
            every = [one.people for one in stream.run(_pictures(16))]
        assert stream.left_to_host == 0
        return [people for people in every if people is not None]

    on_host, on_card = found(keeps_maps=False), found(keeps_maps=True)
    assert len(on_host) == len(on_card) == 16
    assert sum(map(len, on_host)) > 50
    for ours, reference in zip(on_card, on_host, strict=True):
        for field in ("keypoints", "scores", "tags"):
            np.testing.assert_array_equal(getattr(ours, field), getattr(reference, field), strict=True)


def test_maps_that_are_no_numbers_are_refused_by_the_host_by_name():
    network = build(TINY_CONFIG)
    backend = _Backend(network, keeps_maps=True)
    real = backend.open_pictures

    def opened(*args, **more) -> torch_cuda.CudaSession:
        session = real(*args, **more)
        session._check = lambda slot: session._maps[slot][1][0, 3].fill_(np.nan)  # type: ignore
        return session

    backend.open_pictures = opened  # type: ignore[method-assign]
    with (
        Stream(backend, PLAN, Options(), threads=2) as stream,
        pytest.raises(UserError, match=r"^image 0: the network's output2 holds NaN"),
    ):
        list(stream.run(_pictures(1)))


def test_a_last_batch_that_is_not_full():
    rng = np.random.default_rng(0)
    batch = [scene((64, 64), rng, people=2, clutter=3, joint_set=joints.COCO) for _ in range(3)]
    options = Options()
    maps = on_device(batch, options.flip)
    assert len(device_decode.people(maps, options, 2, with_flip=True)) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e37])
def test_values_that_the_decode_refuses_are_left_to_it(value: float):
    """Of the image that has them alone, in each of the four arrays."""
    rng = np.random.default_rng(0)
    batch = [scene((64, 64), rng, people=2, clutter=3, joint_set=joints.COCO) for _ in range(5)]
    for image in range(4):
        batch[image][image // 2][image % 2][3, 5, 6] = value
    options = Options()
    found = device_decode.people(on_device(batch, options.flip), options, 5, with_flip=True)
    assert found[:4] == [None] * 4
    assert found[4] is not None
    assert np.array_equal(found[4].keypoints, decode.decode(*batch[4]).keypoints)
    for image in range(4):
        passes = on_device(batch, options.flip).outputs(image)
        with pytest.raises(ValueError, match="holds NaN, infinity or a value beyond"):
            decode.fused([passes], (64, 64), 0, options)


def test_maps_of_a_network_with_a_center():
    """One map more than joints, the last, is left out."""
    rng = np.random.default_rng(0)
    (first, second), (mirror1, mirror2) = scene((64, 96), rng, people=3, clutter=3, joint_set=joints.COCO)
    own = (first[[*range(16), *range(17, 33)]], second[:16]), (mirror1[[*range(16), *range(17, 33)]], mirror2[:16])
    options = Options(flip=(*range(16),), order=(*range(16),))
    (ours,) = device_decode.people(
        on_device([((first, second), (mirror1, mirror2))], options.flip), options, 1, with_flip=True
    )
    reference = decode.decode(*own, options)
    assert ours is not None
    assert len(reference)
    assert np.array_equal(ours.keypoints, reference.keypoints)


class _Full(Maps):
    def finish(self, *_: object) -> None:  # type: ignore[override]
        raise NoRoomError


def test_what_the_device_has_no_memory_for_is_left_to_the_host_and_counted():
    options = Options()
    batch = [scene((64, 64), np.random.default_rng(0), people=2, clutter=3, joint_set=joints.COCO)] * 2
    maps = on_device(batch, options.flip)
    maps.__class__ = _Full
    decoder = DeviceDecoder(PLAN, options, dumps.Heads(17, 17))
    assert decoder.people(maps, (64, 64), 2) == [None, None]
    assert decoder.left_to_host == 2


def test_a_device_that_computes_otherwise_is_refused_at_the_first_batch_of_a_shape(monkeypatch: pytest.MonkeyPatch):
    options = Options()
    batch = [scene((64, 64), np.random.default_rng(0), people=2, clutter=3, joint_set=joints.COCO)]
    real = device_decode.people

    def other(*args, **more) -> list[People | None]:
        (found,) = real(*args, **more)
        assert found is not None
        found.keypoints[0, 0, 0] = np.nextafter(found.keypoints[0, 0, 0], np.float32(1e9))
        return [found]

    decoder = DeviceDecoder(PLAN, options, dumps.Heads(17, 17))
    assert decoder.people(on_device(batch, options.flip), (64, 64), 1)[0] is not None
    monkeypatch.setattr(device_decode, "people", other)
    assert decoder.people(on_device(batch, options.flip), (64, 64), 1)[0] is not None  # compared once
    with pytest.raises(UserError, match=r"^at 64x64 the decode on the device finds other people.*--decode_on host$"):
        DeviceDecoder(PLAN, options, dumps.Heads(17, 17)).people(on_device(batch, options.flip), (64, 64), 1)


@pytest.mark.parametrize(
    ("plan", "heads", "why"),
    [
        (Plan(64, project=False), dumps.Heads(17, 17), "TEST.PROJECT2IMAGE is False"),
        (PLAN, dumps.Heads(17, 1), "all joints share a tag map"),
    ],
)
def test_what_only_the_host_decodes_is_refused(plan: Plan, heads: dumps.Heads, why: str):
    with pytest.raises(UserError, match=f"^--decode_on device: {why}.*give --decode_on host$"):
        DeviceDecoder(plan, Options(), heads)
