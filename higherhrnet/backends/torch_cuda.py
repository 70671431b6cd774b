"""A GPU under PyTorch: the network on it, its memory, and a captured graph for each shape.

The host hands over pixels; the table that normalises them, and the mirror, are on the device, and the plain and the
flipped pass are one batch of twice the size. Transfers overlap with the network (transfers.py). Maps come back as
float32, however they were computed: widening an image's 5 million values takes a core 5 to 13 ms, and the bus 0.2 ms.
All sessions of a card share its memory on both sides, so that shapes can follow each other, and one pool of what the
graphs need in between, as they never run at the same time.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends import torch_decode
from higherhrnet.backends.in_process import Seconds
from higherhrnet.backends.torch_cuda_device import CudaDevice, told
from higherhrnet.backends.transfers import BUFFERS, Batch, Marks, Transfers
from higherhrnet.errors import UserError
from higherhrnet.image import transform
from higherhrnet.model import exchange, fusion
from higherhrnet.model.network import HigherHRNet
from higherhrnet.system import memory

LARGEST_DIFFERENCE = {"float32": 1e-3, "float16": 0.2, "bfloat16": 0.6}
"""From the network as it was trained, in float32 on the same GPU, relative to an output's largest value.

What is beyond is no rounding: with calibrated random weights, W32 differs by up to 0.10 in float16 and 0.48 in
bfloat16, trained ones by a tenth of that; a wrong kernel by 1.
"""

_SLOTS = 4, 16  # of host memory, at least and at most: two batches compute while two are read
_IN_FLIGHT = 32  # images in the slots, where that is more than the least
_ALIGNMENT = 256  # bytes, of what lies in one buffer
_ALONE = threading.Lock()
"""Held, whatever the card or backend, while PyTorch's settings are not the user's, and while kernels are captured: to
wait for all of a card spoils a capture on it."""


@dataclass(frozen=True)
class Setting:
    """How a card computes."""

    precision: str
    batch: int
    heads: dumps.Heads
    largest: tuple[int, int]
    """The shape (H, W) that memory is made for; it is made anew for a larger one."""
    tuned: bool = False
    """Whether cuDNN tries its kernels at each shape, rather than to choose them by its heuristics."""
    say: Callable[[str], object] = lambda _: None
    """Told what is not as it was asked for."""
    keeps_maps: bool = False
    """Whether the maps of pictures stay on the card, for torch_decode."""

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return getattr(torch, self.precision)


@dataclass(frozen=True)
class Layout:
    """What a batch of one shape takes in a buffer."""

    batch: int
    shape: tuple[int, int]
    heads: dumps.Heads
    pictures: bool
    """uint8 [N, H, W, 3], to be normalised; else float32 [N, 3, H, W], which are."""
    passes: int
    """2: the mirror images are made here, and computed with the others."""
    keeps: bool = False
    """The maps' slots are on the card too."""

    @property
    def source(self) -> tuple[torch.dtype, tuple[int, ...]]:
        """Of the pictures or inputs."""
        if self.pictures:
            return torch.uint8, (self.batch, *self.shape, inputs.CHANNELS)
        return torch.float32, (self.batch, inputs.CHANNELS, *self.shape)

    @property
    def source_bytes(self) -> int:
        dtype, size = self.source
        return dtype.itemsize * int(np.prod(size))

    @property
    def result_bytes(self) -> int:
        return sum(self._bytes_of_maps())

    def source_in(self, buffer: Tensor) -> Tensor:
        """The source in a buffer of bytes."""
        dtype, size = self.source
        return buffer[: self.source_bytes].view(dtype).view(size)

    def maps_in(self, buffer: Tensor) -> tuple[Tensor, Tensor]:
        """Both outputs, float32 [passes * N, ...], the plain pass first."""
        views, start = [], 0
        for dims, count in zip(dumps.output_shapes(self.shape, self.heads), self._bytes_of_maps(), strict=True):
            size = (self.passes * self.batch, *dims)
            taken = torch.float32.itemsize * int(np.prod(size))
            views.append(buffer[start : start + taken].view(torch.float32).view(size))
            start += count
        return views[0], views[1]

    def _bytes_of_maps(self) -> list[int]:
        sizes = dumps.output_bytes(self.shape, self.heads)
        return [-(-self.passes * self.batch * size // _ALIGNMENT) * _ALIGNMENT for size in sizes]


@dataclass(frozen=True)
class Memory:
    """Of a card and, locked, of the host: buffers of bytes that every session uses."""

    sources: Sequence[Tensor]
    results: Sequence[Tensor]
    """A slot each, on the host; results that the card keeps are on it."""
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    """On the card."""
    marks: Sequence[Marks]
    """A slot each."""
    streams: Sequence[torch.cuda.Stream]
    """A slot each, for what is asked of its results where the card keeps them; else none."""

    @classmethod
    def make(cls, device: CudaDevice, most: Layout) -> Memory:
        """For sessions that take no more than ``most``."""
        least, limit = _SLOTS
        slots = min(max(least, _IN_FLIGHT // most.batch), limit)
        sizes = [most.source_bytes, most.result_bytes]
        card = [device.on_card(size) for size in sizes * BUFFERS]
        sources = [device.on_host(most.source_bytes) for _ in range(slots)]
        place = device.on_card if most.keeps else device.on_host
        results = [place(most.result_bytes) for _ in range(slots)]
        marks, streams = [Marks.of(device) for _ in range(slots)], [device.stream() for _ in range(slots * most.keeps)]
        return cls(sources, results, card[::2], card[1::2], marks, streams)

    def holds(self, layout: Layout) -> bool:
        """Whether a session of that layout fits."""
        is_large = len(self.sources[0]) >= layout.source_bytes and len(self.results[0]) >= layout.result_bytes
        return is_large and bool(self.streams) == layout.keeps


class Card:
    """A GPU with a network."""

    def __init__(self, network: HigherHRNet, device: CudaDevice, setting: Setting) -> None:
        """Prepare a copy of ``network``, in eval mode."""
        self.setting, self.device = setting, device
        with told(device, f"the network in {setting.precision}"):
            self.transfers = Transfers(device)
            self.network = prepare(network, setting.dtype, device.device, setting.say)
            self.pixels = Pixels(setting.dtype, device.device)
            self._trained = copy.deepcopy(network).to(device.device)
        self._memory: Memory | None = None
        self._parts, self._several = 1, 0

    def open(self, shape: tuple[int, int], *, pictures: bool, flip: bool) -> CudaSession:
        """A session; where the card's memory does not do for a batch, both halves are computed one after the other.

        Raises
        ------
        UserError : not enough memory for half of a batch either
        """
        keeps = pictures and self.setting.keeps_maps
        layout = Layout(self.setting.batch, shape, self.setting.heads, pictures, 2 if flip else 1, keeps)
        with _ALONE, told(self.device):
            session, why = self._tried(layout)
            if session is None and self._parts == 1 and layout.batch > 1:
                self._parts = 2
                self.setting.say(f"{self.device} has no room for batches of {layout.batch}: each is computed in halves")
                session, why = self._tried(layout)
        if session is None:
            raise UserError(
                f"{self.device} has no room for {'half of a batch' if self._parts > 1 else 'a batch'} of "
                f"{layout.batch} at {shape[0]}x{shape[1]} ({why}); give a smaller --bs, or free memory of the GPU"
            )
        return session

    def _tried(self, layout: Layout) -> tuple[CudaSession | None, str]:
        """A session or, where the card has no room for it, who said so.

        PyTorch does, or CUDA where it loads kernels and makes graphs, or cuDNN, to which it is a lack of kernels.
        """
        try:
            return self._open(layout), ""
        except RuntimeError as e:
            if not (memory.is_lack(e) or fusion.is_no_kernel(e)):
                raise
            return None, " ".join(str(e).split())[:80]

    def _open(self, layout: Layout) -> CudaSession:
        if self._memory is None or not self._memory.holds(layout):
            self._memory = None
            largest = inputs.largest((layout.shape, self.setting.largest))
            self._memory = Memory.make(self.device, replace(layout, shape=largest))
        start = time.perf_counter()
        session = CudaSession(self, layout, self._parts, self._memory)
        if self.setting.tuned:
            height, width = layout.shape
            self.setting.say(f"cuDNN has tried its kernels at {height}x{width}: {time.perf_counter() - start:.1f} s")
        return session

    def captured(self, works: Sequence[Callable[[], None]]) -> list[Callable[[], None]]:
        """Graphs of ``works``; the first is run before, so that cuDNN chooses its kernels and Triton compiles."""
        setting, stream = self.setting, self.transfers.stream
        with cudnn(tuned=setting.tuned, deterministic=setting.precision == "float32"):
            with self.device.now(stream):
                works[0]()
            self._say_unfused()
            with self.device.now(stream):
                return [self.device.capture(work, stream) for work in works]

    def _say_unfused(self) -> None:
        """Say once how many layers cuDNN has no kernel for that does them in one call."""
        layers = [layer for layer in self.network.modules() if isinstance(layer, fusion.ConvSumReLU)]
        several = sum(not layer.fused for layer in layers)
        if several > self._several:
            self.setting.say(
                f"cuDNN has no kernel for {several} of {len(layers)} convolutions with ReLU in "
                f"{self.setting.precision} here: they take several, which is slower"
            )
            self._several = several

    def against_exact(
        self, source: Tensor, entering: Callable[[Tensor], Tensor], ours: Sequence[Tensor]
    ) -> tuple[list[float], tuple[np.ndarray, ...]]:
        """Of an image's outputs [passes, ...] from the trained network's, relative to each one's largest value.

        Beside them those outputs, where the precision is less than float32.

        ``entering`` makes the network's input of ``source``.
        """
        with (
            _ALONE,
            cudnn(tuned=False, deterministic=True),
            self.device.now(self.transfers.stream),
        ):
            expected = self._trained(entering(source.to(self.device.device)))
            differences = [
                float((found.to(self.device.device) - wanted).abs().max() / wanted.abs().max())
                for found, wanted in zip(ours, expected, strict=True)
            ]
            is_exact = self.setting.precision == "float32"
            return differences, () if is_exact else tuple(wanted.cpu().numpy() for wanted in expected)


class CudaSession:
    """Graphs of one shape, from each of the card's buffers to each.

    sources : a slot each, as Layout.source
    results : a slot each, float32 [passes * N, ...], the plain pass first; none where the card keeps them, for ``maps``
    """

    def __init__(self, card: Card, layout: Layout, parts: int, memory: Memory) -> None:
        """Warm up and capture; ``parts`` of a batch are computed one after the other.

        Raises what Card._tried knows where there is no room.
        """
        self._card, self._layout = card, layout
        self.passes = layout.passes
        self.slots_of: object = memory
        """The same in all sessions that share their slots."""
        self._maps = [layout.maps_in(buffer) for buffer in memory.results]
        self._sources = [layout.source_in(buffer) for buffer in memory.sources]
        self.sources = [source.numpy() for source in self._sources]
        self._streams = memory.streams
        self.results = [(first.numpy(), second.numpy()) for first, second in self._maps if not layout.keeps]
        pairs = list(zip(memory.inputs, memory.outputs, strict=True))
        works = [
            partial(self._compute, layout.source_in(source), layout.maps_in(maps), parts) for source, maps in pairs
        ]
        inputs = [source[: layout.source_bytes] for source, _ in pairs]
        outputs = [maps[: layout.result_bytes] for _, maps in pairs]
        replays = card.captured(works)
        self._batches = [
            Batch(source[: layout.source_bytes], inputs, replays, outputs, result[: layout.result_bytes], marks)
            for source, result, marks in zip(memory.sources, memory.results, memory.marks, strict=True)
        ]
        self._exact: dict[int, tuple[np.ndarray, ...]] = {}  # by slot, until it is launched again
        self._checked = False

    def _compute(self, source: Tensor, maps: tuple[Tensor, Tensor], parts: int) -> None:
        """From an input buffer to an output buffer."""
        passes = [m.view(self.passes, -1, *m.shape[1:]) for m in maps]
        edges = [len(source) * part // parts for part in range(parts + 1)]
        for rows in itertools.starmap(slice, itertools.pairwise(edges)):
            outputs = self._card.network(self._entering(source[rows], self._card.pixels))
            for target, output in zip(passes, outputs, strict=True):
                target[:, rows].copy_(output.view(self.passes, -1, *output.shape[1:]))

    def _entering(self, source: Tensor, pixels: Pixels) -> Tensor:
        """The network's input [passes * N, 3, H, W]."""
        if self._layout.pictures:
            return pixels(source, flip=self.passes == 2)
        return source.to(dtype=pixels.dtype, memory_format=torch.channels_last)

    def launch(self, slot: int) -> None:
        self._exact.pop(slot, None)
        with told(self._card.device):
            self._card.transfers.launch(self._batches[slot])

    def wait(self, slot: int) -> Seconds:
        with told(self._card.device, "one picture in float32, which the first batch is compared with"):
            self._card.transfers.wait(self._batches[slot])
            if not self._checked:
                self._check(slot)
                self._checked = True
        marks, seconds = self._batches[slot].marks, self._card.device.seconds
        return Seconds(infer=seconds(marks.begun, marks.downloaded), execute=seconds(marks.started, marks.computed))

    def maps(self, slot: int, flip: Sequence[int]) -> torch_decode.Maps:
        """A slot's results after ``wait``, where the card keeps them, of the mirror partners ``flip``."""
        on = partial(self._card.device.beside, self._streams[slot])
        return torch_decode.Maps(self._maps[slot], passes=self.passes, flip=flip, on=on)

    def exact(self, slot: int) -> tuple[np.ndarray, ...]:
        """Of the slot's first image, as the network was trained, in float32 on the same GPU."""
        if slot not in self._exact:
            self._against_exact(slot)
        return self._exact[slot]

    def _against_exact(self, slot: int) -> list[float]:
        exact = Pixels(torch.float32, self._card.device.device)
        ours = [maps[:: self._layout.batch] for maps in self._maps[slot]]
        entering = partial(self._entering, pixels=exact)
        differences, self._exact[slot] = self._card.against_exact(self._sources[slot][:1], entering, ours)
        return differences

    def _check(self, slot: int) -> None:
        """Compare the first image of the first batch with the network as it was trained, on the same GPU."""
        found = self._against_exact(slot)
        precision = self._card.setting.precision
        worst, most = np.max(found), LARGEST_DIFFERENCE[precision]  # of NaN and numbers NaN
        if not worst <= most:
            height, width = self._layout.shape
            raise UserError(
                f"at {height}x{width}, {precision} differs from the network in float32 by {worst:.3g} of the largest "
                f"value, expected at most {most:g}; give another --precision"
            )


class Pixels:
    """What transform.normalise and transform.mirror do, on a device, to the bit before it is rounded to ``dtype``."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        """Make the table of 3 x 256 values, a channel after the other."""
        self.dtype = dtype
        every = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        self._table = torch.from_numpy(transform.normalise(every)).reshape(-1).to(device=device, dtype=dtype)
        self._starts = torch.tensor([0, 256, 512], dtype=torch.int32, device=device)

    def __call__(self, pictures: Tensor, *, flip: bool) -> Tensor:
        """RGB uint8 [N, H, W, 3] to [N, 3, H, W] in channels last or, with the mirror images after them, [2N, ...]."""
        places = pictures.to(torch.int32) + self._starts
        values = self._table.index_select(0, places.view(-1)).view(pictures.shape)
        if flip:
            values = torch.cat((values, values.flip(2)))
        return values.permute(0, 3, 1, 2)


def prepare(network: HigherHRNet, dtype: torch.dtype, device: torch.device, say: Callable[[str], object]) -> nn.Module:
    """A copy for inference on a GPU: folded, fused, exchanges in a kernel each, channels last, of a precision."""
    fused = fusion.fuse(network)
    exchange.join(fused)
    fused = fused.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if why := exchange.use_kernel(fused, device):
        say(f"exchanges take several kernels each, which is slower: {why}")
    return fused


@contextlib.contextmanager
def cudnn(*, tuned: bool, deterministic: bool) -> Iterator[None]:
    """Set cuDNN for the block: in float32 not TF32, it is the precision that the others are compared with.

    Not by torch.backends.cudnn.flags: that raises where a program has set fp32_precision itself.
    """
    wanted = {
        (torch.backends.cudnn, "enabled"): True,
        (torch.backends.cudnn, "benchmark"): tuned,
        (torch.backends.cudnn, "deterministic"): deterministic,
        (torch.backends.cudnn.conv, "fp32_precision"): "ieee",  # type: ignore[attr-defined]
    }
    before = {(module, name): getattr(module, name) for module, name in wanted}
    try:
        for (module, name), value in wanted.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
