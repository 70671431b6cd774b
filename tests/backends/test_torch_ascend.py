"""PyTorch on Ascend's NPU, over a stand-in of torch_npu: nothing here has run on one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from higherhrnet.backends import torch as backend
from higherhrnet.backends import torch_ascend
from higherhrnet.errors import UserError
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import architecture_of
from tests.support.programs import Outcome, error

NPUS = 2


class StandIn:
    """``torch.npu``: the current device is a thread's own, and work for another than that is refused."""

    def __init__(self) -> None:
        self.current = threading.local()
        self.log: list[tuple[str, int]] = []
        self.available = True
        self.fault = ""

    def is_available(self) -> bool:
        return self.available

    def device_count(self) -> int:
        return NPUS

    def get_device_name(self, index: int) -> str:
        return f"Stand-in{index}"

    @contextlib.contextmanager
    def device(self, index: int) -> Iterator[None]:
        before = getattr(self.current, "index", None)
        self.current.index = index
        try:
            yield
        finally:
            self.current.index = before

    def synchronize(self) -> None:
        index = getattr(self.current, "index", None)
        if index is None:
            raise RuntimeError("Please set device first")
        self.log.append(("synchronize", index))
        if self.fault:
            raise RuntimeError(self.fault)


@pytest.fixture
def npu(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))
    monkeypatch.setattr(torch, "npu", made, raising=False)
    monkeypatch.setattr(torch_ascend.Npu, "device", torch.device("cpu"))
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == "torch_npu" else version(name))
    return made


def made(weights: Path, *, device: int = 0, precision: str | None = None, batch: int = 1) -> backend.Torch:
    return backend.Torch(
        weights, architecture_of(TINY_CONFIG), batch=batch, devices=(device,), precision=precision, on="npu"
    )


def test_it_computes_in_float16_on_the_npu_that_was_named(npu: StandIn, tiny_weights: Path):
    ours = made(tiny_weights, device=1, batch=2)
    assert ours.name == "torch npu float16"
    assert ours.runtime == f"torch {torch.__version__}, torch_npu 9.9, Stand-in1"
    exact = backend.Torch(tiny_weights, architecture_of(TINY_CONFIG), batch=2, on="cpu")
    session, reference = ours.open((64, 128), 1), exact.open((64, 128))
    images = np.random.default_rng(0).standard_normal(session.sources[0].shape).astype(np.float32)
    for slot in (0, 1):
        session.sources[slot][:] = reference.sources[slot][:] = images * (slot + 1)
        session.launch(slot)
        reference.launch(slot)
    for slot in (0, 1):
        taken = session.wait(slot)
        assert 0 < taken.execute < taken.infer
        for found, wanted in zip(session.results[slot], reference.results[slot], strict=True):
            assert found.dtype == np.float32
            assert 0 < np.abs(found - wanted).max() < 2e-2 * np.abs(wanted).max()
    assert {index for _, index in npu.log} == {1}


def test_float32_differs_by_rounding_alone(npu: StandIn, tiny_weights: Path):
    session = made(tiny_weights, precision="float32").open((64, 64))
    session.sources[0][:] = 1
    session.launch(0)
    assert session.wait(0).execute > 0


def test_a_device_that_computes_something_else_is_found_at_the_first_batch(npu: StandIn, tiny_weights: Path):
    ours = made(tiny_weights)
    with torch.no_grad():
        for weight in ours._npus[0].network.parameters():
            weight.mul_(0.5)
    session = ours.open((64, 64))
    session.sources[0][:] = 1
    with pytest.raises(UserError, match=r"at 64x64, float16 on NPU 0 differs .*; give another --precision"):
        session.launch(0)


def test_a_device_s_error_is_one_line_with_device_and_shape(npu: StandIn, tiny_weights: Path):
    session = made(tiny_weights).open((64, 64))
    npu.fault = "NPU out of memory. Tried to allocate\n2.00 GiB"
    with pytest.raises(
        UserError, match=r"^NPU 0, 64x64: NPU out of memory. Tried to allocate 2.00 GiB; give a smaller"
    ):
        session.launch(0)


def test_what_is_not_there_is_said(npu: StandIn, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"NPU 2 is not there, torch_npu sees 2; give --device_ids"):
        made(tiny_weights, device=2)
    npu.available = False
    with pytest.raises(UserError, match=r"--device npu: torch_npu sees no NPU; see npu-smi info"):
        made(tiny_weights)
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    with pytest.raises(UserError, match=r"--device npu: torch_npu does not load .*; install the one for PyTorch 2"):
        made(tiny_weights)


@pytest.mark.slow
def test_benchmark_run_and_predict_on_two(
    npu: StandIn,
    script,
    tiny_data: Path,
    tiny_inputs: Path,
    tiny_weights: Path,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    network = ("--backend", "torch", "--device", "npu", "--model", tiny_weights, "--cfg", TINY_CONFIG)
    network += ("--precision", "float32")  # a CPU, which the stand-in computes on, is slow in float16
    lists = ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip")
    devices = ("--device_ids", "0,1")
    outcomes: list[Outcome] = [
        script("HigherHRNet_benchmark", *lists, *network, *devices),
        script("higherhrnet.__main__", "run", *network, *devices, "--no_eval", "DATASET.ROOT", tiny_data),
        script("higherhrnet.__main__", "predict", tiny_data / "images/val2017/000000001000.jpg", *network),
    ]
    for outcome in outcomes:
        assert outcome.status == 0, outcome
    assert "on Stand-in0 (npu:0)" in outcomes[0].out
    assert {index for _, index in npu.log} == {0, 1}
    other = ("--backend", "onnxruntime", "--device", "npu", "--model", tiny_onnx, "--cfg", TINY_CONFIG)
    assert "--device npu is for --backend torch" in error(script("higherhrnet.__main__", "predict", tiny_data, *other))
