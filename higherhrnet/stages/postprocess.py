"""Stage 5: dumps to people, the results file and the ten figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from higherhrnet import decode
from higherhrnet.artifacts import atomic, claim, dumps, outputs, seen
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.artifacts.work import DumpsWork, PeopleWork
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.dataset.ground_truth import PERSON, EvaluationProtocol
from higherhrnet.dataset.joints import COCO, JointSet
from higherhrnet.dataset.shards import ALL, Shard, of_part
from higherhrnet.errors import UserError
from higherhrnet.image import draw, encoder, geometry, reader
from higherhrnet.stages import dump_sources, results_file
from higherhrnet.stages.dump_sources import Source
from higherhrnet.system import workers


@dataclass(frozen=True)
class Summary:
    """What a run of the stage found."""

    images: int
    dataset_images: int
    people: int
    figures: dict[str, float] | None
    """The figures by name, over ``images`` images; None where they were not asked for."""
    results: Path
    left_out: int
    """Bad images that preprocessing left out."""
    kept: int
    """Images that an earlier run had decoded."""
    replaced: str
    """Why results that were there are of other work; '' where none were."""
    record: Record[PeopleWork]
    """Of the results that the figures are over."""
    image_ids: Sequence[int] = ()
    """Of the images decoded."""
    calibrated_on: int = 0
    """How many of the images the network, one in INT8, was calibrated on."""


@dataclass(frozen=True)
class _Decoding:
    """What a worker needs to know to decode an image."""

    plan: Plan
    sources: list[list[Source]]
    """By scale of the plan, of each pass."""
    heads: dumps.Heads
    options: Options
    result_joints: int
    """How many of a person's joints are results: all but a center."""
    category: int = PERSON
    """Of people in results."""


def shard_of(dump_dir: Path, shard: Shard) -> Shard:
    """The shard to decode: ``shard``, or that of the dumps where none was asked for.

    Raises UserError: dumps of another shard.
    """
    made = claim.read(dump_dir, DumpsWork)
    part = ALL if made is None else Shard.parse(made.work.shard)
    return of_part(shard, part, f"{dump_dir} holds dumps of shard {part}, not {shard}; give --shard {part}, or none")


@dataclass(frozen=True)
class PostprocessJob:
    """Dumps to decode, and where their people go."""

    dump_dir: Path
    dump_dir_flip: Path | None
    """Needed where the plan has the flip test."""
    plan: Plan
    heads: dumps.Heads
    options: Options
    results: Path
    shard: Shard = ALL
    """Decode its images only, which must all be there."""
    overwrite: bool = False
    """Decode all images in any case."""
    result_joints: int | None = None
    """How many of a person's joints are results; None is all."""
    protocol: EvaluationProtocol | None = field(default_factory=EvaluationProtocol)
    """As what annotated people are evaluated; None does not evaluate."""


def run(dataset: coco.Dataset, job: PostprocessJob, pool: workers.Pool) -> Summary:
    """Decode all dumps of a run, write the people as a COCO results file, and evaluate it.

    Dumps of other scales than 1 lie under the same names in a folder beside theirs (artifacts.scales). Where the dumps
    are of some of the data set's images only, the figures are over those. Images that a stopped run has decoded are not
    decoded again, nor are all of them where the results are there already, of the same dumps.

    Raises UserError: dumps that are missing, unfinished, damaged or of another data set, network or pass.
    """
    opened, indices = dump_sources.open_all(dataset, job.dump_dir, job.dump_dir_flip, job.plan, shard=job.shard)
    joints = job.result_joints or len(job.options.flip)
    decoding = _Decoding(job.plan, opened, job.heads, job.options, joints, dataset.person)
    made = opened[0][0].made
    stamps = seen.look(file for index in indices for file in _files(decoding, index))
    dump_sources.check_still(opened)
    inputs = made.inputs if made is not None else None
    left_out = [] if inputs is None else [index for index in inputs.left_out if job.shard.holds(index)]
    count = len(dataset.images) if inputs is None else inputs.work.images
    wanted = Record(
        PeopleWork.of(
            made,
            dataset=dataset.fingerprint,
            images=count,
            shard=str(job.shard),
            options=decode_options(job.options, job.plan, dataset.person),
            version=decode.VERSION,
        ),
        Facts(
            made_from=seen.digest(stamps),
            pictures=inputs.pictures if made is not None and inputs is not None and made.indices == indices else "",
            left_out=left_out,
            without_dumps=sorted(set(filter(job.shard.holds, range(count))).difference(indices, left_out)),
            calibrated_on=sorted(set(opened[0][0].calibrated_on).intersection(indices)),
        ),
    )
    results_file.check(job.results, overwrite=job.overwrite)
    atomic.make_directory(job.results.parent)
    images = [dataset.images[index] for index in indices]
    kept, replaced = len(images), ""
    if job.overwrite or not claim.is_complete(job.results, wanted):
        before = claim.read_sound(job.results, PeopleWork)
        replaced = "" if before is None else claim.reasons(before.stale(wanted))
        kept = _decode_all(decoding, images, wanted, stamps, job.results, pool, overwrite=job.overwrite)
    ids = [image.image_id for image in images]
    complete = results_file.record(job.results, wanted)
    people, figures = evaluate(dataset, job.results, ids, job.protocol, complete)
    return Summary(
        images=len(images),
        dataset_images=len(dataset.images),
        people=people,
        figures=figures,
        results=job.results,
        left_out=len(left_out),
        kept=kept,
        replaced=replaced,
        record=complete,
        image_ids=ids,
        calibrated_on=len(wanted.facts.calibrated_on),
    )


def decode_options(options: Options, plan: Plan, category: int = PERSON) -> dict[str, Any]:
    """What PeopleWork says of the decode; of people's category in results only another than COCO's."""
    return {**options.recorded, "plan": asdict(plan), **({} if category == PERSON else {"category": category})}


def finish(
    results: Path,
    journal: Journal[PeopleWork],
    wanted: Record[PeopleWork],
    images: Sequence[coco.Image],
    *,
    overwrite: bool,
) -> None:
    """Write the results file and its record from a journal that holds all ``images``, then delete the journal.

    Raises UserError: something of others has come to where they go, unless ``overwrite``; the journal stays.
    """
    missing = [image.index for image in images if image.index not in journal]
    assert not missing, f"images {missing} were neither decoded nor left out"
    left_out = sorted({*wanted.facts.left_out, *journal.left_out})
    made = replace(wanted, facts=replace(wanted.facts, left_out=left_out))
    results_file.write(results, journal.entries(), made, overwrite=overwrite)
    journal.remove()


def evaluate(
    dataset: coco.Dataset,
    results: Path,
    image_ids: Sequence[int],
    protocol: EvaluationProtocol | None,
    made: Record[PeopleWork],
) -> tuple[int, dict[str, float] | None]:
    """Number of people of a results file, and its figures over the images named; None without ``protocol``.

    Raises UserError where the file is not the one any more that the record ``made`` is of.
    """
    entries = results_file.read(results, made)
    return len(entries), evaluation.evaluate_entries(dataset, entries, image_ids, protocol) if protocol else None


def people(
    directories: tuple[Path, Path],
    images: Sequence[coco.Image],
    *,
    plan: Plan,
    heads: dumps.Heads,
    options: Options,
    pool: workers.Pool,
    category: int = PERSON,
) -> Iterator[tuple[coco.Image, list[dict[str, Any]]]]:
    """Decode images from this project's own dumps, as the pieces of a larger run: each with its results entries.

    Raises UserError: dumps that are missing or damaged.
    """
    opened = [[dump_sources.open_one(directory, dumps.BENCHMARK) for directory in directories]]
    decoding = _Decoding(plan, opened, heads, options, len(options.flip), category)
    return zip(images, pool.map(partial(_decode, decoding), images), strict=True)


def _files(decoding: _Decoding, index: int) -> list[Path]:
    """All dumps of an image."""
    sources = [source for passes in decoding.sources for source in passes]
    return [file for source in sources for file in source.naming.paths(source.directory, index)]


def _decode_all(
    decoding: _Decoding,
    images: Sequence[coco.Image],
    wanted: Record[PeopleWork],
    stamps: Mapping[Path, Stamp],
    results: Path,
    pool: workers.Pool,
    *,
    overwrite: bool,
) -> int:
    """Decode what the journal beside the results does not hold yet, write the results; return how many it held."""
    path = results.with_suffix(".people.jsonl")
    with Journal(path, wanted, afresh=True, overwrite=overwrite) as journal:
        kept = len(journal)
        todo = [image for image in images if image.index not in journal]
        with tqdm(total=len(images), initial=kept, desc="decode", unit="image", disable=None) as bar:
            for image, entries in zip(todo, pool.map(partial(_decode, decoding), todo), strict=True):
                seen.check(stamps, _files(decoding, image.index), "dump")
                journal.add(image.index, None, entries)
                bar.update()
        finish(results, journal, wanted, images, overwrite=overwrite)
    return kept


def _decode(decoding: _Decoding, image: coco.Image) -> list[dict[str, Any]]:
    """One image's people as results entries."""
    of_scales = []
    for factor, passes in zip(decoding.plan.factors, decoding.sources, strict=True):
        shape = geometry.of_plan(image.width, image.height, decoding.plan, factor).shape
        of_scales.append([source.read(image.index, shape, decoding.plan, decoding.heads) for source in passes])
    try:
        keypoints, scores = decode.decode_image(decoding.plan, image.width, image.height, of_scales, decoding.options)
    except ValueError as e:
        arrays = (array for passes in of_scales for pair in passes for array in pair)
        for file, array in zip(_files(decoding, image.index), arrays, strict=True):
            if count := int((~(np.abs(array) <= decode.MAGNITUDE_LIMIT)).sum()):
                raise UserError(
                    f"dump {file}: {count} of {array.size} values are NaN or infinite, or beyond "
                    f"{decode.MAGNITUDE_LIMIT:g}, as of a model or a precision that does not fit; run "
                    f"HigherHRNet_benchmark.py again with --overwrite, with another model or precision where that "
                    f"gives the same"
                ) from e
        raise
    kept = keypoints[:, : decoding.result_joints]
    return coco_results.entries(image.image_id, kept, scores, category=decoding.category)


_DRAWING = "people of a data set, drawn"
_is_drawing = outputs.marked(_DRAWING)


@dataclass(frozen=True)
class DrawJob:
    """Which people to draw, and where to."""

    location: coco.Location
    output: Path
    count: int
    """Draw the first so many images that have any."""
    min_score: float
    """Draw people of at least this score: evaluation wants every candidate, a picture does not."""
    joints: JointSet = COCO
    overwrite: bool = False
    """Replace pictures of others."""


def check_drawing(dataset: coco.Dataset, job: DrawJob) -> None:
    """Refuse, before anybody is found, a folder in which pictures would be drawn over those of the data set."""
    for image, picture in zip(dataset.images, _picture_files(dataset.images, job.output), strict=True):
        if picture.is_file():
            source = job.location.picture(image)
            outputs.check(picture, "--vis_dir", ours=lambda _: True, inputs=[source], overwrite=job.overwrite)


def draw_results(dataset: coco.Dataset, results: Path, made: Record[PeopleWork], job: DrawJob) -> list[Path]:
    """Draw the people of a results file, which its record ``made`` is of, on images; return the pictures' paths.

    Raises UserError: other results in their place, other images than people were found in, one that cannot be read, or
    an output directory that cannot be written.
    """
    results_file.check_pictures(results, made, dataset, job.location)
    exif = bool(made.work.inputs.get("exif"))  # people are where the network saw them
    by_image: dict[int, list[Any]] = {}
    for entry in results_file.read(results, made):
        if entry["score"] >= job.min_score:
            by_image.setdefault(entry["image_id"], []).append(entry["keypoints"])
    shown = [image for image in dataset.images if image.image_id in by_image][: job.count]
    pictures = _picture_files(shown, job.output)
    read = [job.location.picture(image) for image in shown]
    for picture in pictures:
        outputs.check(picture, "--vis_dir", ours=_is_drawing, inputs=read, overwrite=job.overwrite)
    atomic.make_directory(job.output)
    for image, picture in zip(tqdm(shown, desc="draw", unit="image", disable=None), pictures, strict=True):
        pixels = cv2.cvtColor(reader.read_image(job.location.picture(image), exif=exif), cv2.COLOR_RGB2BGR)
        keypoints = np.array(by_image[image.image_id]).reshape(-1, len(by_image[image.image_id][0]) // 3, 3)
        drawn = draw.draw_people(pixels, keypoints, skeleton=job.joints)
        atomic.make_directory(picture.parent)
        source = [job.location.picture(image)]
        may = partial(outputs.check, picture, "--vis_dir", ours=_is_drawing, inputs=source, overwrite=job.overwrite)
        atomic.write_bytes(picture, encoder.jpeg(drawn, _DRAWING), check=may)
    return pictures


def _picture_files(images: Sequence[coco.Image], folder: Path) -> list[Path]:
    """Where each image is drawn: NAME.jpg, or NAME.png.jpg where NAME.jpg is another image's."""
    names = [Path(image.file_name) for image in images]
    plain = [name.with_suffix(".jpg") for name in names]
    counts = Counter(plain)
    return [
        folder / (short if counts[short] == 1 else name.with_name(f"{name.name}.jpg"))
        for name, short in zip(names, plain, strict=True)
    ]
