"""Stage 1: images to .bin files, plain and flipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from higherhrnet.artifacts import atomic, inputs
from higherhrnet.artifacts.claim import Claim, Record, claim
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.pictures import Picture, digest_of
from higherhrnet.artifacts.work import InputsWork
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
    changed: int
    """Images whose inputs were made again, because their pictures had changed."""
    pictures: dict[int, Picture]
    """By index, of the images that have inputs."""


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
    exif: bool = False
    """Turn images as their EXIF orientation says, as viewers do; the official code does not."""
    scale: Scale = field(default_factory=Scale)
    layout: str = inputs.FOLDERS
    """One of inputs.LAYOUTS; flat does not go with uint8, for which ATC has no --dynamic_dims."""

    @property
    def trees(self) -> list[tuple[Path, bool]]:
        """The trees to fill, and whether each is the mirrored inputs'."""
        return [(self.output, False)] + ([(self.output_flip, True)] if self.output_flip else [])


def run(dataset: coco.Dataset, job: PreprocessJob, pool: workers.Pool, *, quiet: bool = False) -> Summary:
    """Write the inputs of a data set's images, and the flip inputs, each tree with its record and its pictures' hashes.

    Files that are there already, made from the same pictures in the same way, are kept, so a stopped run resumes.
    ``quiet``: without a bar.

    Raises UserError: a tree of other work, a bad image (missing, truncated, no image, of another size than annotated),
    a full disk, another run in a tree; whole files stay.
    """
    transform.check_opencv()
    if job.output_flip and os.path.realpath(job.output) == os.path.realpath(job.output_flip):
        raise UserError(f"--output and --output_flip are both {job.output}; give two directories")
    first = dataset.images[: job.limit]
    images = job.shard.select(first)
    with contextlib.ExitStack() as stack:
        trees = [
            stack.enter_context(
                claim(
                    tree,
                    Record(work(dataset, job, len(first), flip=flip)),
                    content=_folders,
                    what="inputs",
                    instead="give another --output and --output_flip",
                    overwrite=job.overwrite,
                )
            )
            for tree, flip in job.trees
        ]
        ledgers = [stack.enter_context(_ledger(tree)) for tree in trees]
        return _fill(job, images, trees, ledgers, pool, quiet=quiet)


def work(dataset: coco.Dataset, job: PreprocessJob, images: int, *, flip: bool) -> InputsWork:
    """What decides the inputs that a job makes of a data set's first ``images``, beside the pictures."""
    return InputsWork(
        dataset=dataset.fingerprint,
        images=images,
        shard=str(job.shard),
        short_side=job.short_side,
        flip=flip,
        dtype=job.dtype,
        **asdict(job.scale),
        exif=job.exif,
        version=transform.VERSION,
        opencv=cv2.__version__,
        layout=job.layout,
    )


def _ledger(tree: Claim[InputsWork]) -> Journal[InputsWork]:
    """The table of the pictures that a tree is of; a link in its place, as in a folder of others, is not followed."""
    path = tree.place / inputs.PICTURES
    if path.is_symlink():
        path.unlink()
    return Journal(path, tree.record, afresh=True)


def _folders(tree: Path) -> list[Path]:
    found = list(inputs.folders(tree))
    for folder in found:
        atomic.refuse_link(folder)
    return [*found, *inputs.flat_files(tree)]


def _place(job: PreprocessJob, tree: Path, shape: tuple[int, int], index: int) -> tuple[Path, int]:
    """Where an input lies, and its bytes."""
    if job.layout == inputs.FLAT:
        return inputs.flat_path(tree, index), inputs.flat_size(shape, job.dtype)
    return inputs.path(tree, shape, index), inputs.size(shape, job.dtype)


def _fill(
    job: PreprocessJob,
    images: list[coco.Image],
    trees: Sequence[Claim[InputsWork]],
    ledgers: Sequence[Journal[InputsWork]],
    pool: workers.Pool,
    *,
    quiet: bool,
) -> Summary:
    """Write what is missing in the trees, which this process holds."""
    grids = {image.index: geometry.fit(image.width, image.height, job.short_side, job.scale) for image in images}
    shapes = {grid.shape for grid in grids.values()}
    folders = {_place(job, tree.place, shape, 0)[0].parent for tree in trees for shape in shapes}
    atomic.remove_partials(folder for folder in folders if folder.is_dir())
    there = _there(job, images, {index: grid.shape for index, grid in grids.items()})
    known = [image for image in there if all(image.index in ledger.pictures for ledger in ledgers)]
    done = {image.index: picture for image in known if (picture := _unchanged(job, image, ledgers))}
    changed = [image for image in known if image.index not in done]
    todo = [image for image in images if image.index not in done]
    _check_space(job, [grids[image.index].shape for image in todo])
    for folder in folders:
        atomic.make_directory(folder)
    for ledger in ledgers:
        for image in todo:
            if image.index in ledger.pictures:  # which this run, if it is stopped, may already have made untrue
                ledger.leave_out(image.index, "its inputs are made again")
        for index, picture in done.items():
            if ledger.pictures[index] != picture:  # the same in another file: not to be read the next time
                ledger.add(index, picture)
    left_out: dict[int, str] = {}
    with tqdm(
        total=len(images), initial=len(done), desc="preprocess", unit="image", disable=True if quiet else None
    ) as bar:
        for image, outcome in zip(todo, pool.map(partial(_preprocess, job), todo), strict=True):
            if isinstance(outcome, str):
                left_out[image.index] = outcome
            else:
                for ledger in ledgers:
                    ledger.add(image.index, outcome)
            bar.update()
    atomic.remove_partials(folders)  # a killed run's workers may outlive it by a moment
    pictures = {image.index: ledgers[0].pictures[image.index] for image in images if image.index not in left_out}
    digest = digest_of(pictures)
    for tree in trees:
        tree.complete(pictures=digest, left_out=sorted(left_out))
    cut = [image.file_name for image in images if grids[image.index].is_cut]
    return Summary(len(pictures), len(todo) - len(left_out), cut, left_out, len(changed), pictures)


def _there(job: PreprocessJob, images: Sequence[coco.Image], shapes: dict[int, tuple[int, int]]) -> list[coco.Image]:
    """The images whose inputs are whole. Of thousands that are done, each costs a look at each of its files alone."""
    places = {
        shape: [(str(file.parent), size) for file, size in (_place(job, tree, shape, 0) for tree, _ in job.trees)]
        for shape in set(shapes.values())
    }

    def is_whole(file: str, size: int) -> bool:
        try:
            status = os.stat(file)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def is_there(index: int) -> bool:
        name = inputs.name(index, job.layout)
        return all(is_whole(f"{folder}/{name}", size) for folder, size in places[shapes[index]])

    return [image for image in images if is_there(image.index)]


def _unchanged(job: PreprocessJob, image: coco.Image, ledgers: Sequence[Journal[InputsWork]]) -> Picture | None:
    """An image's picture where all trees' inputs are of it; None where it has changed since."""
    known = [ledger.pictures[image.index] for ledger in ledgers]
    try:
        picture = reader.picture(job.location.picture(image), known[0])
    except BadImageError:
        return None
    return picture if {one.sha256 for one in known} == {picture.sha256} else None


def _check_space(job: PreprocessJob, shapes: list[tuple[int, int]]) -> None:
    """Refuse before the slow part what cannot fit; two trees on one disk share its free space."""
    need = sum(inputs.size(shape, job.dtype) for shape in shapes)
    disks = [tree.stat().st_dev for tree, _ in job.trees]
    for (tree, _), disk in zip(job.trees, disks, strict=True):
        free = shutil.disk_usage(tree).free
        wanted = need * disks.count(disk)
        if wanted > free:
            fewer = "" if inputs.folders(tree) else ", or fewer images with --limit"  # whose inputs are another work
            raise UserError(
                f"{tree}: {wanted / 1e6:.0f} MB of inputs to write, {free / 1e6:.0f} MB free; free space, or give "
                f"--output and --output_flip on another disk{fewer}"
            )


def _preprocess(job: PreprocessJob, image: coco.Image) -> Picture | str:
    """Write one image's inputs; return its picture or, where bad images are skipped, what is wrong with it."""
    cv2.setNumThreads(1)  # the processes share the cores already
    try:
        pixels, picture = read(job.location, image, exif=job.exif)
    except BadImageError as e:
        if not job.skip_bad:
            raise BadImageError(f"{e}, or leave it out with --skip_bad") from e
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
        file, _ = _place(job, tree, grid.shape, image.index)
        atomic.write_bytes(file, inputs.npy(stored) if job.layout == inputs.FLAT else stored)
    return picture


def read(location: coco.Location, image: coco.Image, *, exif: bool = False) -> tuple[np.ndarray, Picture]:
    """An image's pixels, and its file. Raises BadImageError, also where it is not of the size that is annotated.

    ``exif``: turned as its EXIF orientation says.
    """
    file = location.picture(image)
    content, picture = reader.read_picture(file)
    pixels = reader.decode(content, file, exif=exif)
    height, width = pixels.shape[:2]
    if (width, height) != (image.width, image.height):
        found = f"image {file}: found {width}x{height} pixels, the annotation file says {image.width}x{image.height}"
        if reader.decode(content, file, exif=not exif).shape[:2] == (image.height, image.width):
            raise BadImageError(
                f"{found}, which is its size {'before' if exif else 'after'} its EXIF orientation turns it; "
                f"{'omit' if exif else 'give'} --exif, which turns all images as viewers do, and give --overwrite"
            )
        raise BadImageError(f"{found}; use the images that belong to the annotations")
    return pixels, picture
