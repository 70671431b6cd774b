"""Local maxima of heatmaps."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def find(heatmap: np.ndarray, *, kernel: int, limit: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The highest local maxima of one heatmap [H, W].

    A pixel counts if it equals the maximum of the ``kernel`` x ``kernel`` window around it. The ``limit`` highest are
    taken, equal ones in row order, then those not above ``threshold`` dropped.

    Returns
    -------
    points : int64 [n, 2], x and y, highest first
    values : float32 [n]
    """
    pad = kernel // 2
    padded = np.pad(heatmap, pad, constant_values=-np.inf)
    highest = sliding_window_view(padded, kernel, axis=0).max(axis=-1)
    highest = sliding_window_view(highest, kernel, axis=1).max(axis=-1)
    ys, xs = np.nonzero((heatmap == highest) & (heatmap.astype(np.float64) > threshold))
    values = heatmap[ys, xs]
    order = np.argsort(-values, kind="stable")[:limit]
    return np.stack((xs, ys), axis=1)[order], values[order]
