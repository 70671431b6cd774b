"""A short drawn video: two figures cross, and something passes in front of a third for two frames.

    python3 -m demo.clip --output clip.mp4

Equal seeds give equal pictures.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.backdrop import background
from demo.canvas import Canvas, Floats, box
from demo.figure import GROUPS, draw, keypoints, random_body, random_look
from demo.scenes import generator
from higherhrnet.artifacts import atomic, outputs
from higherhrnet.cli import program

KIND = "a drawn video"
FRAMES, RATE = 24, 12
"""How many, and how many a second."""
WIDTH, HEIGHT = 640, 480
HIDDEN = (9, 10)
"""Frames in which something is in front of the third figure."""
_SPLIT = 3  # of the random numbers: not those of scenes to train on, nor of held-out ones
_VAN = 200  # owns its pixels, as no figure's part does
_STANDING = 0.5  # of the picture's height


@dataclass(frozen=True)
class Frame:
    """RGB uint8 [h, w, 3], and the three figures' joints [3, 17, 3], x, y and COCO's flag."""

    pixels: NDArray[np.uint8]
    people: Floats


def frames(seed: int = 0) -> Iterator[Frame]:
    """The video's frames, one after another."""
    rng = generator(_SPLIT, seed, 0)
    scenery, _ = background(rng, WIDTH, HEIGHT)
    bodies = [random_body(rng, _STANDING * HEIGHT) for _ in range(3)]
    looks = [random_look(rng, hue) for hue in (10, 70, 130)]
    details = rng.integers(1 << 32)
    for number in range(FRAMES):
        share = number / (FRAMES - 1)
        step = 4 * abs(np.sin(number * np.pi / 4))  # up and down with each step
        places = [
            np.array([WIDTH * (0.12 + 0.5 * share), 0.86 * HEIGHT - step]),
            np.array([WIDTH * (0.62 - 0.5 * share), 0.94 * HEIGHT - step]),
            np.array([WIDTH * 0.86, 0.88 * HEIGHT]),
        ]
        canvas = Canvas(scenery.copy(), np.zeros((HEIGHT, WIDTH), np.uint8), np.array([-0.6, -0.8]))
        pattern = np.random.default_rng(details)
        for index in (0, 2, 1):  # from the back to the front
            draw(canvas, bodies[index], looks[index], places[index], 1 + index * GROUPS, pattern)
        if number in HIDDEN:
            canvas.fill(box(0.72 * WIDTH, 0.2 * HEIGHT, WIDTH, HEIGHT), (120, 110, 100), _VAN)
        people = np.array([keypoints(bodies[i], places[i], canvas.owner, 1 + i * GROUPS) for i in range(len(bodies))])
        yield Frame(cv2.cvtColor(canvas.image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), people)


def write(path: Path, seed: int = 0) -> None:
    """Write the video, with our mark at its beginning. It needs PyAV. Raises UserError for a file of others."""
    import av  # noqa: PLC0415  # an extra

    outputs.check(path, "--output", ours=outputs.marked(KIND), overwrite=None)
    front = {"movflags": "faststart"}
    with atomic.writing(path) as file, av.open(os.fspath(file), "w", format="mp4", options=front) as output:
        output.metadata["comment"] = outputs.mark(KIND)
        stream: Any = output.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames(seed):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        output.mux(stream.encode(None))


def main(argv: Sequence[str] | None = None) -> None:
    """Write a video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the video, .mp4")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(argv)
    write(options.output, options.seed)
    print(f"{FRAMES} frames of {WIDTH}x{HEIGHT}: {options.output}")


if __name__ == "__main__":
    raise SystemExit(program.run(main))
