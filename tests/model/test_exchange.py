"""Exchanges in one layer: what is joined, and the same outputs; the kernel itself where Triton is installed."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from higherhrnet.model import exchange, fusion
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build


def test_joined_exchanges_compute_the_same():
    net = build(TINY_CONFIG)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # biases that matter
            torch.nn.init.normal_(module.bias, std=0.1, generator=torch.Generator().manual_seed(0))
    fused = fusion.fuse(net)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = fused(images)
        exchange.join(fused)
        after = fused(images)
    for ours, reference in zip(after, before, strict=True):
        assert float((ours - reference).abs().max() / reference.abs().max()) < 1e-5  # another order of sums
    layers = [layer for layer in fused.modules() if isinstance(layer, exchange.Exchange)]
    assert {factor for layer in layers for factor in layer.factors} == {1, 2, 4, 8}
    assert not any(isinstance(fused.get_submodule(str(n.target)), (torch.nn.ReLU, torch.nn.Upsample))
                   for n in fused.graph.nodes if n.op == "call_module" and "deconv" not in str(n.target))  # fmt: skip


def test_a_sum_keeps_what_is_no_number():
    terms = [torch.tensor([[[[-1.0, 2.0]]]]), torch.tensor([[[[torch.nan, -5.0]]]])]
    found = exchange.summed(terms, (1, 1), torch.tensor([4.0]))
    assert torch.equal(found.isnan(), torch.tensor([[[[True, False]]]]))
    assert float(found[0, 0, 0, 1]) == 1


def test_without_triton_the_reason_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "kernel", lambda: None)
    assert exchange.use_kernel(torch.nn.Identity(), torch.device("cpu")) == "Triton is not installed"


def _interpreted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The kernel's module once more, for Triton's interpreter on the CPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.find_spec("higherhrnet.model.exchange_kernel")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="needs Triton")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_kernel_sums_as_pytorch_does(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype):
    """Two to four terms, with a bias and without, of more values a row than a program has; NaN stays."""
    kernel = _interpreted(monkeypatch)
    on: list[torch.Tensor] = []

    @contextlib.contextmanager
    def device_of(tensor: torch.Tensor) -> Iterator[None]:
        on.append(tensor)
        yield

    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    generator = torch.Generator().manual_seed(0)
    for factors in ((1, 2), (1, 1, 2), (1, 2, 4, 8)):
        terms = [torch.randn(2, 40, 8 // f, 32 // f, generator=generator) for f in factors]
        terms[1][0, 0, 0, 0] = torch.nan
        terms = [term.to(dtype=dtype, memory_format=torch.channels_last) for term in terms]
        for bias in (None, torch.randn(40, generator=generator).to(dtype)):
            ours = kernel.summed(terms, factors, bias)
            reference = exchange.summed([t.float() for t in terms], factors, None if bias is None else bias.float())
            assert ours.is_contiguous(memory_format=torch.channels_last)
            assert int(ours.isnan().sum()) > 0
            torch.testing.assert_close(ours, reference.to(dtype), equal_nan=True)
    assert len(on) == 6, "it has to run on the device that the tensors are on"
