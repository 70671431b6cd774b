"""What is asked of CUDA, and of which card, with its functions replaced; on a GPU, see benchmarks/gpu.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from higherhrnet.backends.torch_cuda_device import CudaDevice


class Thread:
    """The device that CUDA takes for this thread: what is asked for on the first card takes memory there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.index, self.calls = 0, 0
        status = SimpleNamespace(cudaHostRegister=self.called, cudaHostUnregister=self.called)
        for name, value in {
            "graph_pool_handle": lambda: 0,
            "device": self.device,
            "stream": self.stream,
            "cudart": lambda: status,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    @contextlib.contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        before, self.index = self.index, device.index
        yield
        self.index = before

    @contextlib.contextmanager
    def stream(self, _: object) -> Iterator[None]:
        self.called()
        yield
        self.called()

    def called(self, *_: object) -> int:
        self.calls += 1
        assert self.index == 1
        return 0


def test_a_second_card_s_thread_asks_for_nothing_on_the_first(monkeypatch: pytest.MonkeyPatch):
    thread = Thread(monkeypatch)
    device = CudaDevice(1)
    memory = device.on_host(4096)
    stream: Any = None
    event: Any = SimpleNamespace(synchronize=thread.called)
    device.copy(memory, torch.ones(4096, dtype=torch.uint8), stream)
    device.compute(lambda: None, stream)
    with device.beside(stream):
        assert memory.tolist() == [1] * 4096
    device.synchronize(event)
    del memory  # is unlocked
    assert thread.calls == 1 + 3 * 2 + 1 + 1
    assert thread.index == 0
