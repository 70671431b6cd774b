"""A card's sessions, on a stand-in that copies as late as it may; on a GPU, see test_torch.py and benchmarks/gpu.py."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from higherhrnet.artifacts import dumps
from higherhrnet.backends import torch_cuda
from higherhrnet.errors import UserError
from higherhrnet.image import transform
from higherhrnet.model.network import HigherHRNet
from tests.support.datasets import TINY_CONFIG
from tests.support.delayed_device import FULL, CpuCard
from tests.support.networks import architecture_of, build, relative

SHAPES = (32, 64), (64, 32)


@pytest.fixture(scope="module")
def tiny() -> Iterator[HigherHRNet]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # where tests share the cores, a second thread waits more than it works
    yield build(TINY_CONFIG)
    torch.set_num_threads(threads)


def card(
    network: HigherHRNet,
    device: CpuCard,
    *,
    batch: int = 2,
    said: list[str] | None = None,
    precision: str = "float32",
    **more: bool,
) -> torch_cuda.Card:
    architecture = architecture_of(TINY_CONFIG)
    setting = torch_cuda.Setting(
        precision,
        batch,
        dumps.Heads(architecture.joints, architecture.tags),
        largest=SHAPES[0],
        say=lambda text: None if said is None else said.append(text),
        **more,
    )
    return torch_cuda.Card(network, device, setting)  # type: ignore[arg-type]


def pictures(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def expected(network: HigherHRNet, batch: np.ndarray) -> list[np.ndarray]:
    """Both outputs of pictures [N, H, W, 3], plain and then flipped, as the host makes their input."""
    plain = [transform.normalise(picture) for picture in batch]
    with torch.inference_mode():
        outputs = network(torch.from_numpy(np.stack([*plain, *map(transform.mirror, plain)])))
    return [output.numpy() for output in outputs]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.slow
def test_shapes_follow_each_other_in_flight(tiny: HigherHRNet, order: Sequence[int]):
    """Six batches of two shapes, all launched before the first is waited for but those that have no slot yet."""
    made = card(tiny, CpuCard(order))
    sessions = [made.open(shape, pictures=True, flip=True) for shape in SHAPES]
    assert sessions[0].slots_of is sessions[1].slots_of
    slots = len(sessions[0].sources)
    assert slots >= 4
    batches = [(sessions[i % 2], pictures(2, *SHAPES[i % 2], 3, seed=i)) for i in range(slots)]
    for slot, (session, batch) in enumerate(batches):
        session.sources[slot][:] = batch
        session.launch(slot)
    for slot, (session, batch) in enumerate(batches):
        session.wait(slot)
        for ours, reference in zip(session.results[slot], expected(tiny, batch), strict=True):
            assert ours.shape == reference.shape
            assert relative(ours, reference) < 1e-5  # folding and fusing round differently


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.slow
def test_maps_that_stay_on_the_card_are_there_once_they_were_waited_for(tiny: HigherHRNet, order: Sequence[int]):
    """Memory is full of NaN before, which the decode refuses: without the wait it finds nothing that is fine."""
    made = card(tiny, CpuCard(order), keeps_maps=True)
    sessions = [made.open(shape, pictures=True, flip=True) for shape in SHAPES]
    flip = range(architecture_of(TINY_CONFIG).joints)
    batches = [(sessions[i % 2], pictures(2, *SHAPES[i % 2], 3, seed=i)) for i in range(5)]
    for slot, (session, batch) in enumerate(batches):
        session.sources[slot][:] = batch
        session.launch(slot)
    for slot, (session, _) in enumerate(batches):
        assert session.results == []
        assert not session.maps(slot, flip).find(kernel=5, limit=30, threshold=0.1).fine.any()
    for slot, (session, batch) in enumerate(batches):
        session.wait(slot)
        maps = session.maps(slot, flip)
        assert maps.find(kernel=5, limit=30, threshold=0.1).fine.all()
        for image in range(2):
            for number, outputs in enumerate(maps.outputs(image)):
                for ours, reference in zip(outputs, expected(tiny, batch), strict=True):
                    assert relative(ours, reference[2 * number + image]) < 1e-5


def test_sessions_of_inputs_bring_their_maps_down_all_the_same(tiny: HigherHRNet):
    made = card(tiny, CpuCard(), keeps_maps=True)
    kept = made.open(SHAPES[0], pictures=True, flip=True)
    session = made.open(SHAPES[0], pictures=False, flip=False)
    assert session.slots_of is not kept.slots_of
    assert len(session.results) == len(session.sources)


def test_inputs_that_are_made_already(tiny: HigherHRNet):
    session = card(tiny, CpuCard()).open(SHAPES[0], pictures=False, flip=False)
    batch = np.random.default_rng(0).standard_normal((2, 3, *SHAPES[0]), np.float32)
    session.sources[1][:] = batch
    session.launch(1)
    session.wait(1)
    with torch.inference_mode():
        for ours, reference in zip(session.results[1], tiny(torch.from_numpy(batch)), strict=True):
            assert relative(ours, reference.numpy()) < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pixels_are_the_host_s_to_the_bit(dtype: str):
    batch = pictures(2, 32, 64, 3)
    batch[0, 0, : 256 // 4] = np.arange(64)[:, None] * 4  # all sorts of bytes, the ends too
    batch[1, 0, 0], batch[1, 0, 1] = 0, 255
    ours = torch_cuda.Pixels(getattr(torch, dtype), torch.device("cpu"))(torch.from_numpy(batch), flip=True)
    plain = [transform.normalise(picture) for picture in batch]
    reference = np.stack([*plain, *map(transform.mirror, plain)]).astype(dtype)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert ours.numpy().tobytes() == reference.tobytes()


@pytest.mark.parametrize("batch", [2, 3])
def test_a_full_card_computes_halves_of_a_batch_and_says_so_once(tiny: HigherHRNet, batch: int):
    said: list[str] = []
    made = card(tiny, CpuCard(full=1), batch=batch, said=said)
    assert [text.partition(":")[0] for text in said] == ["exchanges take several kernels each, which is slower"]
    for shape in SHAPES:
        session = made.open(shape, pictures=True, flip=True)
        given = pictures(batch, *shape, 3)
        session.sources[0][:] = given
        session.launch(0)
        session.wait(0)
        for ours, reference in zip(session.results[0], expected(tiny, given), strict=True):
            assert relative(ours, reference) < 1e-5
    assert said[1:] == [f"stand-in has no room for batches of {batch}: each is computed in halves"]


@pytest.mark.slow
def test_what_tuning_takes_is_said(tiny: HigherHRNet):
    said: list[str] = []
    made = card(tiny, CpuCard(), said=said, tuned=True)
    made.open(SHAPES[0], pictures=True, flip=True)
    assert re.fullmatch(r"cuDNN has tried its kernels at 32x64: \d+\.\d s", said[-1])


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be ..."),  # of a graph, or a kernel
        RuntimeError("GET was unable to find an engine to execute this computation"),  # no room for its work
    ],
)
def test_a_full_card_is_known_whoever_says_it(tiny: HigherHRNet, error: Exception):
    said: list[str] = []
    assert card(tiny, CpuCard(full=1, error=error), said=said).open(SHAPES[0], pictures=True, flip=True)
    assert said[1:] == ["stand-in has no room for batches of 2: each is computed in halves"]
    with pytest.raises(UserError, match=r"^stand-in has no room for half .* 32x64 \((CUDA error: out|GET was unable) "):
        card(tiny, CpuCard(full=2, error=error)).open(SHAPES[0], pictures=True, flip=True)


def test_a_card_without_room_for_the_comparison_is_named(tiny: HigherHRNet):
    made = card(tiny, CpuCard())
    session = made.open(SHAPES[0], pictures=True, flip=True)

    def is_full(*_: object) -> None:
        raise FULL

    made._trained.register_forward_pre_hook(is_full)
    session.launch(0)
    with pytest.raises(UserError, match=r"^stand-in has no room for one picture in float32, which .*; give a smaller"):
        session.wait(0)


def test_a_card_that_others_have_for_themselves_is_named(tiny: HigherHRNet, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCUDA kernel ...")

    monkeypatch.setattr(torch_cuda, "prepare", fails)
    with pytest.raises(
        UserError, match=r"^stand-in: CUDA error: CUDA-capable device\(s\) is/are busy or unavailable; see"
    ):
        card(tiny, CpuCard())


@pytest.mark.parametrize("when", ["open", "wait"])
def test_a_card_that_fails_is_named_in_one_line(tiny: HigherHRNet, when: str, monkeypatch: pytest.MonkeyPatch):
    """As one does for which this PyTorch has no kernels, or whose memory is broken."""
    error = torch.AcceleratorError("CUDA error: no kernel image is available for execution\nCUDA kernel errors ...")

    def fails(*_: object) -> None:
        raise error

    device = CpuCard(full=when == "open", error=error)
    line = r"^stand-in: CUDA error: no kernel image is available for execution; see that this PyTorch is for that card"
    with pytest.raises(UserError, match=line):
        session = card(tiny, device).open(SHAPES[0], pictures=True, flip=True)
        assert when == "wait"
        session.launch(0)
        monkeypatch.setattr(device, "synchronize", fails)
        session.wait(0)


def test_memory_is_made_once_for_shapes_up_to_the_largest(tiny: HigherHRNet):
    device = CpuCard()
    made = card(tiny, device)
    sessions = [made.open(shape, pictures=True, flip=True) for shape in (*SHAPES, (32, 32))]
    assert len({id(session.slots_of) for session in sessions}) == 1
    assert len(device.made) == 2 * len(sessions[0].sources)


def test_a_card_that_is_too_small_is_named_in_one_line(tiny: HigherHRNet):
    made = card(tiny, CpuCard(full=2))
    with pytest.raises(UserError, match=r"^stand-in has no room for half of a batch of 2 at 32x64 \(CUDA.*; give a sm"):
        made.open(SHAPES[0], pictures=True, flip=True)
    made.open(SHAPES[0], pictures=True, flip=True)  # what else took its memory is gone
    with pytest.raises(UserError, match="no room for a batch of 1"):
        card(tiny, CpuCard(full=1), batch=1).open(SHAPES[0], pictures=True, flip=True)


def test_whoever_opens_a_session_is_alone(tiny: HigherHRNet, monkeypatch: pytest.MonkeyPatch):
    """Of two backends too, as of two Pose: what is set of cuDNN is set for the process."""
    captures, goes_on, first = threading.Event(), threading.Event(), CpuCard()
    real = first.capture

    def capture(*given: Any) -> Any:
        captures.set()
        assert goes_on.wait(60)
        return real(*given)

    monkeypatch.setattr(first, "capture", capture)
    cards = [card(tiny, device) for device in (first, CpuCard())]
    opened: list[int] = []

    def open_of(number: int) -> None:
        cards[number].open(SHAPES[0], pictures=True, flip=True)
        opened.append(number)

    threads = [threading.Thread(target=open_of, args=(number,)) for number in (0, 1)]
    threads[0].start()
    assert captures.wait(60)
    threads[1].start()
    threads[1].join(0.3)
    assert opened == []
    goes_on.set()
    for thread in threads:
        thread.join(60)
    assert opened == [0, 1]


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_a_first_batch_that_is_not_the_network_s_is_refused(tiny: HigherHRNet, value: float):
    """As a kernel would leave it that is wrong at one shape."""
    made = card(tiny, CpuCard())
    (last,) = [layer for name, layer in made.network.named_modules() if name == "final_layers.1"]
    with torch.no_grad():
        last.bias[0] += value * 100
    session = made.open(SHAPES[0], pictures=True, flip=True)
    session.sources[0][:] = pictures(2, *SHAPES[0], 3)
    session.launch(0)
    with pytest.raises(UserError, match=r"^at 32x64, float32 differs from the network in float32 by (\d|nan).*at most"):
        session.wait(0)


@pytest.mark.parametrize("keeps_maps", [False, True])
def test_in_a_lower_precision_the_first_image_in_float32_is_there_too(tiny: HigherHRNet, keeps_maps: bool):
    """What the first batch is compared with anyway; of another slot it is computed when it is asked for."""
    made = card(tiny, CpuCard(), precision="bfloat16", keeps_maps=keeps_maps)
    session = made.open(SHAPES[0], pictures=True, flip=True)
    computed = []
    made._trained.register_forward_hook(lambda *_: computed.append(1))
    for slot in (0, 1):
        batch = pictures(2, *SHAPES[0], 3, seed=slot)
        session.sources[slot][:] = batch
        session.launch(slot)
        session.wait(slot)
        ours = session.exact(slot)
        assert len(computed) == slot + 1
        for found, reference in zip(ours, expected(tiny, batch), strict=True):
            assert found.dtype == np.float32
            assert relative(found, reference[::2]) < 1e-5
    session.launch(0)
    session.wait(0)
    assert len(computed) == 2
    assert session._exact.keys() == {1}, "of a slot that was launched again nothing is kept"


def test_float32_brings_nothing_more_down(tiny: HigherHRNet):
    session = card(tiny, CpuCard()).open(SHAPES[0], pictures=True, flip=True)
    session.sources[0][:] = pictures(2, *SHAPES[0], 3)
    session.launch(0)
    session.wait(0)
    assert session._exact == {0: ()}


def test_cudnn_is_set_whatever_a_program_has_set_before():
    """Mixing PyTorch's old and new names for TF32 raises: torch.backends.cudnn.flags did."""
    precision: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = precision.fp32_precision
    try:
        precision.fp32_precision = "tf32"
        with torch_cuda.cudnn(tuned=True, deterministic=False):
            assert precision.fp32_precision == "ieee"
            assert torch.backends.cudnn.benchmark
        assert precision.fp32_precision == "tf32"
        assert not torch.backends.cudnn.benchmark
    finally:
        precision.fp32_precision = before
