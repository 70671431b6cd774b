"""Outputs of both passes of all sorts: what a network might leave, and what it never would."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from higherhrnet.config.options import Options

Arrays = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def paint(rng: np.random.Generator, joints: int, height: int, width: int, peaks: list[tuple]) -> Arrays:
    """Both passes with Gaussian peaks (joint, x, y, height, tag) at input pixels; mirroring keeps the joints."""

    def one_pass(mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
        output1 = np.zeros((2 * joints, height // 4, width // 4), np.float32)
        output2 = np.zeros((joints, height // 2, width // 2), np.float32)
        for joint, x, y, peak, tag in peaks:
            for heatmap, step in ((output1[joint], 4), (output2[joint], 2)):
                ys, xs = np.ogrid[: heatmap.shape[0], : heatmap.shape[1]]
                center = (width - x if mirrored else x) / step - 0.5
                squares = (xs - center) ** 2 + (ys - y / step + 0.5) ** 2
                gaussian = peak * rng.uniform(0.9, 1) * np.exp(-squares / 4)
                np.maximum(heatmap, gaussian.astype(np.float32), out=heatmap)
            column, row = int((width - 1 - x if mirrored else x) / 4), int(y / 4)
            patch = np.s_[joints + joint, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
            output1[patch] = tag + rng.normal(0, 0.05)
        return output1, output2

    return one_pass(False), one_pass(True)


def crowd(rng, joints, height, width):
    peaks = []
    for tag in rng.permutation(rng.integers(1, 9)) * rng.choice([0.4, 1.7]):
        for joint in np.nonzero(rng.random(joints) < 0.8)[0]:
            peaks.append((joint, rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.15, 1), tag))
    return paint(rng, joints, height, width, peaks)


def clutter(rng, joints, height, width):
    return paint(
        rng,
        joints,
        height,
        width,
        [
            (joint, rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.05, 0.35), rng.normal(0, 10))
            for joint in rng.integers(0, joints, 30)
        ],
    )


def corners(rng, joints, height, width):
    places = [(x, y) for x in (0, width / 2, width - 1) for y in (0, height / 2, height - 1)]
    return paint(
        rng,
        joints,
        height,
        width,
        [(joint, *places[rng.integers(9)], rng.uniform(0.2, 1), rng.integers(3)) for joint in range(joints)],
    )


def each(arrays: Arrays, change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    (a, b), (c, d) = arrays
    return (change(a), change(b)), (change(c), change(d))


def noise(rng, joints, height, width):
    scale = rng.choice([0.02, 0.3, 2.0])
    return each(crowd(rng, joints, height, width), lambda a: (a + rng.normal(0, scale, a.shape)).astype(np.float32))


def half_precision(rng, joints, height, width):
    return each(noise(rng, joints, height, width), lambda a: a.astype(np.float16).astype(np.float32))


def ties(rng, joints, height, width):
    return each(noise(rng, joints, height, width), lambda a: (np.round(a * 4) / 4).astype(np.float32))


def saturated(rng, joints, height, width):
    return each(noise(rng, joints, height, width), lambda a: np.clip(a * 3, -1, 1))


def one_value(rng, joints, height, width):
    value = np.float32(rng.choice([0, -0.0, 1, 0.1, 0.7, 1 / 3, -1, 1e-40]))
    return each(crowd(rng, joints, height, width), lambda a: np.full_like(a, value))


def flat_heat(rng, joints, height, width):
    """Heat the same everywhere, tags not: only tags and row order decide."""
    (a, b), (c, d) = noise(rng, joints, height, width)
    a[:joints] = b[:] = c[:joints] = d[:] = rng.choice([0.0, 0.3, 1.0])
    return (a, b), (c, d)


def negative(rng, joints, height, width):
    return each(noise(rng, joints, height, width), lambda a: -np.abs(a))


def scaled(arrays: Arrays, heat: float, tags: float) -> Arrays:
    def scale(a):
        factors = np.full((len(a), 1, 1), heat, np.float32)
        if len(a) == 2 * joints:
            factors[joints:] = tags
        return a * factors

    joints = len(arrays[0][1])
    return each(arrays, scale)


def large(rng, joints, height, width):
    return scaled(noise(rng, joints, height, width), 1e12, 1e12)


def huge(rng, joints, height, width):
    """Only without detection values: with costs of 1e30 the reference's assignment does not end."""
    return scaled(noise(rng, joints, height, width), 1e30, 1e15)


def tiny(rng, joints, height, width):
    """Heat and tags of a few denormal steps."""
    return each(noise(rng, joints, height, width), lambda a: (a * np.float32(1e-44)).astype(np.float32))


def small(rng, joints, height, width):
    return scaled(noise(rng, joints, height, width), 1e-37, 1)


def random_options(rng: np.random.Generator, joints: int, kind: Callable) -> Options:
    threshold = rng.choice([0.1, 0.1, 0.1, 0.3, 0.0, -0.2, 0.7])
    return Options(
        detection_threshold=float(threshold),
        tag_threshold=float(rng.choice([1.0, 1.0, 0.3, 5.0])),
        max_people=int(rng.choice([30, 30, 30, 5, 2, 1])),
        nms_kernel=int(rng.choice([5, 5, 5, 3, 1, 7, 15])),
        use_detection_value=kind is not huge and bool(rng.random() < 0.7),
        ignore_too_much=bool(rng.random() < 0.3),
        adjust=bool(rng.random() < 0.7),
        refine=bool(rng.random() < 0.9),
        flip=tuple(rng.permutation(joints).tolist()),
        order=tuple(rng.permutation(joints).tolist()),
    )


KINDS = (
    *(crowd, clutter, corners, noise, half_precision, ties, saturated, one_value),
    *(flat_heat, negative, large, huge, tiny, small),
)
