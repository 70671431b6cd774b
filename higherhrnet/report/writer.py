"""The report of a results file: a page, and its numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import higherhrnet
from higherhrnet.artifacts import atomic, claim, models, outputs, perf, seen, sources
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from higherhrnet.report import speed
from higherhrnet.report.analysis import numbers, people
from higherhrnet.report.analysis.numbers import Amount, Study
from higherhrnet.report.page import gallery, page
from higherhrnet.report.tables import guide_order
from higherhrnet.stages import results_file

_NUMBERS = "the numbers of a report"


@dataclass(frozen=True)
class ReportJob:
    """What to report on, and where to."""

    location: coco.Location
    results: Path
    output: Path | None
    """The page; None makes none."""
    protocol: EvaluationProtocol = field(default_factory=EvaluationProtocol)
    """As what annotated people are read and evaluated."""
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
    if job.against is not None and models.same_file(job.results, job.against):
        raise UserError(f"--results {job.results} and --against {job.against} are one file; give other results")
    if job.json is not None and job.output is not None and job.json.absolute() == job.output.absolute():
        raise UserError(f"the page and --json are both {job.json}; give two paths")
    for path in (job.output, job.json):
        if path is not None:
            _check_output(job, path)


def _check_output(job: ReportJob, path: Path) -> None:
    """Refuse to write the page, or the numbers, over an input or what others have put there."""
    inputs = [file for file in (job.location.annotations, job.results, job.against) if file is not None]
    flag = job.flag if path == job.output else "--json"
    kind = page.KIND if path == job.output else _NUMBERS
    outputs.check(path, flag, ours=outputs.marked(kind), inputs=inputs, overwrite=job.overwrite)


def run(job: ReportJob) -> Made:
    """Analyse, and write what the job asks for.

    Raises
    ------
    UserError : as ``check``; annotations or results that cannot be read, or that are of other data
    """
    check(job)
    dataset = coco.load(job.location.annotations, job.protocol)
    study, said_of, notes = _study(job, dataset)
    computed = numbers.compute(study, job.amount)
    rates, more = _speed(job, computed)
    notes += more
    crops: dict[int, bytes] = {}
    if job.output is not None and computed["pictures"]:
        crops, unread = _crops(job.location, study.images, computed["pictures"], exif=said_of.exif)
        notes += unread
    said = {
        "artifact": outputs.mark(_NUMBERS),
        **computed,
        "speed": rates,
        "subject": {
            "results": str(job.results),
            "against": None if job.against is None else str(job.against),
            "annotations": str(job.location.annotations),
            "over": _over(len(study.images), len(dataset.images)),
            "notes": notes,
            "rates": perf.MEANING,
            "version": higherhrnet.__version__,
        },
    }
    files = []
    if job.json is not None:
        _write(job, job.json, json.dumps(said, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
        files.append(job.json)
    if job.output is not None:
        _write(job, job.output, page.render(said, crops))
        files.append(job.output)
    return Made(files, notes)


def _write(job: ReportJob, path: Path, text: str) -> None:
    atomic.make_directory(path.parent)
    atomic.write_text(path, text, partial(_check_output, job, path))


@dataclass(frozen=True)
class _Said:
    """What the record of a results file says of it."""

    ids: set[int]
    """Of the images that it is over."""
    exif: bool
    """Pictures were turned as EXIF says, and people are where they are in turned ones."""
    pictures: str
    """pictures.digest of them; '' where nothing says which they were."""
    notes: Sequence[str]


def _study(job: ReportJob, dataset: coco.Dataset) -> tuple[Study, _Said, list[str]]:
    """What is analysed, what is known of the results, and notes."""
    assert dataset.truth is not None, "the people were asked for"
    files = [file for file in (job.results, job.against) if file is not None]
    stamps = seen.look(each for file in files for each in (file, claim.record_of(file)) if each.exists())
    said = [_said(file, dataset, None if job.output is None else job.location) for file in files]
    if len({each.exif for each in said}) > 1:
        turned = files[0] if said[0].exif else files[1]
        raise UserError(f"only {turned} is of pictures that were turned (--exif); compare results of equal pictures")
    first, last = said[0], said[-1]
    if first.pictures and last.pictures and first.ids == last.ids and first.pictures != last.pictures:
        raise UserError(
            f"{files[-1]} is of other pictures than {files[0]} ({last.pictures[:8]}, not {first.pictures[:8]}); "
            f"compare results of equal pictures"
        )
    ids = set(job.image_ids) if job.image_ids is not None else set.intersection(*(each.ids for each in said))
    if not ids:
        raise UserError(f"{job.results} and {job.against} have no image in common; compare results over the same ones")
    notes = [*evaluation.remarks(dataset, job.protocol), *(note for each in said for note in each.notes)]
    content, joints = dataset.truth.content, job.protocol.joints
    truth = people.truth(content, ids, joints=len(joints))
    all_ids = {image.image_id for image in dataset.images}
    found = [
        people.found(
            coco_results.check(
                sources.read_json(file, "results", coco.LIMIT),
                file,
                all_ids,
                joints=len(joints),
                category=dataset.person,
                boxes=False,
                remedy="give the results of this data set, in COCO's format",
            ),
            truth.images,
            joints=len(joints),
        )
        for file in files
    ]
    seen.check(stamps, stamps, "results file")
    study = Study(
        truth,
        found[0],
        found[1] if len(found) > 1 else None,
        joints,
        np.array(joints.sigmas),
        job.location.kind,
        {image.image_id: image for image in dataset.images if image.image_id in ids},
        {row["id"]: row["crowdIndex"] for row in content["images"]} if job.protocol.crowd_pose else None,
    )
    return study, said[0], notes


def _over(count: int, of: int) -> str:
    if count == of:
        return "the one image" if of == 1 else f"all {of:,} images"
    return f"{count:,} of {of:,} images"


def _said(results: Path, dataset: coco.Dataset, location: coco.Location | None) -> _Said:
    """What a results file is over, by its record; the whole data set, with a note, where there is none.

    Pictures at ``location`` will be shown with it.

    Raises
    ------
    UserError : results of another data set, or of other pictures
    """
    made = claim.read(results, PeopleWork)
    if made is None:
        note = f"{results} has no record of which images it is over; all of the data set are taken"
        return _Said({image.image_id for image in dataset.images}, False, "", [note])
    if made.work.dataset != dataset.fingerprint:
        raise UserError(f"{results} is of another data set than {dataset.annotations}; give that with DATASET.ROOT")
    if atomic.sha256(results) != made.facts.sha256:
        raise UserError(f"{results} was changed since it was written; run what made it again, or remove its record")
    images = results_file.images_of(made, dataset)
    unknown = "" if location is None else results_file.check_pictures(results, made, dataset, location)
    notes = [unknown] if unknown else []
    if calibrated := len(set(made.facts.calibrated_on).intersection(image.index for image in images)):
        notes.append(f"the network of {results} was calibrated on {calibrated} of its images: the figures flatter it")
    exif = bool(made.work.inputs.get("exif"))
    return _Said({image.image_id for image in images}, exif, made.facts.pictures, notes)


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
    location: coco.Location,
    images: Mapping[int, coco.Image],
    pictures: Sequence[Mapping[str, Any]],
    *,
    exif: bool,
) -> tuple[dict[int, bytes], list[str]]:
    """JPEGs by image id, and a note on pictures that could not be read."""
    crops: dict[int, bytes] = {}
    unread = []
    for picture in tqdm(pictures, desc="pictures", unit="image", disable=None):
        image = images[picture["image_id"]]
        try:
            pixels = reader.read_image(location.picture(image), exif=exif)
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
