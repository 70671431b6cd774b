"""Fixtures of the tests of the model."""

from __future__ import annotations

import pytest
import torch

from higherhrnet.model import network
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build


@pytest.fixture
def tiny() -> network.HigherHRNet:
    """TINY_CONFIG's network with running statistics that are not the trivial 0 and 1."""
    net = build(TINY_CONFIG)
    for name, buffer in net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.add_(torch.rand_like(buffer))
    return net
