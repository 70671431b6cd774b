"""Two runs' dumps compared: the outputs' values, the people decoded from them, and their average precision.

The first run is the reference: float32 for float16, for example, or single images for batches of eight.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from higherhrnet.artifacts import claim, dumps, models, seen, sources
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, ground_truth
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.stages import causes, dump_sources, postprocess
from higherhrnet.system import workers

_PASSES = (
    ("output1 heat", "output1 tags", "output2"),
    ("flip output1 heat", "flip output1 tags", "flip output2"),
)
_WIDTH = max(len(name) for names in _PASSES for name in names)


@dataclass(frozen=True)
class Difference:
    """How one output differs over all images, in float64."""

    output: str
    largest: float
    """Largest absolute difference."""
    mean: float
    """Mean absolute difference."""
    relative: float
    """The largest over the reference's largest absolute value."""
    cosine: float
    """Cosine similarity of all values as one vector; 1 where both are zero everywhere."""


@dataclass(frozen=True)
class People:
    """How the people differ.

    Two are one person where they are within the distance, nearest first, each once; of the others where each is the
    other's nearest in its image.
    """

    reference: int
    other: int
    same: int
    """Pairs whose keypoints are all within the distance asked for."""
    moved: int
    """Pairs of which one keypoint or more is not."""
    images: int
    """Images with people that moved, came or went."""
    shift: float
    """The largest distance of a pair's keypoints, in image pixels."""

    @property
    def changed(self) -> int:
        """People that moved, came or went."""
        return self.moved + (self.reference - self.same - self.moved) + (self.other - self.same - self.moved)


@dataclass(frozen=True)
class Comparison:
    """What comparing two runs found."""

    images: int
    differences: tuple[Difference, ...]
    people: People | None
    """None where values are not finite: nothing can be decoded then."""
    figures: tuple[dict[str, float], dict[str, float]] | None
    """The ten figures of both."""
    causes: causes.Causes | None = None
    """Why images have other people; None where values are not finite."""


def flip_of(dump_dir: Path) -> Path:
    """The dumps of the mirrored inputs beside those of the plain ones: DIR_flip, the benchmark stage's name.

    Raises UserError: there is no such directory.
    """
    dump_dir = dump_dir.absolute()
    if not dump_dir.name:
        raise UserError(f"{dump_dir} is no directory of dumps; compare directories of HigherHRNet_benchmark.py")
    flip = dump_dir.with_name(f"{dump_dir.name}_flip")
    if not flip.is_dir():
        raise UserError(f"{dump_dir} has no {flip.name} beside it; compare directories of HigherHRNet_benchmark.py")
    return flip


def run(
    dataset: coco.Dataset,
    reference: Path,
    other: Path,
    *,
    short_side: int,
    heads: dumps.Heads,
    options: Options,
    people: ground_truth.People | None = None,
    pool: workers.Pool,
    distance: float,
) -> Comparison:
    """Compare two dump directories and the flipped ones beside them.

    Parameters
    ----------
    people : as what annotated people are evaluated; COCO's by default
    distance : image pixels that a keypoint may move while its person stays the same

    Raises UserError: dumps that are missing or damaged, of other images than the reference's, or the reference's own.
    """
    pairs = [(reference, other), (flip_of(reference), flip_of(other))]
    for first, second in pairs:
        if models.same_file(first, second):
            raise UserError(f"{first} and {second} are one directory; give the dumps of two runs")
    stamps = seen.look(file for pair in pairs for folder in pair for file in _dumps(folder))
    differences: list[Difference] = []
    images = 0
    for names, (first, second) in zip(_PASSES, pairs, strict=True):
        found, images = _outputs(dataset, first, second, names, short_side, heads)
        differences += found
    if not all(np.isfinite(d.largest) for d in differences):
        seen.check(stamps, stamps, "dump")
        return Comparison(images, tuple(differences), None, None)
    results, figures = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, plain in (("reference", reference), ("other", other)):
            file = Path(folder, name, "results.json")
            evaluated = people or ground_truth.People()
            job = postprocess.PostprocessJob(
                plain, flip_of(plain), Plan(short_side), heads, options, file, people=evaluated
            )
            summary = postprocess.run(dataset, job, pool)
            assert summary.figures is not None, "a COCO data set is evaluated"
            figures.append(summary.figures)
            results.append(sources.read_json(file, "results"))
    moved = compare_people(results[0], results[1], distance=distance)

    def differ(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> int:
        return compare_people(a, b, distance=distance).changed

    both = [tuple(dump_sources.open_one(d, dumps.find(d)[1]) for d in pair) for pair in zip(*pairs, strict=True)]
    why = causes.find(dataset, both[0], both[1], Plan(short_side), heads, options, differ)
    seen.check(stamps, stamps, "dump")
    return Comparison(images, tuple(differences), moved, (figures[0], figures[1]), why)


def _dumps(folder: Path) -> list[Path]:
    """All dumps in a folder; none where there is no such folder, which is said when it is read."""
    return [file for file in folder.iterdir() if dumps.is_dump(file)] if folder.is_dir() else []


class Sums:
    """Running sums over an output's values, image by image, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = self.total = self.peak = self.dot = self.norm_a = self.norm_b = 0.0

    def add(self, reference: np.ndarray, other: np.ndarray) -> None:
        """Add one image's values. NaN and infinity stay in every sum that they enter."""
        a, b = reference.astype(np.float64).ravel(), other.astype(np.float64).ravel()
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            difference = np.abs(a - b)
        self.count += difference.size
        self.largest = float(np.maximum(self.largest, difference.max()))  # which keeps NaN, as max() would not
        self.peak = float(np.maximum(self.peak, np.abs(a).max()))
        self.total += float(difference.sum())
        self.dot += float(a @ b)
        self.norm_a += float(a @ a)
        self.norm_b += float(b @ b)

    def difference(self, output: str) -> Difference:
        """The difference over all images added."""
        norms = float(np.sqrt(self.norm_a) * np.sqrt(self.norm_b))
        cosine = self.dot / norms if norms else float(self.norm_a == self.norm_b)
        relative = self.largest / self.peak if self.peak else self.largest
        return Difference(output, self.largest, self.total / self.count, relative, cosine)


def _outputs(
    dataset: coco.Dataset, first: Path, second: Path, names: Sequence[str], short_side: int, heads: dumps.Heads
) -> tuple[list[Difference], int]:
    """The differences of a pass's two outputs, and the number of images."""
    (indices, naming), (others, other_naming) = dumps.find(first), dumps.find(second)
    if indices != others:
        missing = sorted(set(indices) ^ set(others))
        raise UserError(
            f"{first} and {second} are of different images: {len(missing)} are in one of them only, the first is "
            f"{missing[0]:012d}; compare runs over the same images"
        )
    if indices[-1] >= len(dataset.images):
        raise UserError(f"{first}: found a dump of image {indices[-1]}, but {dataset.annotations} lists "
                        f"{len(dataset.images)}; give the data set the dumps are of")  # fmt: skip
    dtypes = [
        dumps.FLOAT32 if made is None else made.work.dtype
        for made in (claim.read(directory, DumpsWork) for directory in (first, second))
    ]
    largest = dumps.output_shapes(geometry.shape_grid(short_side)[0], heads)
    heat, tags, half = sums = [Sums() for _ in names]
    for index in tqdm(indices, desc="compare", unit="image", disable=None):
        image = dataset.images[index]
        shapes = dumps.output_shapes(geometry.fit(image.width, image.height, short_side).shape, heads)
        files = naming.paths(first, index), other_naming.paths(second, index)
        for k in (0, 1):
            a, b = (
                dumps.read(pair[k], shapes[k], largest[k], dtype) for pair, dtype in zip(files, dtypes, strict=True)
            )
            if k:
                half.add(a, b)
            else:  # its heatmaps are of 0 to 1, its tags of tens
                heat.add(a[: heads.joints], b[: heads.joints])
                tags.add(a[heads.joints :], b[heads.joints :])
    return [output.difference(name) for name, output in zip(names, sums, strict=True)], len(indices)


def compare_people(reference: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], *, distance: float) -> People:
    """Compare two lists of results entries, image by image."""
    same = moved = images = 0
    shift = 0.0
    by_image = [_by_image(entries) for entries in (reference, other)]
    for image_id in by_image[0] | by_image[1]:
        a, b = (found.get(image_id, np.empty((0, 0, 2))) for found in by_image)
        shifts = []
        if len(a) and len(b):
            # [P, Q]: the farthest that a keypoint of person p is from the same one of person q.
            farthest = np.stack([np.linalg.norm(b - person, axis=2).max(axis=1) for person in a])
            shifts = _pairs(farthest, distance)
        within = sum(found <= distance for found in shifts)
        same += within
        moved += len(shifts) - within
        images += not within == len(a) == len(b)
        shift = max([shift, *shifts])
    return People(len(reference), len(other), same, moved, images, shift)


def _pairs(farthest: np.ndarray, distance: float) -> list[float]:
    """The distances [P, Q] of those that are one person, see People: some people are found twice, at one place."""
    shifts = []
    left = farthest.copy()
    while left.size and left.min() <= distance:
        p, q = np.unravel_index(left.argmin(), left.shape)
        shifts.append(float(left[p, q]))
        left = np.delete(np.delete(left, p, axis=0), q, axis=1)
    if left.size:
        nearest = left.argmin(axis=1)
        shifts += [float(left[p, q]) for p, q in enumerate(nearest) if left[:, q].argmin() == p]
    return shifts


def _by_image(entries: Sequence[dict[str, Any]]) -> dict[int, np.ndarray]:
    """Keypoints [P, K, 2] (x, y) in image pixels, by image id."""
    found: dict[int, list[np.ndarray]] = {}
    for entry in entries:
        found.setdefault(entry["image_id"], []).append(np.array(entry["keypoints"], np.float64).reshape(-1, 3)[:, :2])
    return {image_id: np.stack(people) for image_id, people in found.items()}


def problems(found: Comparison, *, tolerance: float, ap_tolerance: float) -> list[str]:
    """What is beyond the tolerances, in words; NaN always is."""
    said = [
        f"{d.output} differs by {d.relative:.3g} of the largest value, at most {tolerance:g} is allowed"
        for d in found.differences
        if not d.relative <= tolerance
    ]
    if found.figures is not None:
        first, second = (figures["AP"] for figures in found.figures)
        if not abs(first - second) <= ap_tolerance:
            said.append(f"AP is {second:.3f} instead of {first:.3f}, at most {ap_tolerance:g} apart is allowed")
    return said


def text(found: Comparison, *, distance: float) -> str:
    """The comparison as lines to print."""
    lines = [f"{found.images} images, the plain pass and the flipped one"]
    lines += [
        f"{d.output:<{_WIDTH}} largest difference {d.largest:.3g} ({d.relative:.3g} of the largest value), mean "
        f"{d.mean:.3g}, cosine similarity {d.cosine:.9f}"
        for d in found.differences
    ]
    if found.people is None or found.figures is None:
        return "\n".join([*lines, "people: not compared, there are values that are NaN or infinite"])
    p = found.people
    lines.append(
        f"people: {p.reference} and {p.other}, {p.same} the same within {distance:g} pixels, {p.moved} moved, "
        f"{p.reference - p.same - p.moved} gone, {p.other - p.same - p.moved} new, in {p.images} images; largest shift "
        f"of a keypoint {p.shift:.3g} pixels"
    )
    if found.causes is not None and found.causes.images:
        lines.append(found.causes.text())
    first, second = (figures["AP"] for figures in found.figures)
    lines.append(f"AP: {first:.4f} and {second:.4f}")
    return "\n".join(lines)
