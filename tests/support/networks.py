"""Networks to test on, and how near outputs are to each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

from higherhrnet.config import loader
from higherhrnet.model import architecture, network


def architecture_of(config_file: Path | None = None, *opts: str) -> architecture.Architecture:
    """What a configuration says of the network."""
    config = loader.load(config_file, opts)
    return architecture.Architecture.from_extra(config.extra, config.heads)


def build(config_file: Path | None = None, *opts: str) -> network.HigherHRNet:
    """A seeded network, W32-512 without a configuration, in eval mode."""
    torch.manual_seed(0)
    return network.HigherHRNet(architecture_of(config_file, *opts)).eval()


def with_batch(model: Path, batch: int, to: Path) -> Path:
    """Write an .onnx of a dynamic batch as one of a fixed one, which is all that exporting another would change."""
    loaded = onnx.load(model)
    for value in (*loaded.graph.input, *loaded.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    to.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(loaded, to)
    return to


def relative(ours: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference, relative to the reference's largest magnitude."""
    return float(np.abs(ours - reference).max() / np.abs(reference).max())
