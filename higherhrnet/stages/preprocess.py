"""Stage 1: images to .bin files, plain and flipped."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from higherhrnet import coco, geometry, preprocess, workers
from higherhrnet.errors import UserError
from higherhrnet.files import atomic, inputs, record


@dataclass(frozen=True)
class Summary:
    """What a run of the stage did."""

    images: int
    written: int
    """Images whose files were not there yet."""
    cut: list[str]
    """File names of the images whose ends the shape grid cuts off."""


@dataclass(frozen=True)
class _Job:
    root: str
    split: str
    short_side: int
    output: Path
    output_flip: Path
    dtype: str


def run(
    dataset: coco.Dataset,
    *,
    root: str,
    split: str,
    short_side: int,
    output: Path,
    output_flip: Path,
    processes: int,
    limit: int | None = None,
    overwrite: bool = False,
    dtype: str = inputs.FLOAT32,
) -> Summary:
    """Write the inputs of a data set's images (the first ``limit``), and the flip inputs, each tree with its record.

    They are float32 [3, H, W], normalised, or uint8 [H, W, 3], which AIPP normalises on the device.

    Files that are there already, made from the same data set at the same size, are kept, so a run that was stopped
    goes on where it was.

    Raises
    ------
    UserError : a tree of other images, an image that is missing, unreadable or of another size than annotated, a full
        disk; whole files stay
    """
    preprocess.check_opencv()
    if output.resolve() == output_flip.resolve():
        raise UserError(f"--output and --output_flip are both {output}; give two directories")
    images = dataset.images[:limit]
    wanted = record.InputsRecord(dataset.fingerprint, short_side, len(images), flip=False, dtype=dtype)
    grids = [geometry.fit(image.width, image.height, short_side) for image in images]
    for tree, flip in ((output, False), (output_flip, True)):
        _open_tree(tree, replace(wanted, flip=flip), {grid.shape for grid in grids}, overwrite=overwrite)
    job = _Job(root, split, short_side, output, output_flip, dtype)
    todo = [(image, grid) for image, grid in zip(images, grids, strict=True) if not _is_done(job, image, grid.shape)]
    _check_space(job, [grid.shape for _, grid in todo])
    for _ in tqdm(
        workers.ordered_map(partial(_preprocess, job), [image for image, _ in todo], processes),
        total=len(images),
        initial=len(images) - len(todo),
        desc="preprocess",
        unit="image",
        disable=None,
    ):
        pass
    for tree, flip in ((output, False), (output_flip, True)):
        record.write(tree, replace(wanted, flip=flip, complete=True))
    cut = [image.file_name for image, grid in zip(images, grids, strict=True) if grid.is_cut]
    return Summary(len(images), len(todo), cut)


def _open_tree(tree: Path, wanted: record.InputsRecord, shapes: set[tuple[int, int]], *, overwrite: bool) -> None:
    """Make the tree's folders and start its record; refuse or, if told so, empty a tree of something else."""
    atomic.make_directory(tree)
    present = record.read(tree, record.InputsRecord)
    stale = sorted(tree.glob("shape_*"))
    if stale and not overwrite and not record.same_work(present, wanted):
        what = "it has no record" if present is None else f"other {', '.join(record.differences(present, wanted))}"
        raise UserError(
            f"{tree} already holds inputs of another run ({what}); give an empty directory, or --overwrite to replace "
            f"them"
        )
    if overwrite:
        for folder in stale:
            shutil.rmtree(folder)
    record.write(tree, wanted)
    for shape in shapes:
        atomic.make_directory(inputs.folder(tree, shape))
    atomic.remove_partials([tree, *(inputs.folder(tree, shape) for shape in shapes)])


def _is_done(job: _Job, image: coco.Image, shape: tuple[int, int]) -> bool:
    files = (inputs.path(tree, shape, image.index) for tree in (job.output, job.output_flip))
    return all(f.is_file() and f.stat().st_size == inputs.size(shape, job.dtype) for f in files)


def _check_space(job: _Job, shapes: list[tuple[int, int]]) -> None:
    """Refuse before the slow part what cannot fit; two trees on one disk share its free space."""
    need = sum(inputs.size(shape, job.dtype) for shape in shapes)
    same_disk = job.output.stat().st_dev == job.output_flip.stat().st_dev
    for tree in (job.output, job.output_flip):
        free = shutil.disk_usage(tree).free
        wanted = need * 2 if same_disk else need
        if wanted > free:
            raise UserError(
                f"{tree}: {wanted / 1e6:.0f} MB of inputs to write, {free / 1e6:.0f} MB free; free space, choose "
                f"another disk, or preprocess fewer images with --limit"
            )


def _preprocess(job: _Job, image: coco.Image) -> None:
    """Write one image's two inputs."""
    cv2.setNumThreads(1)  # the processes share the cores already
    file = coco.image_file(job.root, job.split, image)
    pixels = preprocess.read_image(file)
    height, width = pixels.shape[:2]
    if (width, height) != (image.width, image.height):
        raise UserError(
            f"image {file}: found {width}x{height} pixels, the annotation file says {image.width}x{image.height}; "
            f"use the images that belong to the annotations"
        )
    grid = geometry.fit(width, height, job.short_side)
    warped = preprocess.warp(pixels, grid)
    if job.dtype == inputs.UINT8:
        pair = warped, preprocess.mirror_pixels(warped)
    else:
        tensor = preprocess.normalise(warped)
        pair = tensor, preprocess.mirror(tensor)
    for tree, content in zip((job.output, job.output_flip), pair, strict=True):
        atomic.write_bytes(inputs.path(tree, grid.shape, image.index), content)
