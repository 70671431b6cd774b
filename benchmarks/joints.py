"""The decode's time per joint, for networks of several numbers of joints: measured in turn, in one run.

python3 -m benchmarks.joints
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from demo.synthesis import synthesise
from higherhrnet.config.options import Options
from higherhrnet.dataset.joints import Description, JointSet
from higherhrnet.decode import decode
from higherhrnet.image import geometry

CASES = ((5, 2), (5, 6), (14, 6), (17, 6), (18, 6), (26, 6), (68, 6), (133, 6))
"""Joints, and stray peaks an image: 2 of 5 joints are as many a joint as 6 of 17."""


def joint_set(count: int) -> JointSet:
    """``count`` joints in pairs, and one in the middle where that is odd."""
    names = [f"{side}_{k}" for k in range(count // 2) for side in ("left", "right")] + ["middle"] * (count % 2)
    return Description().complete(names)


def persons(count: int, people: int, rng: np.random.Generator) -> list[np.ndarray]:
    """People of ``count`` visible joints each, on an image of 768x512."""
    centers = rng.uniform((100, 150), (668, 362), (people, 2))
    return [
        np.column_stack((rng.normal(center, (35, 70), (count, 2)), np.full(count, 2))).clip(0, None)
        for center in centers
    ]


def measure(of: Sequence[tuple[int, int]], *, people: int, images: int, rounds: int) -> dict[tuple[int, int], float]:
    """Median milliseconds of CPU an image, by numbers of joints and of stray peaks."""
    grid = geometry.fit(768, 512, 512)
    cases = []
    for count, stray in of:
        joints = joint_set(count)
        options = Options(flip=joints.flip, order=joints.order)
        for seed in range(images):
            rng = np.random.default_rng([count, seed])
            outputs = synthesise(persons(count, people, rng), grid, rng, clutter=stray, joint_set=joints)
            cases.append(((count, stray), options, outputs))
    times: dict[tuple[int, int], list[float]] = {case: [] for case in of}
    for _ in range(rounds):
        for case, options, outputs in cases:
            start = time.process_time()
            decode(*outputs, options)
            times[case].append(1e3 * (time.process_time() - start))
    return {case: statistics.median(values) for case, values in times.items()}


def main() -> None:
    """Print a row per number of joints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=3, help="on an image (default: 3)")
    parser.add_argument("--images", type=int, default=3, help="of each number (default: 3)")
    parser.add_argument("--rounds", type=int, default=15, help="times that each is decoded (default: 15)")
    args = parser.parse_args()
    found = measure(CASES, people=args.people, images=args.images, rounds=args.rounds)
    of_coco = found[17, 6] / 17
    for (count, stray), milliseconds in found.items():
        each = milliseconds / count
        print(
            f"{count:4} joints, {stray} stray peaks: {milliseconds:7.2f} ms an image, {each:.3f} ms a joint, "
            f"{each / of_coco:.2f} of 17's"
        )


if __name__ == "__main__":
    main()
