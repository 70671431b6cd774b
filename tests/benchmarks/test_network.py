"""The torch backend's benchmark: its count of the floor, and that it runs anywhere."""

from __future__ import annotations

import json
import re

import pytest
import torch
from torch import nn

from benchmarks import network as benchmark
from higherhrnet.model import network
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny() -> network.HigherHRNet:
    return build(TINY_CONFIG)


def test_operations_are_those_of_every_convolution_that_runs(tiny: network.HigherHRNet):
    """Counted another way, on the network before folding and fusion: 2 x outputs x kernel x input channels."""
    counted = []

    def count(layer: nn.Module, _, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels
            counted.append(2 * output.numel() * kernel)
        if isinstance(layer, nn.ConvTranspose2d):
            # At stride 2 every output pixel meets a quarter of the 4x4 kernel, but for the border's padding.
            counted.append(2 * output.numel() * 4 * layer.in_channels)

    hooks = [layer.register_forward_hook(count) for layer in tiny.modules()]
    tiny(torch.zeros(1, 3, 64, 96))
    for hook in hooks:
        hook.remove()
    assert benchmark.work(tiny, (64, 96), 1).operations == sum(counted)


def test_work_grows_with_the_batch_but_for_the_weights(tiny: network.HigherHRNet):
    one, four = (benchmark.work(tiny, (64, 96), batch) for batch in (1, 4))
    assert four.operations == 4 * one.operations
    weights = (4 * one.values - four.values) / 3
    folded = network.fold_batch_norm(tiny)
    assert weights == sum(p.numel() for p in folded.parameters())


def test_it_runs_and_says_what_it_measured(tmp_path, capsys: pytest.CaptureFixture[str]):
    where = ["--cfg", str(TINY_CONFIG), "--shape", "128x128", "--bs", "1,2", "--rounds", "1"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        benchmark.main([*where, "--output", str(tmp_path / "network.json")])
    finally:
        torch.set_num_threads(threads)
    out = capsys.readouterr().out
    gaps = re.findall(r"the network alone takes ([0-9.]+) times the floor", out)
    found = json.loads((tmp_path / "network.json").read_text())
    assert [f"{b['gap']:.1f}" for b in found["batches"]] == gaps
    assert [b["batch"] for b in found["batches"]] == [1, 2]
