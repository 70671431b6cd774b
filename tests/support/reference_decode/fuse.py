"""Network outputs of an image and its mirror image to full-resolution heatmaps and tag maps.

Arithmetic is float32 with one rounding a two-tap sum, as PyTorch's CPU kernel of bilinear interpolation has it
(align_corners=False): bit-equal on every map tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def double(maps: np.ndarray) -> np.ndarray:
    """Bilinear upsampling by 2 with half-pixel centers: float32 [..., h, w] -> [..., 2h, 2w], along x, then y."""
    wide = _double_last_axis(maps)
    return _double_last_axis(wide.swapaxes(-1, -2)).swapaxes(-1, -2)


def _double_last_axis(a: np.ndarray) -> np.ndarray:
    before = np.concatenate((a[..., :1], a[..., :-1]), axis=-1)
    after = np.concatenate((a[..., 1:], a[..., -1:]), axis=-1)
    doubled = np.empty((*a.shape[:-1], 2 * a.shape[-1]), np.float32)
    doubled[..., 0::2] = _two_taps(before, 0.25, a, 0.75)
    doubled[..., 0] = a[..., 0]  # the first sample would lie before the map: its value is the border's
    doubled[..., 1::2] = _two_taps(a, 0.75, after, 0.25)
    return doubled


def _two_taps(a: np.ndarray, weight_a: float, b: np.ndarray, weight_b: float) -> np.ndarray:
    """fma(a, weight_a, b * weight_b) in float32: in float64 the first product and the sum are exact enough."""
    product = b * np.float32(weight_b)
    return (a.astype(np.float64) * weight_a + product).astype(np.float32)


def half_resolution(output1: np.ndarray, output2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring one pass's outputs to half resolution: heatmaps and tag maps, each float32 [K, H/2, W/2].

    output1 is [2K, H/4, W/4] (K heatmaps, K tag maps), output2 [K, H/2, W/2] (heatmaps).
    """
    joints = len(output2)
    resized = double(output1)
    return (resized[:joints] + output2) * np.float32(0.5), resized[joints:]


def full_resolution(
    outputs: tuple[np.ndarray, np.ndarray], flip_outputs: tuple[np.ndarray, np.ndarray] | None, flip: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Fuse the two passes: heatmaps float32 [K, H, W] and tags [K, H, W, 2] (the image's, the mirror image's).

    ``flip[j]`` is the joint whose map of the mirrored pass shows joint j. Without a mirrored pass nothing is averaged,
    and tags are [K, H, W, 1].
    """
    heat, tag = half_resolution(*outputs)
    if flip_outputs is None:
        return double(heat), double(tag)[..., np.newaxis]
    flip_heat, flip_tag = half_resolution(*flip_outputs)
    joints, height, width = heat.shape
    heatmaps = np.empty((joints, 2 * height, 2 * width), np.float32)
    tags = np.empty((joints, 2 * height, 2 * width, 2), np.float32)
    for joint, mirrored in enumerate(flip):  # one at a time: a quarter of the memory
        upright = double(flip_heat[mirrored, :, ::-1])
        heatmaps[joint] = (double(heat[joint]) + upright) * np.float32(0.5)
        tags[joint, :, :, 0] = double(tag[joint])
        tags[joint, :, :, 1] = double(flip_tag[mirrored, :, ::-1])
    return heatmaps, tags
