"""What is around the network: pictures on disk in, people out, with a network that takes no time.

    python3 -m benchmarks.around --pictures data/coco/images/val2017

The stream of ``predict`` and ``run`` against its parts alone: the same pictures read, warped and decoded by a pool of
as many threads, nothing between. Alternately, medians. Maps are synthesised, of ``--people`` people in each picture.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from demo.synthesis import synthesise
from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.backends.in_process import InProcess, Seconds
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.image import geometry, reader, transform
from higherhrnet.pipeline.stream import Picture, Stream
from higherhrnet.system import workers

HEADS = dumps.Heads(17, 17)
PLAN = Plan(512)
OPTIONS = Options()
Maps = list[tuple[np.ndarray, np.ndarray]]
"""output1 and output2 of each pass."""


class Instant(InProcess):
    """A network whose answers are there."""

    name = runtime = "none"
    kept_sessions = 64

    def __init__(self, maps: dict[tuple[int, int], Maps]) -> None:
        """``maps`` by shape (H, W)."""
        super().__init__(batch=1, heads=HEADS, done=lambda _: None)
        self._maps = maps

    def open(self, shape: tuple[int, int], device: int = 0) -> InstantSession:
        """A session that takes pixels and gives both passes."""
        return InstantSession(shape, self._maps[shape])


class InstantSession:
    """As in_process.Session."""

    passes = 2

    def __init__(self, shape: tuple[int, int], maps: Maps) -> None:
        self.sources = [np.empty((1, *shape, 3), np.uint8) for _ in range(4)]
        first, second = (np.stack([one[output] for one in maps]) for output in (0, 1))
        self.results = [(first, second)] * len(self.sources)

    def launch(self, slot: int) -> None:
        pass

    def wait(self, slot: int) -> Seconds:
        return Seconds(1e-9, 1e-9)


def read(file: Path) -> tuple[np.ndarray, Any]:
    """A picture's pixels."""
    return reader.read_image(file), None


def alone(file: Path, maps: dict[tuple[int, int], Maps]) -> int:
    """Read, warp and decode one picture; how many people that are."""
    pixels, _ = read(file)
    height, width = pixels.shape[:2]
    grid = geometry.of_plan(width, height, PLAN)
    transform.warp(pixels, grid)
    return len(decode.people_in_image(PLAN, width, height, [maps[grid.shape]], OPTIONS))


def asked(files: Sequence[Path]) -> Iterator[Picture[Path]]:
    """The pictures as a stream takes them."""
    for file in files:
        yield Picture(file, f"image {file}", partial(read, file))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="pictures a round; default: %(default)s")
    parser.add_argument("--people", type=int, default=4, metavar="N", help="in each; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    args = parser.parse_args()
    decode.compile()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    few = sorted(args.pictures.iterdir())
    maps: dict[tuple[int, int], Maps] = {}
    for file in few:
        height, width = read(file)[0].shape[:2]
        grid = geometry.of_plan(width, height, PLAN)
        if grid.shape not in maps:
            places = rng.uniform(0.2, 0.8, (args.people, 1, 2)) + rng.normal(0, 0.06, (args.people, 17, 2))
            persons = [np.column_stack((place * (width, height), np.full(17, 2))) for place in places.clip(0, 1)]
            maps[grid.shape] = list(synthesise(persons, grid, rng))
    files = list(itertools.islice(itertools.cycle(few), args.count))
    threads = max(workers.cores(), 2)
    rates: dict[str, list[float]] = {"stream": [], "parts": []}
    with Stream(Instant(maps), PLAN, OPTIONS, threads=threads) as stream, ThreadPoolExecutor(threads) as pool:
        for number in range(args.rounds + 1):
            start = time.perf_counter()
            found = [len(one.people or ()) for one in stream.run(asked(files))]
            middle = time.perf_counter()
            expected = list(pool.map(partial(alone, maps=maps), files))
            end = time.perf_counter()
            assert found == expected
            if number:  # the first round opens sessions, and fills the system's cache of files
                rates["stream"].append(len(files) / (middle - start))
                rates["parts"].append(len(files) / (end - middle))
    share = statistics.median(one / other for one, other in zip(*rates.values(), strict=True))
    stream_rate, parts_rate = (statistics.median(values) for values in rates.values())
    print(
        f"{args.count} pictures of {args.people} people, {threads} threads, {args.rounds} rounds: the stream does "
        f"{stream_rate:.1f} images/s, its parts alone {parts_rate:.1f}: {share:.3f} of that"
    )


if __name__ == "__main__":
    main()
