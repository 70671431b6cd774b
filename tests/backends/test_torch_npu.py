"""An NPU under PyTorch, over a stand-in of torch_npu: the network's outputs, figures' names, a line for each fault."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet.artifacts import figures
from higherhrnet.backends import torch as backend
from higherhrnet.backends import torch_device
from higherhrnet.errors import UserError
from tests.support.ascend_host import STAND_INS
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.programs import PLAIN, Outcome, error

Script = Callable[..., Outcome]


@pytest.fixture(scope="module")
def folder(tiny_inputs: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the process that has the stand-in worked; found.json is what it found."""
    work = tmp_path_factory.mktemp("npu")
    shutil.copy(tiny_weights, work / "tiny.pth")
    for name in ("prep_bin", "prep_bin_flip"):  # two images of one shape
        (lists,) = tiny_inputs.glob(f"{name}_128x192.info")
        shutil.copy(lists, work)
    arguments = ["--backend", "torch", "--device", "npu:1", "--precision", "float32", "--model", "tiny.pth"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.npu_worker", str(work), *arguments, "--cfg", str(TINY_CONFIG)],
        env={**os.environ, "PYTHONPATH": f"{STAND_INS}{os.pathsep}{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "found.json").read_text())


@pytest.mark.slow
def test_the_dumps_are_onnxruntime_s_and_the_figures_say_npu(found: dict, folder: Path, tiny_result: Path):
    outcome = found["benchmark"]
    assert outcome["status"] == 0, outcome
    assert "backend torch (requested), model tiny.pth, on Ascend310P3 (npu:1)" in outcome["out"]
    made = sorted((folder / "result/dumpOutput_device1_bs1").glob("*.bin"))
    assert len(made) >= 4
    for file in made:
        ours, reference = (np.fromfile(f, np.float32) for f in (file, tiny_result / PLAIN / file.name))
        np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-4 * np.abs(reference).max())
    (figure,) = figures.read(folder / "result").values()
    assert figure.work.backend == "torch npu float32"
    assert "torch_npu 2.13.0, CANN 8.3.RC1, Ascend310P3" in figure.work.runtime
    assert figure.facts.device == ""  # not this machine's CPU


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.slow
def test_batches_in_flight_give_the_network_s_outputs(found: dict, precision: str):
    """No stream reads what another one has not written, tensors are contiguous, and float32 is not HF32."""
    made = found[precision]
    assert made["name"] == f"torch npu {precision}"
    assert len(made["worst"]) == 3
    assert max(made["worst"]) < backend.TOLERANCES[precision]
    assert made["positive"]
    assert made["exact"] < 1e-6, "float32's outputs of the first image, for who compares people"
    if precision != "float32":  # it was computed in that
        assert min(made["worst"]) > 1e-5


def test_an_npu_that_computes_otherwise_is_refused(found: dict):
    for said in found["wrong"]:
        assert said.startswith("at 64x32, float32 on the NPU differs from the network in float32 on the CPU by ")
        assert said.endswith("of the largest value, expected at most 0.001; give another --precision")
    assert "by nan of" in found["wrong"][1]


def test_what_is_not_there_or_too_small_is_one_line(found: dict):
    assert found["absent"] == "NPU 7 is not there, torch_npu sees 2; give --device npu:N or --device_ids"
    batch, network = found["full"]
    assert batch.startswith("Ascend310P3 (npu:0) has no room for a batch of 2 at 64x32; give a smaller --bs")
    assert network.startswith("Ascend310P3 (npu:0) has no room for the network in float16; ")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (None, "torch_npu is not installed; pip install torch-npu~=2.13.0, the one for this PyTorch, on a host with "
         "CANN, or give --device cpu"),
        ("raise ImportError('libhccl.so: cannot open\\n shared object file')", "does not load: libhccl.so: cannot open "
         "shared object file; source CANN's set_env.sh in this shell"),
        ("import attr_that_is_missing", "torch_npu needs the package attr_that_is_missing; install it too"),
        ("", "torch_npu sees no NPU; see whether npu-smi info answers for this user, or give --device cpu"),
    ],
)  # fmt: skip
def test_without_a_torch_npu_that_works(tmp_path: Path, module: str | None, said: str, monkeypatch: pytest.MonkeyPatch):
    if module is not None:
        (tmp_path / "torch_npu.py").write_text(module)
        monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(UserError, match=r"^--device npu: torch_npu") as refused:
            torch_device.choose("npu")
    finally:
        sys.modules.pop("torch_npu", None)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert torch_device.choose("auto").kind == "cpu" or "torch_npu" not in sys.modules  # which asks for none


def test_npu_is_torch_s_alone(script: Script, tiny_onnx: Path, tiny_weights: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(backend: str, device: str, *more: object) -> str:
        model = tiny_weights if backend == "torch" else tiny_onnx
        return error(
            script(
                *("HigherHRNet_performance", "--backend", backend, "--model", model, "--shapes", "128x128"),
                *("--device", device, *more, "--cfg", TINY_CONFIG),
            )
        )

    assert "--device npu is for --backend torch; ONNX Runtime takes --providers CANN,CPU" in call("onnxruntime", "npu")
    assert "--device npu is for --backend torch; OpenVINO has CPU, GPU and NPU" in call("openvino", "npu:0")
    assert "is a name of OpenVINO's; --backend torch takes auto, cpu, cuda or cuda:N, npu or npu:N" in call(
        "torch", "NPU"
    )
    assert "--device npu has no cuDNN; omit one of them" in call("torch", "npu", "--tune")
    assert "--device npu:1 names an NPU, and so do" in call("torch", "npu:1", "--device_id", 2)
    assert "--device npu: torch_npu is not installed" in call("torch", "npu")
