"""Generated scenes with several articulated figures, written in COCO's layout.

    python3 -m demo.scenes --output data/demo --images 40 --seed 1

Every scene is a function of its split, seed and index alone. Training and written sets are different splits, so a
written scene was never trained on, whatever its seed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from demo.backdrop import background, obstacle
from demo.canvas import Canvas, Floats
from demo.figure import GROUPS, Body, draw, keypoints, random_body, random_look
from higherhrnet.artifacts import outputs
from higherhrnet.dataset import joints
from higherhrnet.errors import UserError

WRITTEN, TRAINING = 0, 1
"""The two splits."""

_OBJECT = 255  # owner of what stands in front of people
_SIDES = tuple(range(512, 1025, 64))  # long sides of the input shapes at short side 512
_MOST_PEOPLE = 6
_COUNTS, _CROWD_COUNTS = (0.34, 0.4, 0.18, 0.05, 0.02, 0.01), (0.08, 0.27, 0.25, 0.2, 0.12, 0.08)
_CROWD_DISTANCE = 0.65  # of the distance elsewhere


@dataclass(frozen=True)
class Person:
    """``keypoints`` [17, 3]: x, y in pixels, COCO's flag (2 visible, 1 hidden, 0 not in the image, then x = y = 0).

    ``bbox`` x, y, width, height and ``area`` in pixels are of the silhouette inside the image, hidden parts included.
    """

    keypoints: Floats
    bbox: tuple[float, float, float, float]
    area: float


@dataclass(frozen=True)
class Scene:
    """``image`` uint8 [h, w, 3] BGR and its people, farthest first."""

    image: NDArray[np.uint8]
    people: tuple[Person, ...]


def generator(split: int, seed: int, index: int) -> np.random.Generator:
    """The random numbers of one scene."""
    return np.random.default_rng([split, seed, index])


def scene(
    rng: np.random.Generator,
    *,
    obstacles: float = 0.15,
    sizes: tuple[float, float] = (0.38, 0.92),
    crowd: bool = False,
) -> Scene:
    """Draw one scene of 1 to 6 people; equal random numbers give equal bytes.

    Parameters
    ----------
    obstacles : expected number of objects that stand in front of each person
    sizes : smallest and largest standing height, as fractions of the image's short side
    crowd : more people, closer together
    """
    width, height = _image_size(rng)
    angle = rng.uniform(np.pi * 1.2, np.pi * 1.8)  # the light comes from above
    image, horizon = background(rng, width, height)
    canvas = Canvas(image, np.zeros((height, width), np.uint8), np.array([np.cos(angle), np.sin(angle)]))

    placed = sorted(_place(rng, width, height, horizon, sizes, crowd), key=lambda p: p[1][1])
    silhouettes = []
    first_hue = rng.integers(180)
    for number, (body, at) in enumerate(placed):
        first_tag = 1 + number * GROUPS
        draw(canvas, body, random_look(rng, int(first_hue + number * 180 / len(placed)) % 180), at, first_tag, rng)
        silhouettes.append(_extent(canvas.owner, first_tag))
        for _ in range(rng.poisson(obstacles)):
            beside = np.array([rng.normal(0, 0.22), rng.uniform(0.01, 0.1)])
            obstacle(rng, canvas, at + beside * body.height, body.height, _OBJECT)

    people = []
    for number, ((body, at), (bbox, area)) in enumerate(zip(placed, silhouettes, strict=True)):
        found = keypoints(body, at, canvas.owner, 1 + number * GROUPS)
        if found[:, 2].any() and area:
            people.append(Person(found, bbox, area))
    return Scene(_develop(rng, canvas.image), tuple(people))


def _image_size(rng: np.random.Generator) -> tuple[int, int]:
    short = int(rng.integers(400, 561))
    side = _SIDES[rng.choice(len(_SIDES), p=np.array([2, 3, 4, 4, 3, 2, 2, 1.5, 1.5]) / 23)]
    long = int(short * (side - rng.uniform(2, 62)) / 512) if side > 512 else short
    return (max(long, short), short) if rng.random() < 0.55 else (short, max(long, short))


def _place(
    rng: np.random.Generator, width: int, height: int, horizon: float, sizes: tuple[float, float], crowd: bool
) -> list[tuple[Body, Floats]]:
    """Choose poses and places: near people are larger and lower; nobody hides most of somebody else."""
    short = min(width, height)
    count = int(rng.choice(np.arange(1, _MOST_PEOPLE + 1), p=_CROWD_COUNTS if crowd else _COUNTS))
    half = 0.5 * (_CROWD_DISTANCE if crowd else 1.0)  # the distance goes with the mean of two people's heights
    largest = sizes[1] if count <= 2 else sizes[0] + (sizes[1] - sizes[0]) * (0.85, 0.7, 0.6, 0.5)[count - 3]
    placed: list[tuple[Body, Floats]] = []
    for _ in range(count):
        for _ in range(12):
            size = float(np.exp(rng.uniform(np.log(sizes[0]), np.log(largest))))
            body = random_body(rng, size * short)
            ground = height - horizon
            low = horizon + ground * (0.25 + 0.7 * size / sizes[1]) + rng.normal(0, 0.06) * ground
            at = np.array([rng.uniform(0.04, 0.96) * width, np.clip(low, horizon + 5, height * 1.04)])
            if all(abs(at[0] - p[0]) > rng.uniform(0.4, 0.8) * half * (body.height + b.height) for b, p in placed):
                placed.append((body, at))
                break
    return placed


def _extent(owner: NDArray[np.uint8], first_tag: int) -> tuple[tuple[float, float, float, float], float]:
    """Bounding box and area of a figure that was drawn a moment ago, so nothing hides it yet."""
    own = (owner >= first_tag) & (owner < first_tag + GROUPS)
    columns, rows = np.flatnonzero(own.any(0)), np.flatnonzero(own.any(1))
    if not len(columns):
        return (0.0, 0.0, 0.0, 0.0), 0.0
    x, y = float(columns[0]), float(rows[0])
    return (x, y, float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)), float(own.sum())


def _develop(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a camera does: white balance, exposure, a little blur and noise."""
    sigma = rng.uniform(0, 0.9)
    taken = cv2.GaussianBlur(image, (3, 3), sigma) if sigma > 0.35 else image
    gain = rng.uniform(0.85, 1.2) * rng.uniform(0.93, 1.07, 3)
    gamma = rng.uniform(0.75, 1.15)
    levels = np.arange(256) / 255.0
    table = np.clip(255 * gain * levels[:, None] ** gamma, 0, 255).astype(np.uint8)
    taken = cv2.LUT(taken, table[None])
    height, width = image.shape[:2]
    # One tile of noise, repeated: fresh noise for every pixel would take longer than all the drawing.
    tile = np.round(rng.normal(0, rng.uniform(0.5, 5), (97, 101, 3))).astype(np.int16)
    noise = np.tile(tile, (height // 97 + 1, width // 101 + 1, 1))[:height, :width]
    return cv2.add(taken, noise, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def coco_person(person: Person, *, image_id: int, annotation_id: int) -> dict:
    """One entry of COCO's ``annotations``."""
    flat = [round(float(v), 2) if i % 3 < 2 else int(v) for i, v in enumerate(person.keypoints.ravel())]
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": flat,
        "num_keypoints": int((person.keypoints[:, 2] > 0).sum()),
        "bbox": list(person.bbox),
        "area": person.area,
        "iscrowd": 0,
        "segmentation": [],
    }


def write(root: str | os.PathLike[str], *, images: int, seed: int, obstacles: float = 0.15) -> Path:
    """Write ``images`` scenes in COCO's layout under ``root`` (ids from 1); return the annotation file.

    ROOT/images/val2017/{id:012d}.jpg and ROOT/annotations/person_keypoints_val2017.json.
    """
    root = Path(root)
    outputs.claim_folder(root, "--output", "generated scenes")
    pictures, notes = root / "images/val2017", root / "annotations"
    pictures.mkdir(parents=True, exist_ok=True)
    notes.mkdir(parents=True, exist_ok=True)
    image_entries: list[dict] = []
    people: list[dict] = []
    for number in tqdm(range(1, images + 1), desc="scenes", unit="image", disable=None):
        drawn = scene(generator(WRITTEN, seed, number), obstacles=obstacles)
        height, width = drawn.image.shape[:2]
        name = f"{number:012d}.jpg"
        if not cv2.imwrite(str(pictures / name), drawn.image, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"cannot write {pictures / name}; is the disk full?")
        image_entries.append({"id": number, "file_name": name, "width": width, "height": height})
        people += [
            coco_person(p, image_id=number, annotation_id=len(people) + i) for i, p in enumerate(drawn.people, start=1)
        ]
    skeleton = [[a + 1, b + 1] for a, b in joints.COCO.limbs]
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": joints.COCO.names,
        "skeleton": skeleton,
    }
    content = {"info": {"description": f"generated scenes, seed {seed}"}, "licenses": [], "images": image_entries}
    content |= {"annotations": people, "categories": [category]}
    target = notes / "person_keypoints_val2017.json"
    partial = target.with_suffix(".tmp")
    partial.write_text(json.dumps(content))
    partial.replace(target)
    return target


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python3 -m demo.scenes", description=(__doc__ or "").split("\n", 1)[0])
    p.add_argument("--output", required=True, type=Path, metavar="DIR", help="where images/ and annotations/ go")
    p.add_argument("--images", type=int, default=40, metavar="N", help="how many scenes (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1, metavar="S", help="which scenes, >= 0 (default: %(default)s)")
    return p


def main(argv: list[str] | None = None) -> int:
    """Write a set of scenes; return the exit status."""
    p = parser()
    args = p.parse_args(argv)
    if args.images < 1 or args.seed < 0:
        p.error(f"--images must be at least 1 and --seed at least 0, found {args.images} and {args.seed}")
    try:
        target = write(args.output, images=args.images, seed=args.seed)
    except (OSError, UserError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    print(f"{args.images} scenes, annotations in {target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
