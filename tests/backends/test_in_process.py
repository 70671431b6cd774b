"""Backends that run in this process: what their figures count, and where copies to and from a device fall."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import dumps, info, perf
from higherhrnet.backends import in_process
from higherhrnet.backends import onnxruntime as backend
from higherhrnet.backends.base import Work

SHAPE = (64, 64)
HEADS = dumps.Heads(2, 2)


class FixedSession:
    """Takes 2 s per batch, 3 s with its copies, whatever is in it."""

    def __init__(self, batch: int, slots: int = 1) -> None:
        self.sources = [np.zeros((batch, 3, *SHAPE), np.float32)] * slots
        first, second = (np.zeros((batch, *dims), np.float32) for dims in dumps.output_shapes(SHAPE, HEADS))
        self.results = [(first, second)] * slots

    def launch(self, slot: int) -> None:
        pass

    def wait(self, slot: int) -> in_process.Seconds:
        return in_process.Seconds(infer=3, execute=2)


class Fixed(in_process.InProcess):
    name = runtime = "fixed"

    def open(self, shape: tuple[int, int], device: int = 0) -> FixedSession:
        return FixedSession(self.batch)


@pytest.mark.parametrize("images", [1, 3, 4, 5, 8])
def test_a_padded_batch_counts_in_proportion_to_its_images(tmp_path: Path, images: int):
    """However many images there are, 4 per 2 s are 2 per second: the rate of full batches."""
    entries = [info.Entry(tmp_path / f"{i:012d}.bin", width=SHAPE[1], height=SHAPE[0]) for i in range(images)]
    for entry in entries:
        np.zeros((3, *SHAPE), np.float32).tofile(entry.path)
    text = Fixed(batch=4, heads=HEADS, done=lambda _: None).run(Work(SHAPE, entries, tmp_path))[SHAPE]
    assert perf.parse(text, Path("x")) == 2
    assert f"[infer] throughputRate: {4 / 3:.6g}, Interface throughputRate: 2, moduleLatency: 750\n" in text
    assert "[preprocess] throughputRate: nan, moduleLatency: nan\n" in text


@pytest.mark.parametrize(("flip", "launches"), [(False, 3), (True, 2)])
def test_the_first_call_is_for_nothing_where_the_others_are_timed(tmp_path: Path, flip: bool, launches: int):
    entries = [info.Entry(tmp_path / f"{i:012d}.bin", width=SHAPE[1], height=SHAPE[0]) for i in range(2)]
    for entry in entries:
        np.zeros((3, *SHAPE), np.float32).tofile(entry.path)
    slots: list[int] = []

    class Counting(FixedSession):
        def launch(self, slot: int) -> None:
            slots.append(slot)

    class Backend(Fixed):
        def open(self, shape: tuple[int, int], device: int = 0) -> FixedSession:
            return Counting(self.batch)

    Backend(batch=1, heads=HEADS, done=lambda _: None).run(Work(SHAPE, entries, tmp_path, flip=flip))
    assert len(slots) == launches


def test_a_signal_waits_for_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It falls into the reading of an input, while a device that hangs computes the one before."""
    entries = [info.Entry(tmp_path / f"{i:012d}.bin", width=SHAPE[1], height=SHAPE[0]) for i in range(2)]

    class Hanging(FixedSession):
        waits = 0

        def __init__(self) -> None:
            super().__init__(batch=1, slots=2)

        def wait(self, slot: int) -> in_process.Seconds:
            self.waits += 1
            assert self.waits == 1, "waits for ever"  # for the first call of the shape
            return super().wait(slot)

    class Backend(Fixed):
        def open(self, shape: tuple[int, int], device: int = 0) -> FixedSession:
            return opened

    def fill(source: np.ndarray, files: list[Path], dtype: str) -> None:
        reads.append(files)
        if len(reads) == 3:
            raise KeyboardInterrupt

    opened = Hanging()
    reads: list[list[Path]] = []
    monkeypatch.setattr(in_process, "fill", fill)
    with pytest.raises(KeyboardInterrupt):
        Backend(batch=1, heads=HEADS, done=lambda _: None).run(Work(SHAPE, entries, tmp_path))
    assert reads[-1] == [entries[1].path]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class SlowModel:
    """A model whose calls take 5 s, and whose outputs 3 s to copy to the host."""

    def __init__(self, session: backend.onnxruntime.InferenceSession, clock: Clock) -> None:
        self._session, self._clock = session, clock

    def io_binding(self) -> SlowBinding:
        return SlowBinding(self._session.io_binding(), self._clock)

    def run_with_iobinding(self, binding: SlowBinding) -> None:
        self._session.run_with_iobinding(binding.real)
        self._clock.now += 5


class SlowBinding:
    def __init__(self, real: backend.onnxruntime.IOBinding, clock: Clock) -> None:
        self.real, self._clock = real, clock

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        self._clock.now += 3
        return self.real.copy_outputs_to_cpu()

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


def test_copies_to_and_from_a_device_are_not_of_execute(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch):
    """The CPU's memory stands for a device's; the outputs are those of the session without copies."""
    made = backend.OnnxRuntime(tiny_onnx, batch=1, threads=1)
    host = made.open(SHAPE)
    assert type(host) is backend.HostSession
    clock = Clock()
    slow = SlowModel(made._session, clock)
    device = backend.DeviceSession(slow, 1, made.heads, SHAPE, "cpu", 0)
    rng = np.random.default_rng(0)
    for _ in range(2):  # the second batch meets the first one's buffers
        host.sources[0][:] = device.sources[0][:] = rng.standard_normal(host.sources[0].shape, np.float32)
        host.launch(0)
        with monkeypatch.context() as patch:
            patch.setattr(time, "perf_counter", clock.perf_counter)
            patch.setattr(backend.onnxruntime, "OrtValue", _slow_upload(clock))
            device.launch(0)
        assert device.wait(0) == in_process.Seconds(infer=2 + 5 + 3, execute=5)
        for ours, theirs in zip(device.results[0], host.results[0], strict=True):
            assert np.array_equal(ours, theirs)
            assert ours.any()


def test_what_results_depend_on_names_the_card(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend.hardware, "nvidia", lambda number: f"GPU {number}")
    monkeypatch.setattr(backend.onnxruntime, "cuda_version", "12.8", raising=False)
    own = f"onnxruntime {backend.onnxruntime.__version__}"
    assert backend.runtime_of([backend.CPU], 1) == own
    of_cuda = backend.runtime_of(["CUDAExecutionProvider", backend.CPU], 1)
    assert of_cuda == f"{own} (use_tf32=0, cudnn_conv_algo_search=HEURISTIC), CUDA 12.8, GPU 1"
    assert backend.runtime_of(["TensorrtExecutionProvider"], 0) == f"{own}, CUDA 12.8, GPU 0"


def _slow_upload(clock: Clock) -> type:
    class Slow:
        @staticmethod
        def ortvalue_from_numpy(array: np.ndarray, *place: object) -> object:
            clock.now += 2
            return real.ortvalue_from_numpy(array, *place)

    real = backend.onnxruntime.OrtValue
    return Slow
