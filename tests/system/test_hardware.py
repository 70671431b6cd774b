"""What NVIDIA's driver calls its GPUs, and what is said where it is not there."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.stages import machine
from higherhrnet.system import hardware


class Driver:
    """In the place of libcuda: two GPUs; the library's functions return 0, or an error's number."""

    def __init__(self, **errors: int) -> None:
        self._errors, self.calls = errors, 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        self.calls += 1
        assert flags == 0
        return self._errors.get("cuInit", 0)

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        if number >= 2:
            return 101  # CUDA_ERROR_INVALID_DEVICE
        device._obj.value = 70 + number  # a handle, not the number
        return self._errors.get("cuDeviceGet", 0)

    def cuDeviceGetName(self, name: Any, length: int, device: ctypes.c_int) -> int:  # noqa: N802
        assert length == len(name)
        name.value = f"NVIDIA H{device.value}0".encode()
        return self._errors.get("cuDeviceGetName", 0)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What another test's driver said, or the machine's."""
    hardware.nvidia.cache_clear()
    yield
    hardware.nvidia.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, driver: object) -> None:
    def load(name: str) -> object:
        assert name == "libcuda.so.1"
        if isinstance(driver, OSError):
            raise driver
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)


@pytest.mark.parametrize("backend", ["onnxruntime CUDA+CPU", "trtexec float16 tuned", "torch cuda float16"])
def test_a_figure_says_which_card_it_is_of(monkeypatch: pytest.MonkeyPatch, backend: str):
    use(monkeypatch, driver := Driver())
    names = [machine.facts(backend, Path("m.onnx"), device=number, images=1).device for number in (0, 1, 0)]
    assert names == ["NVIDIA H700", "NVIDIA H710", "NVIDIA H700"]
    assert driver.calls == 2, "once for a card"


@pytest.mark.parametrize(
    "driver",
    [
        OSError("libcuda.so.1: cannot open shared object file: No such file or directory"),
        object(),
        Driver(cuInit=100),
        Driver(cuDeviceGet=3),
        Driver(cuDeviceGetName=3),
    ],
    ids=["absent", "another library", "no device", "no card", "no name"],
)
def test_without_a_driver_that_answers_there_is_no_name(monkeypatch: pytest.MonkeyPatch, driver: object):
    use(monkeypatch, driver)
    assert machine.facts("trtexec float16", Path("m.onnx"), device=0, images=0).device == ""


def test_a_card_that_is_not_there_has_no_name(monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch, Driver())
    assert hardware.nvidia(2) == ""


def test_a_cpu_s_figure_asks_no_driver(monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch, driver := Driver())
    assert machine.facts("onnxruntime", Path("m.onnx"), device=0, images=1).device == hardware.cpu()
    assert driver.calls == 0
