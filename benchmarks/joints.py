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

COUNTS = (5, 14, 17, 18, 26, 68, 133)


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


def measure(counts: Sequence[int], *, people: int, images: int, rounds: int) -> dict[int, float]:
    """Median milliseconds of CPU an image, by number of joints."""
    grid = geometry.fit(768, 512, 512)
    cases = []
    for count in counts:
        joints = joint_set(count)
        options = Options(flip=joints.flip, order=joints.order)
        for seed in range(images):
            rng = np.random.default_rng([count, seed])
            cases.append((count, options, synthesise(persons(count, people, rng), grid, rng, joint_set=joints)))
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count, options, outputs in cases:
            start = time.process_time()
            decode(*outputs, options)
            times[count].append(1e3 * (time.process_time() - start))
    return {count: statistics.median(values) for count, values in times.items()}


def main() -> None:
    """Print a row per number of joints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=3, help="on an image (default: 3)")
    parser.add_argument("--images", type=int, default=3, help="of each number (default: 3)")
    parser.add_argument("--rounds", type=int, default=15, help="times that each is decoded (default: 15)")
    args = parser.parse_args()
    found = measure(COUNTS, people=args.people, images=args.images, rounds=args.rounds)
    of_coco = found[17] / 17
    for count, milliseconds in found.items():
        each = milliseconds / count
        print(f"{count:4} joints: {milliseconds:7.2f} ms an image, {each:.3f} ms a joint, {each / of_coco:.2f} of 17's")


if __name__ == "__main__":
    main()
