"""Stage 5: dumps to people, the results file and the ten figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from higherhrnet import decode
from higherhrnet.artifacts import atomic, dumps, record
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.scales import beside
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan, Scale
from higherhrnet.dataset import coco, coco_results, evaluation, joints
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.decode.scales import decode_image
from higherhrnet.errors import UserError
from higherhrnet.image import draw, geometry, reader
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


@dataclass(frozen=True)
class _Source:
    """A directory of dumps."""

    directory: Path
    naming: dumps.Naming
    dtype: str


@dataclass(frozen=True)
class _Job:
    plan: Plan
    sources: list[list[_Source]]
    """By scale of the plan, of each pass."""
    heads: dumps.Heads
    options: Options
    result_joints: int
    """How many of a person's joints are results: all but a center."""


def shard_of(dump_dir: Path, shard: Shard) -> Shard:
    """The shard to decode: ``shard``, or that of the dumps where none was asked for.

    Raises
    ------
    UserError : dumps of another shard
    """
    made = record.read(dump_dir, record.DumpsRecord)
    part = ALL if made is None else Shard.parse(made.shard)
    if shard not in {ALL, part} and part != ALL:
        raise UserError(f"{dump_dir} holds dumps of shard {part}, not {shard}; give --shard {part}, or none")
    return part if shard == ALL else shard


def run(
    dataset: coco.Dataset,
    dump_dir: Path,
    dump_dir_flip: Path | None,
    *,
    plan: Plan,
    heads: dumps.Heads,
    options: Options,
    results: Path,
    pool: workers.Pool,
    shard: Shard = ALL,
    overwrite: bool = False,
    result_joints: int | None = None,
    kind: str | None = coco.COCO,
) -> Summary:
    """Decode all dumps of a run, write the people as a COCO results file, and evaluate it.

    Dumps of other scales than 1 lie under the same names in a folder beside theirs (scales.beside). Where the dumps
    are of some of the data set's images only, the figures are over those. Images that a stopped run has decoded are not
    decoded again, nor are all of them where the results are there already, of the same dumps.

    Parameters
    ----------
    shard : decode its images only, which must all be there
    overwrite : decode all images in any case
    dump_dir_flip : needed where the plan has the flip test
    result_joints : how many of a person's joints are results; by default all
    kind : of data set, for its evaluation; None does not evaluate

    Raises
    ------
    UserError : dumps that are missing, unfinished, damaged or of another data set, network or pass
    """
    directories = _directories(dump_dir, dump_dir_flip, plan)
    found = [[dumps.find(directory) for directory in each] for each in directories]
    made = record.read(directories[0][0], record.DumpsRecord)
    indices = _check_scales(dataset, directories, [[i for i, _ in each] for each in found], plan, shard)
    job = _job(plan, directories, [[naming for _, naming in each] for each in found], heads, options, result_joints)
    inputs = (made.inputs if made else None) or {}
    wanted = record.ResultsRecord(
        dataset=dataset.fingerprint,
        short_side=plan.short_side,
        images=inputs.get("images", len(dataset.images)),
        shard=str(shard),
        model=made.model if made else "",
        options={**asdict(options), "plan": asdict(plan)},
        code=str(decode.VERSION),
        dumps=record.files_fingerprint(file for index in indices for file in _files(job, index)),
        left_out=[index for index in inputs.get("left_out", []) if shard.holds(index)],
    )
    atomic.make_directory(results.parent)
    images = [dataset.images[index] for index in indices]
    kept = len(images)
    if overwrite or not is_done(results, wanted):
        kept = _decode_all(job, images, wanted, results, pool, overwrite=overwrite)
    figures = evaluation.evaluate(dataset, results, [image.image_id for image in images], kind) if kind else None
    return Summary(len(images), len(dataset.images), _count(results), figures, results, len(wanted.left_out), kept)


def is_done(results: Path, wanted: record.ResultsRecord) -> bool:
    """Whether a results file is there, whole and of this very work."""
    made = record.read_results(results)
    return (
        made is not None
        and made.complete
        and record.same_work(made, wanted)
        and results.is_file()
        and atomic.sha256(results) == made.sha256
    )


def finish(results: Path, journal: Journal, wanted: record.ResultsRecord, images: Sequence[coco.Image]) -> None:
    """Write the results file and its record from a journal that holds all ``images``, then delete the journal."""
    missing = [image.index for image in images if image.index not in journal]
    assert not missing, f"images {missing} were neither decoded nor left out"
    coco_results.write(results, journal.entries())
    left_out = sorted({*wanted.left_out, *journal.left_out})
    made = replace(wanted, left_out=left_out, sha256=atomic.sha256(results), complete=True)
    record.write_results(results, made)
    journal.remove()
    atomic.remove_partials_of(results, record.of_results(results))


def evaluate(
    dataset: coco.Dataset, results: Path, image_ids: Sequence[int], kind: str = coco.COCO
) -> tuple[int, dict[str, float]]:
    """Number of people of a results file, and its figures over the images named."""
    return _count(results), evaluation.evaluate(dataset, results, image_ids, kind)


def _count(results: Path) -> int:
    return len(atomic.read_json(results, "results"))


def people(
    directories: tuple[Path, Path],
    images: Sequence[coco.Image],
    *,
    short_side: int,
    heads: dumps.Heads,
    options: Options,
    pool: workers.Pool,
) -> Iterator[tuple[coco.Image, list[dict[str, Any]]]]:
    """Decode images from this project's own dumps, as the pieces of a larger run: each with its results entries.

    Raises
    ------
    UserError : dumps that are missing or damaged
    """
    job = _job(Plan(short_side), [directories], [[dumps.BENCHMARK, dumps.BENCHMARK]], heads, options, None)
    return zip(images, pool.map(partial(_decode, job), images), strict=True)


def _job(
    plan: Plan,
    directories: Sequence[Sequence[Path]],
    naming: Sequence[Sequence[dumps.Naming]],
    heads: dumps.Heads,
    options: Options,
    result_joints: int | None,
) -> _Job:
    """``directories`` and their ``naming`` by scale of the plan, of each pass."""
    sources = []
    for folders, names in zip(directories, naming, strict=True):
        made = [record.read(folder, record.DumpsRecord) for folder in folders]
        dtypes = [dumps.FLOAT32 if each is None else each.dtype for each in made]
        sources.append([_Source(*source) for source in zip(folders, names, dtypes, strict=True)])
    return _Job(plan, sources, heads, options, len(options.flip) if result_joints is None else result_joints)


def _files(job: _Job, index: int) -> list[Path]:
    """All dumps of an image."""
    sources = [source for passes in job.sources for source in passes]
    return [file for source in sources for file in source.naming.paths(source.directory, index)]


def _decode_all(
    job: _Job,
    images: Sequence[coco.Image],
    wanted: record.ResultsRecord,
    results: Path,
    pool: workers.Pool,
    *,
    overwrite: bool,
) -> int:
    """Decode what the journal beside the results does not hold yet, write the results; return how many it held."""
    path = results.with_suffix(".people.jsonl")
    if overwrite:
        path.unlink(missing_ok=True)
    with Journal(path, wanted, afresh=True) as journal:
        kept = len(journal)
        todo = [image for image in images if image.index not in journal]
        with tqdm(total=len(images), initial=kept, desc="decode", unit="image", disable=None) as bar:
            for image, entries in zip(todo, pool.map(partial(_decode, job), todo), strict=True):
                journal.add(image.index, entries)
                bar.update()
        finish(results, journal, wanted, images)
    return kept


def _directories(dump_dir: Path, dump_dir_flip: Path | None, plan: Plan) -> list[list[Path]]:
    """The dump directories by scale of the plan: plain and, with flip test, flipped."""
    if plan.flip and dump_dir_flip is None:
        raise UserError("TEST.FLIP_TEST is True and --dump_dir_flip is missing; give it, or TEST.FLIP_TEST False")
    given = [dump_dir] + ([dump_dir_flip] if plan.flip and dump_dir_flip else [])

    def of_scale(directory: Path, factor: float) -> Path:
        return directory if factor == 1 else beside(directory.absolute().parent, factor) / directory.name

    return [[of_scale(directory, factor) for directory in given] for factor in plan.factors]


def _check_scales(
    dataset: coco.Dataset,
    directories: Sequence[Sequence[Path]],
    found: Sequence[Sequence[list[int]]],
    plan: Plan,
    shard: Shard,
) -> list[int]:
    """As _check for every scale; all must be of the same images, run by the same model."""
    by_scale = [
        _check(dataset, folders, indices, plan, factor, shard)
        for folders, indices, factor in zip(directories, found, plan.factors, strict=True)
    ]
    made = [record.read(folders[0], record.DumpsRecord) for folders in directories]
    models = {each.model for each in made if each is not None}
    if len(models) > 1 or any(indices != by_scale[0] for indices in by_scale):
        raise UserError(
            f"{', '.join(str(folders[0]) for folders in directories)} are of several models or sets of images; run "
            f"HigherHRNet_benchmark.py again, for all of TEST.SCALE_FACTOR"
        )
    return by_scale[0]


def _check(
    dataset: coco.Dataset,
    directories: Sequence[Path],
    found: Sequence[list[int]],
    plan: Plan,
    factor: float,
    shard: Shard,
) -> list[int]:
    """The indices to decode, ascending, after all that can be checked without reading a dump."""
    expected: set[int] = set().union(*found)
    if shard != ALL:  # an incomplete shard would only be found when the shards are merged
        expected |= _shard_indices(dataset, directories[0], shard)
    records = [record.read(directory, record.DumpsRecord) for directory in directories]
    for directory, made, flip in zip(directories, records, (False, True), strict=False):
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
        if made.inputs is not None and made.inputs.get("short_side") != plan.short_side:
            raise UserError(
                f"{directory} holds dumps of inputs of short side {made.inputs.get('short_side')}, the config says "
                f"DATASET.INPUT_SIZE {plan.short_side}; give the --cfg that preprocessing had"
            )
        if made.inputs is not None and _scale_of(made.inputs) != plan.scale(factor):
            raise UserError(
                f"{directory} holds dumps of inputs at another scale, or with long images cut otherwise; give "
                f"TEST.SCALE_FACTOR and --no_long_side_limit as to preprocessing"
            )
        expected |= set(made.indices)
    if len({made.model for made in records if made is not None}) > 1:
        raise UserError(f"{directories[0]} and {directories[1]} are of two models; run HigherHRNet_benchmark.py again")
    if max(expected) >= len(dataset.images):
        raise UserError(
            f"{directories[0]}: found a dump of image {max(expected)}, but {dataset.annotations} lists "
            f"{len(dataset.images)} images (0 to {len(dataset.images) - 1}); give the data set the dumps are of"
        )
    expected = set(filter(shard.holds, expected))
    for directory, present in zip(directories, found, strict=True):
        if missing := sorted(expected.difference(present)):
            raise UserError(
                f"{directory}: no dumps of {len(missing)} of {len(expected)} images, the first is {missing[0]:012d}; "
                f"run HigherHRNet_benchmark.py again"
            )
    return sorted(expected)


def _scale_of(inputs: dict[str, Any]) -> Scale:
    """The scale that the record of inputs names."""
    default = asdict(Scale())
    return Scale(**{name: inputs.get(name, value) for name, value in default.items()})


def _shard_indices(dataset: coco.Dataset, dump_dir: Path, shard: Shard) -> set[int]:
    """The images of a shard that should have dumps."""
    made = record.read(dump_dir, record.DumpsRecord)
    inputs = (made.inputs if made else None) or {}
    images = range(inputs.get("images", len(dataset.images)))
    return set(filter(shard.holds, images)) - set(inputs.get("left_out", []))


def _decode(job: _Job, image: coco.Image) -> list[dict[str, Any]]:
    """One image's people as results entries."""
    largest = dumps.output_shapes(geometry.shapes(job.plan)[0], job.heads)
    outputs = []
    for factor, sources in zip(job.plan.factors, job.sources, strict=True):
        shapes = dumps.output_shapes(geometry.of_plan(image.width, image.height, job.plan, factor).shape, job.heads)
        passes = []
        for source in sources:
            files = source.naming.paths(source.directory, image.index)
            first, second = (dumps.read(*file, source.dtype) for file in zip(files, shapes, largest, strict=True))
            passes.append((first, second))
        outputs.append(passes)
    try:
        keypoints, scores = decode_image(job.plan, image.width, image.height, outputs, job.options)
    except ValueError as e:
        arrays = (array for passes in outputs for pair in passes for array in pair)
        for file, array in zip(_files(job, image.index), arrays, strict=True):
            if not np.isfinite(array).all():
                raise UserError(
                    f"dump {file}: {int((~np.isfinite(array)).sum())} of {array.size} values are NaN or infinite; "
                    f"check the model's precision, then run HigherHRNet_benchmark.py again"
                ) from e
        raise
    return coco_results.entries(image.image_id, keypoints[:, : job.result_joints], scores)


def draw_results(
    dataset: coco.Dataset,
    results: Path,
    *,
    location: coco.Location,
    output: Path,
    count: int,
    min_score: float,
    skeleton: joints.JointSet = joints.COCO,
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
        pixels = cv2.cvtColor(reader.read_image(location.picture(image)), cv2.COLOR_RGB2BGR)
        keypoints = np.array(by_image[image.image_id]).reshape(-1, len(by_image[image.image_id][0]) // 3, 3)
        drawn = draw.draw_people(pixels, keypoints, skeleton=skeleton)
        pictures.append(output / Path(image.file_name).with_suffix(".jpg"))
        atomic.make_directory(pictures[-1].parent)
        atomic.write_bytes(pictures[-1], cv2.imencode(".jpg", drawn)[1])
    return pictures
