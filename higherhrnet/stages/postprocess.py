"""Stage 5: dumps to people, the results file and the ten figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from higherhrnet import coco, draw, geometry, preprocess, workers
from higherhrnet.decode import Options, decode
from higherhrnet.errors import UserError
from higherhrnet.files import atomic, dumps, record


@dataclass(frozen=True)
class Summary:
    """What a run of the stage found."""

    images: int
    dataset_images: int
    people: int
    figures: dict[str, float]
    """The ten figures by name, over ``images`` images."""
    results: Path


@dataclass(frozen=True)
class _Job:
    directories: tuple[Path, Path]
    naming: tuple[dumps.Naming, dumps.Naming]
    short_side: int
    joints: int
    options: Options


def run(
    dataset: coco.Dataset,
    dump_dir: Path,
    dump_dir_flip: Path,
    *,
    short_side: int,
    joints: int,
    options: Options,
    results: Path,
    processes: int,
) -> Summary:
    """Decode all dumps of a run, write the people as a COCO results file, and evaluate it.

    Where the dumps are of some of the data set's images only, the figures are over those.

    Raises
    ------
    UserError : dumps that are missing, unfinished, damaged or of another data set, network or pass
    """
    directories = dump_dir, dump_dir_flip
    found = [dumps.find(directory) for directory in directories]
    indices = _check(dataset, directories, [indices for indices, _ in found], short_side)
    job = _Job(directories, (found[0][1], found[1][1]), short_side, joints, options)
    images = [dataset.images[index] for index in indices]
    entries: list[dict[str, Any]] = []
    for people in tqdm(
        workers.ordered_map(partial(_decode, job), images, processes),
        total=len(images),
        desc="decode",
        unit="image",
        disable=None,
    ):
        entries.extend(people)
    atomic.make_directory(results.parent)
    coco.write_results(results, entries)
    figures = coco.evaluate(dataset, results, [image.image_id for image in images])
    return Summary(len(images), len(dataset.images), len(entries), figures, results)


def _check(
    dataset: coco.Dataset, directories: tuple[Path, Path], found: Sequence[list[int]], short_side: int
) -> list[int]:
    """The indices to decode, ascending, after all that can be checked without reading a dump."""
    expected: set[int] = set().union(*found)
    records = [record.read(directory, record.DumpsRecord) for directory in directories]
    for directory, made, flip in zip(directories, records, (False, True), strict=True):
        if made is None:
            continue
        if not made.complete:
            raise UserError(f"{directory} is unfinished; run HigherHRNet_benchmark.py again, it goes on by itself")
        if made.flip != flip:
            raise UserError(
                f"{directory} holds dumps of the {'flipped' if made.flip else 'plain'} inputs; exchange --dump_dir and "
                f"--dump_dir_flip"
            )
        if made.inputs is not None and made.inputs.get("dataset") != dataset.fingerprint:
            raise UserError(
                f"{directory} holds dumps of another data set than {dataset.annotations}; give that one with "
                f"DATASET.ROOT and DATASET.TEST"
            )
        if made.inputs is not None and made.inputs.get("short_side") != short_side:
            raise UserError(
                f"{directory} holds dumps of inputs of short side {made.inputs.get('short_side')}, the config says "
                f"DATASET.INPUT_SIZE {short_side}; give the --cfg that preprocessing had"
            )
        expected |= set(made.indices)
    plain, flipped = records
    if plain is not None and flipped is not None and plain.model != flipped.model:
        raise UserError(f"{directories[0]} and {directories[1]} are of two models; run HigherHRNet_benchmark.py again")
    if max(expected) >= len(dataset.images):
        raise UserError(
            f"{directories[0]}: found a dump of image {max(expected)}, but {dataset.annotations} lists "
            f"{len(dataset.images)} images (0 to {len(dataset.images) - 1}); give the data set the dumps are of"
        )
    for directory, present in zip(directories, found, strict=True):
        if missing := sorted(expected.difference(present)):
            raise UserError(
                f"{directory}: no dumps of {len(missing)} of {len(expected)} images, the first is {missing[0]:012d}; "
                f"run HigherHRNet_benchmark.py again"
            )
    return sorted(expected)


def _decode(job: _Job, image: coco.Image) -> list[dict[str, Any]]:
    """One image's people as results entries."""
    grid = geometry.fit(image.width, image.height, job.short_side)
    shapes = dumps.output_shapes(grid.shape, job.joints)
    largest = dumps.output_shapes(geometry.shape_grid(job.short_side)[0], job.joints)
    files = [naming.paths(d, image.index) for d, naming in zip(job.directories, job.naming, strict=True)]
    arrays = [
        [dumps.read(file, shape, whole) for file, shape, whole in zip(pair, shapes, largest, strict=True)]
        for pair in files
    ]
    try:
        people = decode((arrays[0][0], arrays[0][1]), (arrays[1][0], arrays[1][1]), job.options)
    except ValueError as e:
        for pair, values in zip(files, arrays, strict=True):
            for file, array in zip(pair, values, strict=True):
                if not np.isfinite(array).all():
                    raise UserError(
                        f"dump {file}: {int((~np.isfinite(array)).sum())} of {array.size} values are NaN or infinite; "
                        f"check the model's precision, then run HigherHRNet_benchmark.py again"
                    ) from e
        raise
    keypoints = people.keypoints.copy()
    keypoints[:, :, :2] = grid.to_image(people.keypoints[:, :, :2])
    return coco.results(image.image_id, keypoints, people.scores)


def draw_results(
    dataset: coco.Dataset,
    results: Path,
    *,
    root: str,
    split: str,
    output: Path,
    count: int,
    min_score: float,
) -> list[Path]:
    """Draw the people of a results file on the first ``count`` images that have any; return the pictures' paths.

    Only people with a score of at least ``min_score`` are drawn: evaluation wants every candidate, a picture does not.

    Raises
    ------
    UserError : an image that cannot be read, or an output directory that cannot be written
    """
    by_image: dict[int, list[Any]] = {}
    for entry in atomic.read_json(results, "results"):
        if entry["score"] < min_score:
            continue
        by_image.setdefault(entry["image_id"], []).append(entry["keypoints"])
    atomic.make_directory(output)
    pictures = []
    shown = [image for image in dataset.images if image.image_id in by_image][:count]
    for image in tqdm(shown, desc="draw", unit="image", disable=None):
        pixels = cv2.cvtColor(preprocess.read_image(coco.image_file(root, split, image)), cv2.COLOR_RGB2BGR)
        keypoints = np.array(by_image[image.image_id]).reshape(-1, len(by_image[image.image_id][0]) // 3, 3)
        drawn = draw.draw_people(pixels, keypoints)
        pictures.append(output / f"{Path(image.file_name).stem}.jpg")
        atomic.write_bytes(pictures[-1], cv2.imencode(".jpg", drawn)[1])
    return pictures
