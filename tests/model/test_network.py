"""The network: the reference's parameters and outputs, through PyTorch and through ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from higherhrnet.model import export, network
from higherhrnet.model.ort import onnxruntime
from tests.support import golden
from tests.support.datasets import TINY_CONFIG
from tests.support.golden_weights import image, parameter
from tests.support.networks import build, relative


@pytest.fixture(scope="module")
def golden_network() -> network.HigherHRNet:
    net = build()
    net.load_state_dict({k: torch.from_numpy(parameter(k, tuple(v.shape))) for k, v in net.state_dict().items()})
    return net


def test_w32_parameters_are_the_reference_s():
    expected = golden.read("w32_512_parameters.json")
    found = [{"name": k, "shape": list(v.shape), "dtype": str(v.dtype)} for k, v in build().state_dict().items()]
    assert found == expected


@pytest.mark.slow
def test_golden_forward_pass_through_pytorch(golden_network: network.HigherHRNet):
    reference = np.load(golden.GOLDEN / "network_w32_forward.npz")
    with torch.inference_mode():
        outputs = golden_network(torch.from_numpy(image()))
    for name, output in zip(("output1", "output2"), outputs, strict=True):
        assert relative(output.numpy(), reference[name]) < 1e-4, name


@pytest.mark.slow
def test_golden_forward_pass_through_onnx(golden_network: network.HigherHRNet, tmp_path: Path):
    reference = np.load(golden.GOLDEN / "network_w32_forward.npz")
    report = export.export(golden_network, tmp_path / "golden.onnx", batch=1)
    assert report.difference < 1e-5
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    for name, output in zip(("output1", "output2"), session.run(None, {"input": image()}), strict=True):
        assert relative(output, reference[name]) < 1e-4, name


def test_output_shapes_of_a_batch():
    with torch.inference_mode():
        output1, output2 = build(TINY_CONFIG)(torch.zeros(2, 3, 64, 128))
    assert output1.shape == (2, 34, 16, 32)
    assert output2.shape == (2, 17, 32, 64)


def test_folding_keeps_the_outputs_and_leaves_no_batch_norm(tiny: network.HigherHRNet):
    folded = network.fold_batch_norm(tiny)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in tiny.modules()), "the network itself was changed"
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for ours, theirs in zip(folded(x), tiny(x), strict=True):
            assert relative(ours.numpy(), theirs.numpy()) < 1e-5
