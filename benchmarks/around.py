"""What is around the network: pictures on disk in, people out, with a network that takes no time.

    python3 -m benchmarks.around --pictures data/coco/images/val2017

The stream of ``predict`` and ``run`` against its parts alone: the same pictures read, warped and decoded by a pool of
as many threads, nothing between. Alternately, medians. Maps are synthesised, of ``--people`` people in each picture.

    python3 -m benchmarks.around --pictures data/coco/images/val2017 --side 64 --people 0 --batch 32

Pictures so small leave little but what Python does for one, in one thread at a time: more images a second no process
gives, on whatever card and with however many cores.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
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
OPTIONS = Options()
Maps = tuple[np.ndarray, np.ndarray]
"""output1 and output2 of an image's two passes, [2, ...]."""


class Instant(InProcess):
    """A network whose answers are there."""

    name = runtime = "none"
    kept_sessions = 64

    def __init__(self, maps: dict[tuple[int, int], Maps], batch: int) -> None:
        """``maps`` of an image, by shape (H, W)."""
        super().__init__(batch=batch, heads=HEADS, done=lambda _: None)
        self._maps = maps

    def open(self, shape: tuple[int, int], device: int = 0) -> InstantSession:
        """A session that takes pixels and gives both passes."""
        return InstantSession(shape, self._maps[shape], self.batch)


class InstantSession:
    """As in_process.Session."""

    passes = 2

    def __init__(self, shape: tuple[int, int], maps: Maps, batch: int) -> None:
        self.sources = [np.empty((batch, *shape, 3), np.uint8) for _ in range(4)]
        first, second = (each if batch == 1 else np.repeat(each, batch, axis=0) for each in maps)
        self.results = [(first, second)] * len(self.sources)

    def launch(self, slot: int) -> None:
        pass

    def wait(self, slot: int) -> Seconds:
        return Seconds(1e-9, 1e-9)


def read(file: Path) -> tuple[np.ndarray, Any]:
    """A picture's pixels."""
    return reader.read_image(file), None


def alone(file: Path, plan: Plan, maps: dict[tuple[int, int], Maps]) -> int:
    """Read, warp and decode one picture; how many people that are."""
    pixels, _ = read(file)
    height, width = pixels.shape[:2]
    grid = geometry.of_plan(width, height, plan)
    transform.warp(pixels, grid)
    passes = list(zip(*maps[grid.shape], strict=True))
    return len(decode.people_in_image(plan, width, height, [passes], OPTIONS))


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
    parser.add_argument("--side", type=int, metavar="N", help="make the pictures N x N first, and test them so large")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    args = parser.parse_args()
    decode.compile()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(args.pictures.iterdir())
        if args.side:
            files = [shrunk(file, args.side, Path(folder)) for file in files]
        compare(files, args)


def shrunk(file: Path, side: int, folder: Path) -> Path:
    """A square copy of a picture."""
    made = folder / f"{file.stem}.jpg"
    cv2.imwrite(str(made), cv2.resize(cv2.cvtColor(read(file)[0], cv2.COLOR_RGB2BGR), (side, side)))
    return made


def compare(few: Sequence[Path], args: argparse.Namespace) -> None:
    """The stream against its parts."""
    plan = Plan(args.side or 512)
    rng = np.random.default_rng(0)
    maps: dict[tuple[int, int], Maps] = {}
    for file in few:
        height, width = read(file)[0].shape[:2]
        grid = geometry.of_plan(width, height, plan)
        if grid.shape not in maps:
            places = rng.uniform(0.2, 0.8, (args.people, 1, 2)) + rng.normal(0, 0.06, (args.people, 17, 2))
            persons = [np.column_stack((place * (width, height), np.full(17, 2))) for place in places.clip(0, 1)]
            passes = synthesise(persons, grid, rng, clutter=6 if args.people else 0)
            first, second = (np.stack(outputs) for outputs in zip(*passes, strict=True))
            maps[grid.shape] = first, second  # the same memory for both: untouched zeros are read faster
    files = list(itertools.islice(itertools.cycle(few), args.count))
    threads = max(workers.cores(), 2)
    rates: dict[str, list[float]] = {"stream": [], "parts": []}
    backend = Instant(maps, args.batch)
    with Stream(backend, plan, OPTIONS, threads=threads) as stream, ThreadPoolExecutor(threads) as pool:
        for number in range(args.rounds + 1):
            start = time.perf_counter()
            found = [len(one.people or ()) for one in stream.run(asked(files))]
            middle = time.perf_counter()
            expected = list(pool.map(partial(alone, plan=plan, maps=maps), files))
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
