"""Pictures to people without files: the order, what shares a batch, what a session may rely on, and all ends."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pytest

from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.backends.in_process import InProcess, Seconds
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import geometry, transform
from higherhrnet.pipeline.batches import Dtypes, fill
from higherhrnet.pipeline.stream import Found, Picture, Stream

pytestmark = pytest.mark.slow

HEADS = dumps.Heads(17, 17)
PLAN = Plan(64)
SIZES = ((64, 64), (128, 64), (64, 128), (100, 64))
"""(width, height): shapes 64x64, 64x128, 128x64 and 64x128."""

SLOTS = [1, 2, 3, 4, 6]


def forward(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Any network: heat and tags [N, ...] from float32 [N, 3, H, W], each picture's from its own alone."""
    weights = np.linspace(0.2, 1, 17, dtype=np.float32)[None, :, None, None]
    heat = source[:, :1, ::4, ::4] * weights
    tags = source[:, 1:2, ::4, ::4] + weights
    return np.concatenate((heat, tags), axis=1), source[:, 2:, ::2, ::2] * weights


class StandIn:
    """A device: computes between launch and wait, and leaves rubbish in a slot's results in the meantime."""

    def __init__(self, backend: Backend, shape: tuple[int, int], slots: int) -> None:
        dtype, size = (np.uint8, (*shape, 3)) if backend.takes_pixels else (np.float32, (3, *shape))
        self._backend = backend
        self.sources = [np.empty((backend.batch, *size), dtype) for _ in range(slots)]
        first, second = ((backend.batch, *output) for output in dumps.output_shapes(shape, HEADS))
        self.results = [(np.empty(first, np.float32), np.empty(second, np.float32)) for _ in range(slots)]

    def launch(self, slot: int) -> None:
        self._backend.saw("launch", self, slot)
        for result in self.results[slot]:
            result[:] = np.nan

    def wait(self, slot: int) -> Seconds:
        self._backend.saw("wait", self, slot)
        source = self.sources[slot]
        if source.dtype == np.uint8:
            source = np.stack([transform.normalise(pixels) for pixels in source])
        for result, output in zip(self.results[slot], forward(source), strict=True):
            result[:] = output
        return Seconds(0, 0)


class Backend(InProcess):
    name = runtime = "stand-in"
    kept_sessions = 2

    def __init__(self, *, batch: int = 1, slots: int = 4, takes_pixels: bool = False) -> None:
        super().__init__(batch=batch, heads=HEADS, done=lambda _: None)
        self.slots, self.takes_pixels = slots, takes_pixels
        self.calls: list[tuple[str, StandIn, int]] = []
        self.threads: set[threading.Thread] = set()
        self.opened: list[tuple[int, int]] = []
        self.fails_at: int | None = None

    def open(self, shape: tuple[int, int], device: int = 0) -> StandIn:
        self.threads.add(threading.current_thread())
        self.opened.append(shape)
        return StandIn(self, shape, self.slots)

    def saw(self, what: str, session: StandIn, slot: int) -> None:
        self.threads.add(threading.current_thread())
        if what == "launch":
            in_flight = [call for call in self.calls if call[0] == "launch"]
            for _, other, _ in in_flight[sum(call[0] == "wait" for call in self.calls) :]:
                assert other is session, "batches of two sessions are in flight together"
            if self.fails_at is not None and len(in_flight) == self.fails_at:
                raise UserError("the device is gone")
        self.calls.append((what, session, slot))

    @property
    def launches(self) -> int:
        return sum(what == "launch" for what, _, _ in self.calls)


def pixels_of(number: int) -> np.ndarray:
    width, height = SIZES[number % len(SIZES)]
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def pictures(numbers: Sequence[int], read: Callable[[int], np.ndarray] = pixels_of) -> Iterator[Picture[int]]:
    for number in numbers:
        yield Picture(number, f"image {number}", partial(_read, read, number))


def _read(read: Callable[[int], np.ndarray], number: int) -> tuple[np.ndarray, str]:
    return read(number), f"note {number}"


def expected(number: int, plan: Plan = PLAN) -> decode.People:
    """One picture alone, step by step."""
    pixels = pixels_of(number)
    height, width = pixels.shape[:2]
    tensor = transform.normalise(transform.warp(pixels, geometry.of_plan(width, height, plan)))
    inputs = [tensor, transform.mirror(tensor)] if plan.flip else [tensor]
    passes = [(first[0], second[0]) for first, second in (forward(one[None]) for one in inputs)]
    return decode.people_in_image(plan, width, height, [passes], Options())


def same(found: Found[int], plan: Plan = PLAN) -> bool:
    assert found.error is None
    assert found.people is not None
    wanted = expected(found.key, plan)
    return all(np.array_equal(getattr(found.people, f), getattr(wanted, f)) for f in ("keypoints", "scores", "tags"))


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_people_come_in_the_order_of_the_pictures_and_are_each_picture_s_own(slots: int, batch: int):
    backend = Backend(batch=batch, slots=slots)
    with Stream(backend, PLAN, Options()) as stream:
        found = list(stream.run(pictures(range(40))))
    assert [one.key for one in found] == list(range(40))
    assert all(len(one.people or ()) for one in found)
    assert all(map(same, found))
    assert [one.note for one in found] == [f"note {number}" for number in range(40)]
    assert len(backend.threads) == 1


@pytest.mark.parametrize("slots", [1, 4])
def test_without_flip_there_is_one_pass(slots: int):
    plan = Plan(64, flip=False)
    backend = Backend(slots=slots)
    with Stream(backend, plan, Options()) as stream:
        assert all(same(found, plan) for found in stream.run(pictures(range(8))))
    assert backend.launches == 8


def test_a_session_may_take_pixels():
    with Stream(Backend(batch=2, takes_pixels=True), PLAN, Options()) as stream:
        assert all(map(same, stream.run(pictures(range(12)))))


def test_pictures_of_one_shape_share_a_batch_within_the_window():
    """Of 60 pictures two shapes have 15 each and one 30: batches of 4 are filled but for the last of each shape."""
    backend = Backend(batch=4)
    with Stream(backend, PLAN, Options()) as stream:
        assert [found.key for found in stream.run(pictures(range(60)))] == list(range(60))
    assert backend.launches == 2 * (4 + 4 + 8)


def test_batches_depend_on_the_pictures_alone():
    """Whatever reading takes, the same pictures share a batch; a rare shape waits for no more than the window."""
    numbers = [1, *(0 for _ in range(90)), 1]

    def batches(pause: Callable[[], float]) -> list[tuple[int, ...]]:
        backend = Backend(batch=4)
        real = StandIn.launch
        seen: list[tuple[int, ...]] = []

        def noting(session: StandIn, slot: int) -> None:
            seen.append(session.sources[slot].shape[2:])
            real(session, slot)

        def read(number: int) -> np.ndarray:
            time.sleep(pause())
            return pixels_of(number)

        with pytest.MonkeyPatch.context() as patch, Stream(backend, PLAN, Options()) as stream:
            patch.setattr(StandIn, "launch", noting)
            for _ in stream.run(pictures(numbers, read)):
                time.sleep(pause() / 2)
        return seen[::2]

    rng = np.random.default_rng(0)
    at_once, slowly = batches(lambda: 0), batches(lambda: rng.uniform(0, 0.004))
    assert at_once == slowly
    assert at_once.index((64, 128)) < 10, "after 32 pictures, eight batches"
    assert len(at_once) == 2 + -(-90 // 4)


def test_no_more_is_read_than_will_be_needed_soon():
    taken = itertools.count()
    read = []

    def reading(number: int) -> np.ndarray:
        read.append(number)
        return pixels_of(number)

    def source() -> Iterator[Picture[int]]:
        for number in range(1000):
            next(taken)
            yield from pictures([number], reading)

    with Stream(Backend(), PLAN, Options(), threads=2) as stream:
        run = stream.run(source())
        next(run)
        time.sleep(0.3)
        assert len(read) <= 8
        assert next(taken) <= 9
        run.close()


def test_a_bad_picture_is_told_in_its_place():
    def read(number: int) -> np.ndarray:
        if number % 3 == 1:
            raise BadImageError(f"image {number} is bad")
        return pixels_of(number)

    with Stream(Backend(batch=2), PLAN, Options()) as stream:
        found = list(stream.run(pictures(range(10), read)))
        bad = [one for one in found if one.error]
        assert [one.key for one in found] == list(range(10))
        assert [(one.key, str(one.error), one.people) for one in bad] == [
            (k, f"image {k} is bad", None) for k in (1, 4, 7)
        ]
        assert all(same(one) for one in found if not one.error)
        nothing_else = list(stream.run(pictures([0, *[1] * 40], read)))
        assert [bool(one.error) for one in nothing_else] == [False] + [True] * 40


def test_what_a_source_or_a_reader_raises_comes_after_what_was_before():
    def source() -> Iterator[Picture[int]]:
        yield from pictures(range(3))
        raise UserError("the source broke off")

    def read(number: int) -> np.ndarray:
        return pixels_of(number) if number < 3 else np.zeros(1 // 0)

    with Stream(Backend(), PLAN, Options()) as stream:
        for run, error in (
            (stream.run(source()), UserError),
            (stream.run(pictures(range(9), read)), ZeroDivisionError),
        ):
            assert [next(run).key for _ in range(3)] == [0, 1, 2]
            with pytest.raises(error):
                next(run)
        assert [found.key for found in stream.run(pictures(range(2)))] == [0, 1], "the stream goes on"


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("fails_at", [0, 1, 4, 7])
def test_a_device_that_fails_ends_the_run_and_not_the_stream(slots: int, fails_at: int):
    backend = Backend(slots=slots)
    backend.fails_at = fails_at
    with Stream(backend, PLAN, Options()) as stream:
        with pytest.raises(UserError, match="the device is gone"):
            list(stream.run(pictures(range(20))))
        backend.fails_at = None
        backend.calls.clear()
        assert all(map(same, stream.run(pictures(range(4)))))


def test_a_network_without_numbers_is_named_with_the_picture(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(StandIn, "wait", lambda session, slot: Seconds(0, 0))
    with (
        Stream(Backend(), PLAN, Options()) as stream,
        pytest.raises(UserError, match="image 7: the network's output1 holds NaN"),
    ):
        list(stream.run(pictures([7])))


def test_two_runs_go_on_at_once():
    with Stream(Backend(batch=2), PLAN, Options()) as stream:
        first, second = stream.run(pictures(range(10))), stream.run(pictures(range(10, 20)))
        for a, b in zip(first, second, strict=True):
            assert (a.key, b.key) == (a.key, a.key + 10)
            assert same(a)
            assert same(b)
            (inner,) = stream.run(pictures([5]))
            assert same(inner)


def test_a_run_that_is_not_iterated_to_its_end_leaves_no_thread():
    before = threading.active_count()
    with Stream(Backend(batch=2), PLAN, Options()) as stream:
        for _ in range(3):
            run = stream.run(pictures(range(1000)))
            next(run)
            run.close()
    assert threading.active_count() == before


def test_who_iterates_over_a_closed_stream_is_told():
    """As a thread of a Dask worker, whose plugin is taken away meanwhile: it neither waits nor takes it for the end."""
    stream = Stream(Backend(), PLAN, Options())
    run = stream.run(pictures(range(50)))
    next(run)
    stream.close()
    with pytest.raises(RuntimeError, match="the stream was closed"):
        for _ in run:
            pass


def test_closing_waits_for_no_device_that_hangs():
    computing, ended, given_up = threading.Event(), threading.Event(), list[bool]()

    class Hanging(Backend):
        def saw(self, what: str, session: StandIn, slot: int) -> None:
            if what == "wait":
                computing.set()
                given_up.append(ended.wait(5))

        def end(self) -> None:
            ended.set()

    def close() -> None:
        computing.wait()
        stream.close()

    with Stream(Hanging(), PLAN, Options()) as stream:
        run = stream.run(pictures(range(3)))
        threading.Thread(target=close).start()
        with contextlib.suppress(RuntimeError):  # that it was closed, unless the first came in this moment
            next(run)
    assert given_up
    assert all(given_up)


def test_a_live_source_is_answered_at_once():
    """Pictures that come one by one are not kept until a batch is full."""
    come = threading.Semaphore(0)

    def source() -> Iterator[Picture[int]]:
        for number in range(3):
            come.acquire()
            yield from pictures([number])

    with Stream(Backend(batch=4), PLAN, Options()) as stream:
        run = stream.run(source(), live=True)
        for number in range(3):
            come.release()
            assert next(run).key == number
        assert next(run, None) is None


def test_sessions_that_have_not_been_used_for_longest_are_let_go():
    backend = Backend()
    with Stream(backend, PLAN, Options()) as stream:
        list(stream.run(pictures([0, 0, 1, 0, 2, 0, 1])))
    assert backend.opened == [(64, 64), (64, 128), (128, 64), (64, 128)]


def test_values_are_rounded_as_files_would_round_them():
    half = Dtypes("float16", "float16")
    with Stream(Backend(), PLAN, Options(), dtypes=half) as stream:
        (found,) = stream.run(pictures([0]))
    tensor = transform.normalise(pixels_of(0)).astype(np.float16)
    passes = []
    for one in (tensor, transform.mirror(tensor.astype(np.float32)).astype(np.float16)):
        outputs = forward(one.astype(np.float32)[None])
        passes.append(tuple(output[0].astype(np.float16).astype(np.float32) for output in outputs))
    wanted = decode.people_in_image(PLAN, 64, 64, [passes], Options())
    assert found.people is not None
    assert np.array_equal(found.people.keypoints, wanted.keypoints)
    assert not same(found)


def test_sources_of_float16_get_the_normalised_values_rounded():
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    source = np.zeros((2, 3, 8, 12), np.float16)
    fill(source, [picture], flip=False)
    wanted = transform.normalise(picture).astype(np.float16)
    assert np.array_equal(source, [wanted, wanted])


def test_pixels_are_kept_where_they_are_asked_for():
    with Stream(Backend(), PLAN, Options()) as stream:
        (without,) = stream.run(pictures([3]))
        (found,) = stream.run(pictures([3]), keep_pixels=True)
    assert without.pixels is None
    assert found.pixels is not None
    assert np.array_equal(found.pixels, pixels_of(3))
    assert found.size == SIZES[3]


def test_several_scales_are_refused():
    with pytest.raises(UserError, match=r"TEST.SCALE_FACTOR is \[2, 1\]"):
        Stream(Backend(), Plan(64, factors=(2, 1)), Options())
