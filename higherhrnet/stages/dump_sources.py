"""The dumps to decode: directories of a run, with what their records say of them, checked to be of one work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import claim, dumps
from higherhrnet.artifacts.scales import beside
from higherhrnet.artifacts.work import DumpsWork, differences
from higherhrnet.config.plan import Plan, Scale
from higherhrnet.dataset import coco
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.errors import UserError
from higherhrnet.image import geometry

_NAMES = {False: "plain", True: "flipped"}


@dataclass(frozen=True)
class Source:
    """A directory of dumps."""

    directory: Path
    naming: dumps.Naming
    made: DumpsWork | None
    """What the dumps are of; None where nothing says so: other programs' dumps have no record."""
    calibrated_on: tuple[int, ...] = ()
    """Indices of images that the network was calibrated on."""

    @property
    def dtype(self) -> str:
        """Of the values."""
        return dumps.FLOAT32 if self.made is None else self.made.dtype

    def read(self, index: int, shape: tuple[int, int], plan: Plan, heads: dumps.Heads) -> tuple[np.ndarray, np.ndarray]:
        """Both outputs of an image whose input was of ``shape`` (H, W). Raises UserError: missing or damaged."""
        files = self.naming.paths(self.directory, index)
        shapes, largest = (dumps.output_shapes(one, heads) for one in (shape, geometry.shapes(plan)[0]))
        first, second = (dumps.read(*one, self.dtype) for one in zip(files, shapes, largest, strict=True))
        return first, second


def open_one(directory: Path, naming: dumps.Naming) -> Source:
    """A directory with its record. Raises UserError for an unfinished one."""
    record = claim.read(directory, DumpsWork)
    if record is not None and not record.complete:
        raise UserError(f"{directory} is unfinished; run HigherHRNet_benchmark.py again, it resumes")
    if record is None:
        return Source(directory, naming, None)
    return Source(directory, naming, record.work, tuple(record.facts.calibrated_on))


def check_still(sources: Sequence[Sequence[Source]]) -> None:
    """Refuse directories whose records are not the ones any more that they were opened with.

    What is known of the dumps then, looked at in between, may be of others than the record said.

    Raises
    ------
    UserError : naming the directory
    """
    for passes in sources:
        for source in passes:
            if open_one(source.directory, source.naming) != source:
                raise UserError(f"{source.directory} was made again while this program looked at it; run this again")


def joints(dataset: coco.Dataset, directory: Path, plan: Plan, heads: dumps.Heads) -> int | None:
    """How many heatmaps the outputs in a directory have, by the size of the first; None where that says no number.

    Raises
    ------
    UserError : missing or empty directory, or dumps of several tools in it
    """
    if 1 not in plan.factors:
        return None
    indices, naming = dumps.find(directory)
    if indices[0] >= len(dataset.images):
        return None
    image = dataset.images[indices[0]]
    file, dtype = naming.paths(directory, indices[0])[1], open_one(directory, naming).dtype
    frames = geometry.of_plan(image.width, image.height, plan).shape, geometry.shapes(plan)[0]  # or the whole buffer
    found = [dumps.heatmaps(file, shape, dtype) for shape in frames]
    return heads.joints if heads.joints in found else found[0] or found[1]


def open_all(
    dataset: coco.Dataset, dump_dir: Path, dump_dir_flip: Path | None, plan: Plan, *, shard: Shard
) -> tuple[list[list[Source]], list[int]]:
    """The directories by scale of the plan, of each pass, and the indices to decode, ascending.

    No dump is read.

    Raises UserError: dumps that are missing, unfinished or of another data set, network, pass or scale, or of several
    works.
    """
    sources, by_scale = [], []
    for folders, factor in zip(_directories(dump_dir, dump_dir_flip, plan), plan.factors, strict=True):
        found = [dumps.find(folder) for folder in folders]
        passes = [open_one(folder, naming) for folder, (_, naming) in zip(folders, found, strict=True)]
        for source, flip in zip(passes, (False, True), strict=False):
            _check(source, dataset, plan, factor, flip=flip)
        for source in passes[1:]:
            _check_equal(passes[0], source, "the flipped pass is of other work than the plain one")
        sources.append(passes)
        by_scale.append(_indices(dataset, passes, [indices for indices, _ in found], shard))
    for passes, indices in zip(sources[1:], by_scale[1:], strict=True):
        _check_equal(sources[0][0], passes[0], "the scales are of several works")
        if indices != by_scale[0]:
            raise UserError(
                f"{sources[0][0].directory} and {passes[0].directory} are of several sets of images; run "
                f"HigherHRNet_benchmark.py again, for all of TEST.SCALE_FACTOR"
            )
    return sources, by_scale[0]


def _directories(dump_dir: Path, dump_dir_flip: Path | None, plan: Plan) -> list[list[Path]]:
    """The dump directories by scale of the plan: plain and, with flip test, flipped."""
    if plan.flip and dump_dir_flip is None:
        raise UserError("TEST.FLIP_TEST is True and --dump_dir_flip is missing; give it, or TEST.FLIP_TEST False")
    if plan.flip and dump_dir_flip and os.path.realpath(dump_dir) == os.path.realpath(dump_dir_flip):
        raise UserError(f"--dump_dir and --dump_dir_flip are both {dump_dir}; give the mirrored inputs' too")
    given = [dump_dir] + ([dump_dir_flip] if plan.flip and dump_dir_flip else [])

    def of_scale(directory: Path, factor: float) -> Path:
        return directory if factor == 1 else beside(directory.absolute().parent, factor) / directory.name

    return [[of_scale(directory, factor) for directory in given] for factor in plan.factors]


def _check(source: Source, dataset: coco.Dataset, plan: Plan, factor: float, *, flip: bool) -> None:
    """Refuse dumps whose record says that they are of something else."""
    directory, made = source.directory, source.made
    if made is None:
        return
    if made.flip != flip:
        raise UserError(
            f"{directory} holds dumps of the {_NAMES[made.flip]} inputs; exchange --dump_dir and --dump_dir_flip"
        )
    if made.inputs is None:
        return
    work = made.inputs.work
    if work.dataset != dataset.fingerprint:
        raise UserError(
            f"{directory} holds dumps of another data set than {dataset.annotations}; give that one with "
            f"DATASET.ROOT and DATASET.TEST"
        )
    if work.short_side != plan.short_side:
        raise UserError(
            f"{directory} holds dumps of inputs of short side {work.short_side}, the config says "
            f"DATASET.INPUT_SIZE {plan.short_side}; give the --cfg that preprocessing had"
        )
    if Scale(work.factor, work.smallest, work.limited) != plan.scale(factor):
        raise UserError(
            f"{directory} holds dumps of inputs at another scale, or with long images cut otherwise; give "
            f"TEST.SCALE_FACTOR and --no_long_side_limit as to preprocessing"
        )


def _check_equal(first: Source, other: Source, otherwise: str) -> None:
    """Refuse dumps that do not go together: of two models, precisions, sets of pictures ..."""
    if first.made is None or other.made is None:
        return
    alike = replace(other.made, flip=first.made.flip, indices=first.made.indices)
    if first.made.inputs is not None and other.made.inputs is not None:
        # Pass and scale differ by intention; each was checked on its own. The layout is no matter of the values.
        ours = first.made.inputs.work
        work = replace(other.made.inputs.work, flip=ours.flip, factor=ours.factor, layout=ours.layout)
        alike = replace(alike, inputs=replace(other.made.inputs, work=work))
    if different := differences(alike, first.made):
        raise UserError(
            f"{first.directory} and {other.directory}: {otherwise}: {claim.reasons(different)}; run "
            f"HigherHRNet_benchmark.py again"
        )


def _indices(
    dataset: coco.Dataset, passes: Sequence[Source], found: Sequence[Sequence[int]], shard: Shard
) -> list[int]:
    """The indices to decode, ascending: those of any pass, which all must have."""
    expected: set[int] = set().union(*found, *(source.made.indices for source in passes if source.made is not None))
    if shard != ALL:  # an incomplete shard would only be found when the shards are merged
        inputs = passes[0].made.inputs if passes[0].made is not None else None
        images = range(len(dataset.images) if inputs is None else inputs.work.images)
        expected |= set(filter(shard.holds, images)).difference(() if inputs is None else inputs.left_out)
    if max(expected) >= len(dataset.images):
        raise UserError(
            f"{passes[0].directory}: found a dump of image {max(expected)}, but {dataset.annotations} lists "
            f"{len(dataset.images)} images (0 to {len(dataset.images) - 1}); give the data set the dumps are of"
        )
    expected = set(filter(shard.holds, expected))
    for source, present in zip(passes, found, strict=True):
        if missing := sorted(expected.difference(present)):
            raise UserError(
                f"{source.directory}: no dumps of {len(missing)} of {len(expected)} images, the first is "
                f"{missing[0]:012d}; run HigherHRNet_benchmark.py again"
            )
    return sorted(expected)
