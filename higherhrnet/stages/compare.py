"""Two runs' dumps compared: the outputs' values, the people decoded from them, and their average precision.

The first run is the reference: float32 for float16, for example, or single images for batches of eight.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from higherhrnet.artifacts import atomic, claim, dumps, models, seen
from higherhrnet.artifacts.work import DumpsWork, differences
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, ground_truth
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.stages import causes, dump_sources, postprocess
from higherhrnet.stages.causes import Changes, Explained, Runs
from higherhrnet.stages.matches import Matches, match
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
    """How the people differ; who is whom is stages.matches' to say."""

    reference: int
    other: int
    same: int
    """Pairs that share all keypoints, within the distance asked for."""
    moved: int
    """Pairs of which one keypoint or more moved farther, or is one run's alone."""
    images: int
    """Images with people that moved, came or went."""
    shift: float
    """The largest distance of a pair's keypoints, in image pixels."""

    @classmethod
    def of(cls, images: Iterable[tuple[tuple[int, int], Matches]]) -> People:
        """Sum up images: how many people each run found, and who is whom."""
        total = cls(0, 0, 0, 0, 0, 0.0)
        for (reference, other), matches in images:
            moved = len(matches.moved)
            total = cls(
                total.reference + reference,
                total.other + other,
                total.same + len(matches.pairs) - moved,
                total.moved + moved,
                total.images + bool(matches.changed),
                max([total.shift, *(pair.shift for pair in matches.pairs)]),
            )
        return total

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
    changes: Changes | None = None
    """Who changed, and why; None where values are not finite."""


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
    names: tuple[str, ...],
    protocol: ground_truth.EvaluationProtocol | None = None,
    pool: workers.Pool,
    distance: float,
    named: int,
) -> Comparison:
    """Compare two dump directories and the flipped ones beside them.

    Parameters
    ----------
    names : of the network's joints
    protocol : as what annotated people are evaluated; COCO's by default
    distance : image pixels that a keypoint may move while its person stays the same
    named : how many of those who changed are named at most

    Raises UserError: dumps that are missing or damaged, of other images than the reference's, or the reference's own.
    """
    pairs = [(reference, other), (flip_of(reference), flip_of(other))]
    for first, second in pairs:
        if models.same_file(first, second):
            raise UserError(f"{first} and {second} are one directory; give the dumps of two runs")
        _check_pictures(first, second)
    stamps = seen.look(file for pair in pairs for folder in pair for file in _dumps(folder))
    differences: list[Difference] = []
    images = 0
    for outputs, (first, second) in zip(_PASSES, pairs, strict=True):
        found, images = _outputs(dataset, first, second, outputs, short_side, heads)
        differences += found
    if not all(np.isfinite(d.largest) for d in differences):
        seen.check(stamps, stamps, "dump")
        return Comparison(images, tuple(differences), None, None)
    plan = Plan(short_side)
    figures = tuple(_figures(dataset, plain, plan, heads, options, protocol, pool) for plain in (reference, other))
    both = [tuple(dump_sources.open_one(d, dumps.find(d)[1]) for d in pair) for pair in zip(*pairs, strict=True)]
    runs = Runs(both[0], both[1], plan, heads, options, names, distance)
    moved, changes = _explained(runs, [dataset.images[index] for index in dumps.find(reference)[0]], pool, named)
    seen.check(stamps, stamps, "dump")
    return Comparison(images, tuple(differences), moved, (figures[0], figures[1]), changes)


def _check_pictures(first: Path, second: Path) -> None:
    """Refuse dumps of other pictures, or of pictures turned otherwise: that would be taken for the network's doing."""
    a, b = (None if made is None else made.work.inputs for made in (claim.read(d, DumpsWork) for d in (first, second)))
    if a is None or b is None:
        return
    found = differences(b, a)
    if different := [d for d in found if d.name == "work.exif" or (d.name == "pictures" and d.found and d.wanted)]:
        raise UserError(f"{second} is not of what {first} is: {claim.reasons(different)}; compare runs of equal inputs")


def _dumps(folder: Path) -> list[Path]:
    """All dumps in a folder; none where there is no such folder, which is said when it is read."""
    return [file for file in folder.iterdir() if dumps.is_dump(file)] if folder.is_dir() else []


def _figures(
    dataset: coco.Dataset,
    plain: Path,
    plan: Plan,
    heads: dumps.Heads,
    options: Options,
    protocol: ground_truth.EvaluationProtocol | None,
    pool: workers.Pool,
) -> dict[str, float]:
    """The figures of a run's people."""
    with atomic.temporary_folder() as folder:
        file, evaluated = folder / "results.json", protocol or ground_truth.EvaluationProtocol()
        job = postprocess.PostprocessJob(plain, flip_of(plain), plan, heads, options, file, protocol=evaluated)
        figures = postprocess.run(dataset, job, pool).figures
    assert figures is not None, "a COCO data set is evaluated"
    return figures


def _explained(runs: Runs, images: Sequence[coco.Image], pool: workers.Pool, named: int) -> tuple[People, Changes]:
    """Count and explain image by image; of all people no more than ``named`` are kept."""
    counts: Counter[tuple[str, str]] = Counter()
    kept: list[causes.Change] = []

    def each() -> Iterable[tuple[tuple[int, int], Matches]]:
        found: Explained
        for found in tqdm(
            pool.map(partial(causes.explain, runs), images),
            desc="explain",
            total=len(images),
            unit="image",
            disable=None,
        ):
            counts.update(found.counts)
            kept[:] = heapq.nsmallest(named, [*kept, *found.changes], key=attrgetter("order"))
            yield found.people, found.matches

    people = People.of(each())
    return people, Changes(counts, tuple(kept))


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


def compare_people(
    reference: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], sigmas: Sequence[float], *, distance: float
) -> People:
    """Compare two lists of results entries, image by image; ``sigmas`` are of the joints."""
    ours, theirs = _by_image(reference), _by_image(other)
    nobody = next(iter([*ours.values(), *theirs.values()]), np.empty((0, 0, 3)))[:0]
    pairs = ((ours.get(image, nobody), theirs.get(image, nobody)) for image in sorted(ours.keys() | theirs.keys()))
    return People.of(((len(a), len(b)), match(a, b, sigmas, distance=distance)) for a, b in pairs)


def _by_image(entries: Sequence[dict[str, Any]]) -> dict[int, np.ndarray]:
    """Keypoints [P, K, 3] (x, y in image pixels, value) by image id."""
    found: dict[int, list[np.ndarray]] = {}
    for entry in entries:
        found.setdefault(entry["image_id"], []).append(np.array(entry["keypoints"], np.float64).reshape(-1, 3))
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
    changes = found.changes
    if changes is not None and changes.total:
        lines.append(changes.summary())
    first, second = (figures["AP"] for figures in found.figures)
    lines.append(f"AP: {first:.4f} and {second:.4f}")
    return "\n".join([*lines, *([] if changes is None else changes.text())])
