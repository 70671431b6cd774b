"""The report of a results file: a page, and its numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import higherhrnet
from higherhrnet.artifacts import atomic, claim, outputs, perf, sources
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, joints
from higherhrnet.dataset.shards import Shard
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from higherhrnet.report import speed
from higherhrnet.report.analysis import numbers, people
from higherhrnet.report.analysis.numbers import Amount, Study
from higherhrnet.report.page import gallery, page
from higherhrnet.report.tables import guide_order


@dataclass(frozen=True)
class ReportJob:
    """What to report on, and where to."""

    location: coco.Location
    results: Path
    output: Path | None
    """The page; None makes none."""
    flag: str = "--output"
    """What named the page, for messages."""
    json: Path | None = None
    """All numbers; None does not write them."""
    against: Path | None = None
    """Other results over the same pictures."""
    dumps: Sequence[Path] = ()
    """The dumps that the results, and then those compared with, were made from: performance files lie beside them."""
    image_ids: Sequence[int] | None = None
    """What the results are over; None leaves it to their records, and without these it is the whole data set."""
    amount: Amount = field(default_factory=Amount)
    overwrite: bool = False
    """Replace files of others too."""


@dataclass(frozen=True)
class Made:
    """What was written."""

    files: Sequence[Path]
    notes: Sequence[str]
    """What a reader must know; the page says it too."""


def check(job: ReportJob) -> None:
    """Refuse what ``run`` would refuse before it reads anything.

    Raises
    ------
    UserError : packages that are missing, a data set without annotations, or a path that may not be written
    """
    if job.output is not None:
        page.require()
    if not job.location.has_annotations:
        raise UserError(f"DATASET.TEST is {job.location.split}, which has no annotations here; a report needs them")
    if len(job.dumps) > 1 + (job.against is not None):
        raise UserError(f"--dumps names {len(job.dumps)} directories; give those of --results, then those of --against")
    if job.json is not None and job.output is not None and job.json.absolute() == job.output.absolute():
        raise UserError(f"the page and --json are both {job.json}; give two paths")
    inputs = [file for file in (job.location.annotations, job.results, job.against) if file is not None]
    for path, flag in ((job.output, job.flag), (job.json, "--json")):
        if path is not None:
            outputs.check(path, flag, ours=outputs.is_marked, inputs=inputs, overwrite=job.overwrite)


def run(job: ReportJob) -> Made:
    """Analyse, and write what the job asks for.

    Raises
    ------
    UserError : as ``check``; annotations or results that cannot be read, or that are of other data
    """
    check(job)
    dataset = coco.load(job.location.annotations)
    study, over, notes = _study(job, dataset)
    computed = numbers.compute(study, job.amount)
    rates, more = _speed(job, computed)
    notes += more
    crops: dict[int, bytes] = {}
    if job.output is not None:
        crops, unread = _crops(job.location, study.images, computed["pictures"])
        notes += unread
    said = {
        "artifact": outputs.MARK.decode(),
        **computed,
        "speed": rates,
        "subject": {
            "results": str(job.results),
            "against": None if job.against is None else str(job.against),
            "annotations": str(job.location.annotations),
            "over": over,
            "notes": notes,
            "rates": perf.MEANING,
            "version": higherhrnet.__version__,
        },
    }
    files = []
    if job.json is not None:
        _write(job.json, json.dumps(said, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
        files.append(job.json)
    if job.output is not None:
        _write(job.output, page.render(said, crops))
        files.append(job.output)
    return Made(files, notes)


def _write(path: Path, text: str) -> None:
    atomic.make_directory(path.parent)
    atomic.write_text(path, text)


def _study(job: ReportJob, dataset: coco.Dataset) -> tuple[Study, str, list[str]]:
    """What is analysed, over which images in words, and notes."""
    annotations = job.location.annotations
    content = sources.read_json(annotations, "annotation file", coco.LIMIT)
    crowded = job.location.kind == coco.CROWD_POSE
    skeleton = joints.CROWD_POSE if crowded else joints.COCO
    count = len(skeleton)
    chosen = [_images(file, dataset) for file in (job.results, job.against) if file is not None]
    ids = set(job.image_ids) if job.image_ids is not None else set.intersection(*(each for each, _ in chosen))
    if not ids:
        raise UserError(f"{job.results} and {job.against} have no image in common; compare results over the same ones")
    notes = [note for _, note in chosen if note and job.image_ids is None]
    truth = people.truth(content, annotations, ids, joints=count, from_boxes=crowded)
    found = [
        people.found(
            people.check(sources.read_json(file, "results", coco.LIMIT), file, _ids(dataset), joints=count),
            truth.images,
            joints=count,
        )
        for file in (job.results, job.against)
        if file is not None
    ]
    index = {row["id"]: row.get("crowdIndex") for row in content["images"] if row["id"] in ids} if crowded else {}
    sound = bool(index) and all(type(value) in (int, float) and 0 <= value <= 1 for value in index.values())
    if crowded and not sound:
        notes.append(f"no AP (easy), (medium) and (hard): images in {annotations} have no crowdIndex of 0 to 1")
    study = Study(
        truth,
        found[0],
        found[1] if len(found) > 1 else None,
        skeleton,
        np.array(skeleton.sigmas),
        job.location.kind,
        {image.image_id: image for image in dataset.images if image.image_id in ids},
        index if sound else None,
    )
    return study, _over(len(ids), len(dataset.images)), notes


def _ids(dataset: coco.Dataset) -> set[int]:
    return {image.image_id for image in dataset.images}


def _over(count: int, of: int) -> str:
    if count == of:
        return "the one image" if of == 1 else f"all {of:,} images"
    return f"{count:,} of {of:,} images"


def _images(results: Path, dataset: coco.Dataset) -> tuple[set[int], str]:
    """The ids of the images that results are over, and a note where nothing says which these are.

    Raises
    ------
    UserError : results of another data set
    """
    made = claim.read(results, PeopleWork)
    if made is None:
        return _ids(dataset), f"{results} has no record of which images it is over; all of the data set are taken"
    if made.work.dataset != dataset.fingerprint:
        raise UserError(f"{results} is of another data set than {dataset.annotations}; give that with DATASET.ROOT")
    if atomic.sha256(results) != made.facts.sha256:
        raise UserError(f"{results} was changed since it was written; run what made it again, or remove its record")
    shard, left_out = Shard.parse(made.work.shard), set(made.facts.left_out)
    images = shard.select(dataset.images[: made.work.images])
    return {image.image_id for image in images if image.index not in left_out}, ""


def _speed(job: ReportJob, computed: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rates by shape of each column beside the dumps, with the AP of their results; and notes."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    aps = [computed["figures"][0]["value"]]
    if computed["comparison"]:
        aps.append(computed["comparison"]["figures"][0]["before"])
    results = [file for file in (job.results, job.against) if file is not None]
    for dump_dir, file, ap in zip(job.dumps, results, aps, strict=False):
        found = speed.beside(dump_dir, file)
        notes += found.notes
        rows += [
            {
                "label": f"{dump_dir.name} {column.label}" if len(job.dumps) > 1 else column.label,
                "backend": column.origin.work.backend if column.origin else "not known",
                "batch": column.batch,
                "rates": {f"{h}x{w}": column.figures[h, w] for h, w in guide_order(list(column.figures))},
                "average": column.avg_min_max[0],
                "AP": ap,
            }
            for column in found.columns
            if ap is not None
        ]
    if len({tuple(row["rates"]) for row in rows}) > 1:
        notes.append("the averages of images per second are not over the same shapes")
    return rows, notes


def _crops(
    location: coco.Location, images: Mapping[int, coco.Image], pictures: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, bytes], list[str]]:
    """JPEGs by image id, and a note on pictures that could not be read."""
    crops: dict[int, bytes] = {}
    unread = []
    for picture in tqdm(pictures, desc="pictures", unit="image", disable=None):
        image = images[picture["image_id"]]
        try:
            pixels = reader.read_image(location.picture(image))
            if pixels.shape[:2] != (image.height, image.width):
                raise BadImageError(
                    f"image {location.picture(image)} is {pixels.shape[1]}x{pixels.shape[0]} pixels, annotated are "
                    f"{image.width}x{image.height}"
                )
        except BadImageError as e:
            unread.append(str(e))
            continue
        crops[image.image_id] = gallery.jpeg(pixels, gallery.crop(picture))
    if not unread:
        return crops, []
    return crops, [f"{len(unread)} of {len(pictures)} pictures are drawn without their image; the first: {unread[0]}"]
