"""Stage 1: images to .bin files, plain and flipped."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from higherhrnet.artifacts import atomic, inputs, lock, record
from higherhrnet.config.plan import Scale
from higherhrnet.dataset import coco
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import geometry, reader, transform
from higherhrnet.system import workers


@dataclass(frozen=True)
class Summary:
    """What a run of the stage did."""

    images: int
    written: int
    """Images whose files were not there yet."""
    cut: list[str]
    """File names of the images whose ends the shape grid cuts off."""
    left_out: dict[int, str]
    """Bad images without inputs: why, by index."""


@dataclass(frozen=True)
class PreprocessJob:
    """What to make of a data set's images."""

    location: coco.Location
    short_side: int
    output: Path
    output_flip: Path | None
    """None where there is no flip test."""
    limit: int | None = None
    """Only the first so many images."""
    shard: Shard = ALL
    """The part of those images to do."""
    overwrite: bool = False
    dtype: str = inputs.FLOAT32
    """float32 or float16 [3, H, W], normalised, or uint8 [H, W, 3], which AIPP normalises on the device."""
    skip_bad: bool = False
    """Leave bad images out, and name them in the summary and the records."""
    scale: Scale = field(default_factory=Scale)

    @property
    def trees(self) -> list[tuple[Path, bool]]:
        """The trees to fill, and whether each is the mirrored inputs'."""
        return [(self.output, False)] + ([(self.output_flip, True)] if self.output_flip else [])


def run(dataset: coco.Dataset, job: PreprocessJob, pool: workers.Pool, *, quiet: bool = False) -> Summary:
    """Write the inputs of a data set's images, and the flip inputs, each tree with its record.

    Files that are there already, made from the same data set at the same size, are kept, so a stopped run resumes.
    ``quiet``: without a bar.

    Raises
    ------
    UserError : a tree of other images, a bad image (missing, truncated, no image, of another size than annotated), a
        full disk, another run in a tree; whole files stay
    """
    transform.check_opencv()
    if job.output_flip and os.path.realpath(job.output) == os.path.realpath(job.output_flip):
        raise UserError(f"--output and --output_flip are both {job.output}; give two directories")
    first = dataset.images[: job.limit]
    wanted = record.InputsRecord(
        dataset.fingerprint,
        job.short_side,
        len(first),
        flip=False,
        dtype=job.dtype,
        **asdict(job.scale),
        shard=str(job.shard),
        code=f"{transform.VERSION} opencv {cv2.__version__}",
    )
    with contextlib.ExitStack() as locks:
        for tree, _ in job.trees:
            atomic.make_directory(tree)
            locks.enter_context(lock.held(tree, instead=_INSTEAD))
        return _fill(job, job.shard.select(first), wanted, pool, quiet=quiet)


_INSTEAD = "give another --output and --output_flip"


def _fill(
    job: PreprocessJob,
    images: list[coco.Image],
    wanted: record.InputsRecord,
    pool: workers.Pool,
    *,
    quiet: bool,
) -> Summary:
    """Write what is missing in both trees, which this process holds."""
    grids = [geometry.fit(image.width, image.height, job.short_side, job.scale) for image in images]
    shapes = {grid.shape for grid in grids}
    for tree, flip in job.trees:
        _open_tree(tree, replace(wanted, flip=flip), shapes, overwrite=job.overwrite)
    todo = [(image, grid) for image, grid in zip(images, grids, strict=True) if not _is_done(job, image, grid.shape)]
    _check_space(job, [grid.shape for _, grid in todo])
    left_out: dict[int, str] = {}
    faults = pool.map(partial(_preprocess, job), [image for image, _ in todo])
    with tqdm(
        total=len(images),
        initial=len(images) - len(todo),
        desc="preprocess",
        unit="image",
        disable=True if quiet else None,
    ) as bar:
        for (image, _), why in zip(todo, faults, strict=True):
            if why:
                left_out[image.index] = why
            bar.update()
    for tree, flip in job.trees:
        _remove_partials(tree, shapes)  # a killed run's workers may outlive it by a moment
        record.write(tree, replace(wanted, flip=flip, left_out=sorted(left_out), complete=True))
    cut = [image.file_name for image, grid in zip(images, grids, strict=True) if grid.is_cut]
    return Summary(len(images) - len(left_out), len(todo) - len(left_out), cut, left_out)


def _remove_partials(tree: Path, shapes: set[tuple[int, int]]) -> None:
    atomic.remove_partials([tree, *(inputs.folder(tree, shape) for shape in shapes)])


def _open_tree(tree: Path, wanted: record.InputsRecord, shapes: set[tuple[int, int]], *, overwrite: bool) -> None:
    """Make the tree's folders and start its record; refuse or, if told so, empty a tree of something else."""
    present = record.read(tree, record.InputsRecord)
    stale = inputs.folders(tree)
    if stale and not overwrite and not record.same_work(present, wanted):
        what = "it has no record" if present is None else f"other {', '.join(record.differences(present, wanted))}"
        raise UserError(
            f"{tree} already holds inputs of another run ({what}); give an empty directory, or --overwrite to replace "
            f"them"
        )
    for folder in stale:
        atomic.refuse_link(folder)
        if overwrite:
            atomic.remove_folder(folder)
    record.write(tree, wanted)
    for shape in shapes:
        atomic.make_directory(inputs.folder(tree, shape))
    _remove_partials(tree, shapes)


def _is_done(job: PreprocessJob, image: coco.Image, shape: tuple[int, int]) -> bool:
    files = (inputs.path(tree, shape, image.index) for tree, _ in job.trees)
    return all(f.is_file() and f.stat().st_size == inputs.size(shape, job.dtype) for f in files)


def _check_space(job: PreprocessJob, shapes: list[tuple[int, int]]) -> None:
    """Refuse before the slow part what cannot fit; two trees on one disk share its free space."""
    need = sum(inputs.size(shape, job.dtype) for shape in shapes)
    disks = [tree.stat().st_dev for tree, _ in job.trees]
    for (tree, _), disk in zip(job.trees, disks, strict=True):
        free = shutil.disk_usage(tree).free
        wanted = need * disks.count(disk)
        if wanted > free:
            raise UserError(
                f"{tree}: {wanted / 1e6:.0f} MB of inputs to write, {free / 1e6:.0f} MB free; free space, choose "
                f"another disk, or preprocess fewer images with --limit"
            )


def _preprocess(job: PreprocessJob, image: coco.Image) -> str:
    """Write one image's two inputs; return '' or, where bad images are skipped, what is wrong with it."""
    cv2.setNumThreads(1)  # the processes share the cores already
    try:
        pixels = _read(job, image)
    except BadImageError as e:
        if not job.skip_bad:
            raise
        return str(e)
    grid = geometry.fit(image.width, image.height, job.short_side, job.scale)
    warped = transform.warp(pixels, grid)
    if job.dtype == inputs.UINT8:
        pair = warped, transform.mirror_pixels(warped)
    else:
        tensor = transform.normalise(warped)
        pair = tensor, transform.mirror(tensor)
    for (tree, _), content in zip(job.trees, pair, strict=False):
        stored = content.astype(job.dtype, copy=False)
        atomic.write_bytes(inputs.path(tree, grid.shape, image.index), stored)
    return ""


def _read(job: PreprocessJob, image: coco.Image) -> np.ndarray:
    """An image's pixels. Raises BadImageError, also where it is not of the size that is annotated."""
    file = job.location.picture(image)
    pixels = reader.read_image(file)
    height, width = pixels.shape[:2]
    if (width, height) != (image.width, image.height):
        raise BadImageError(
            f"image {file}: found {width}x{height} pixels, the annotation file says {image.width}x{image.height}; "
            f"use the images that belong to the annotations"
        )
    return pixels
