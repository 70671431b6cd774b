"""Maps as the network leaves them, and what torch makes of maps."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate


def to_size(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps [K, H, W] at another size, by torch's bilinear interpolation."""
    return interpolate(torch.from_numpy(maps.copy())[None], size=size, mode="bilinear", align_corners=False)[0].numpy()
