"""One chunk through the guide's stages, in a folder of its own: the same files, checks and records as the scripts."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import atomic, claim, dumps, inputs
from higherhrnet.artifacts.journal import pictures_of
from higherhrnet.artifacts.pictures import Picture
from higherhrnet.artifacts.work import DumpsWork, InputsWork
from higherhrnet.backends.base import Backend
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco
from higherhrnet.dataset.ground_truth import PERSON
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from higherhrnet.pipeline.chunks import Chunk
from higherhrnet.pipeline.clock import Clock
from higherhrnet.stages import dataset_info, infer, passes, postprocess, preprocess
from higherhrnet.system import workers

_TREES = ("prep_bin", "prep_bin_flip")
_RESULT = "result"
# What stages advise in words of the scripts, whose folders and flags a run does not have.
_OF_SCRIPTS = re.compile(
    "HigherHRNet_(preprocess|benchmark|postprocess)|gen_dataset_info|preprocess|network again|free space|"
    "--(output|result|info|dump_dir|limit|dtype|overwrite)"
)
_OF_RUN = (
    "run the same command again, which does this chunk again; where the disk is full free space before, or give "
    "another --work"
)

Person = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What all chunks of a run have in common."""

    annotations: Path
    location: coco.Location
    short_side: int
    heads: dumps.Heads
    options: Options
    model: Path
    model_hash: str
    device: int = 0
    devices: tuple[int, ...] = ()
    input_dtype: str = inputs.FLOAT32
    dump_dtype: str = inputs.FLOAT32
    skip_bad: bool = False
    category: int = PERSON
    """Of people in results."""
    exif: bool = False
    """Images are turned as their EXIF orientation says."""
    limited: bool = True
    """Long images are cut."""
    calibrated: frozenset[str] = frozenset()
    """SHA-256 of the pictures that the model, one in INT8, was calibrated on."""

    @property
    def plan(self) -> Plan:
        """How every image is tested."""
        return Plan(self.short_side, limited=self.limited)


@dataclass(frozen=True)
class Prepared:
    """What became of a chunk's images when they were read."""

    left_out: dict[int, str]
    """Why images were left out, by index."""
    pictures: dict[int, Picture]
    """Of the others."""


@contextlib.contextmanager
def remedied() -> Iterator[None]:
    """Errors of the stages, with what helps in a run in place of what helps between the scripts."""
    try:
        yield
    except BadImageError:
        raise
    except UserError as e:
        what, _, remedy = str(e).rpartition("; ")
        if what and _OF_SCRIPTS.search(remedy):
            raise UserError(f"{what}; {_OF_RUN}") from e
        raise


class Steps:
    """Does the three steps, each of which resumes where a stopped run was."""

    def __init__(self, settings: Settings, pool: workers.Pool, backend: Backend) -> None:
        """Use ``pool`` for preprocessing and decoding, ``backend`` for the network."""
        self._settings, self._pool, self._backend = settings, pool, backend

    @remedied()
    def preprocess(self, chunk: Chunk, folder: Path) -> Prepared:
        """Write the chunk's inputs, unless its dumps are there already."""
        try:
            inferred = self._if_inferred(folder)
        except UserError:  # a damaged record
            atomic.remove_folder(folder)
            inferred = None
        if inferred is not None:
            if self._is_still(chunk, inferred):
                return inferred
            atomic.remove_folder(folder)
        settings = self._settings
        job = preprocess.PreprocessJob(
            settings.location,
            settings.short_side,
            folder / _TREES[0],
            folder / _TREES[1],
            dtype=settings.input_dtype,
            skip_bad=settings.skip_bad,
            exif=settings.exif,
            scale=settings.plan.scale(1),
        )
        summary = preprocess.run(coco.Dataset(settings.annotations, chunk.images), job, self._pool, quiet=True)
        return Prepared(summary.left_out, summary.pictures)

    @remedied()
    def infer(self, chunk: Chunk, folder: Path) -> None:
        """Run the network over the chunk's inputs; at least one image must have them."""
        if self._if_inferred(folder) is not None:
            return
        settings = self._settings
        loaded = []
        for tree, flip in zip(_TREES, (False, True), strict=True):
            dataset_info.list_inputs(folder / tree, str(folder / tree))
            loaded.append(passes.load(str(folder / tree), flip=flip))
        job = infer.InferJob(
            settings.model,
            folder / _RESULT,
            settings.heads,
            device=settings.device,
            devices=settings.devices,
            dtype=settings.dump_dtype,
            model_hash=settings.model_hash,
            calibrated=settings.calibrated,
        )
        infer.run(self._backend, loaded, job)

    def seconds(self, chunk: Chunk, folder: Path) -> dict[str, float]:
        """What each step takes for a chunk, one after another."""
        clock = Clock()
        with clock.measure("preprocess"):
            left_out = self.preprocess(chunk, folder).left_out
        if len(left_out) < len(chunk.images):
            with clock.measure("infer"):
                self.infer(chunk, folder)
            with clock.measure("decode"):
                for _ in self.decode(chunk, folder, left_out):
                    pass
        return clock.seconds

    def remove_inputs(self, folder: Path) -> None:
        """Delete what is not needed any more once the chunk is inferred; what pictures it is of stays known."""
        for tree in _TREES:
            if (folder / tree).is_dir():
                for inputs_folder in inputs.folders(folder / tree):
                    shutil.rmtree(inputs_folder, ignore_errors=True)

    def decode(self, chunk: Chunk, folder: Path, left_out: dict[int, str]) -> Iterator[tuple[coco.Image, list[Person]]]:
        """The people of each of the chunk's images that was not left out; of damaged dumps the folder is removed."""
        settings = self._settings
        try:
            with remedied():
                yield from postprocess.people(
                    self._dump_directories(folder),
                    [image for image in chunk.images if image.index not in left_out],
                    plan=settings.plan,
                    heads=settings.heads,
                    options=settings.options,
                    pool=self._pool,
                    category=settings.category,
                )
        except UserError:
            atomic.remove_folder(folder)  # or the next run would find its dumps complete
            raise

    def _dump_directories(self, folder: Path) -> tuple[Path, Path]:
        batch, device = self._backend.batch, self._settings.device
        plain, flip = (infer.dump_directory(folder / _RESULT, batch, device, flip=flip) for flip in (False, True))
        return plain, flip

    def _if_inferred(self, folder: Path) -> Prepared | None:
        """What became of the images of a chunk whose dumps are complete; None where they are not."""
        made = [claim.read(directory, DumpsWork) for directory in self._dump_directories(folder)]
        record, _ = (claim.read(folder / tree, InputsWork) for tree in _TREES)
        if record is None or not all(m and m.complete and m.work.model == self._settings.model_hash for m in made):
            return None
        return Prepared(
            dict.fromkeys(record.facts.left_out, "a bad image, left out before the run was stopped"),
            pictures_of(folder / _TREES[0] / inputs.PICTURES),
        )

    def _is_still(self, chunk: Chunk, prepared: Prepared) -> bool:
        """Whether a chunk's dumps are of its pictures as they are now."""
        return all(
            image.index in prepared.left_out
            or (
                image.index in prepared.pictures
                and reader.is_still(self._settings.location.picture(image), prepared.pictures[image.index])
            )
            for image in chunk.images
        )
