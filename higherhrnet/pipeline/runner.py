"""One chunk through the guide's stages, in a folder of its own: the same files, checks and records as the scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import dumps, inputs, record
from higherhrnet.backends.base import Backend
from higherhrnet.config.options import Options
from higherhrnet.dataset import coco
from higherhrnet.pipeline.chunks import Chunk
from higherhrnet.stages import dataset_info, infer, postprocess, preprocess
from higherhrnet.system import workers

_TREES = ("prep_bin", "prep_bin_flip")
_RESULT = "result"

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


class Runner:
    """Does the three steps, each of which goes on where a stopped run was."""

    def __init__(self, settings: Settings, pool: workers.Pool, backend: Backend) -> None:
        """Use ``pool`` for preprocessing and decoding, ``backend`` for the network."""
        self._settings, self._pool, self._backend = settings, pool, backend

    def preprocess(self, chunk: Chunk, folder: Path) -> dict[int, str]:
        """Write the chunk's inputs; return which images were left out, and why."""
        if (left_out := self._left_out_if_inferred(folder)) is not None:
            return dict.fromkeys(left_out, "a bad image, left out before the run was stopped")
        settings = self._settings
        summary = preprocess.run(
            coco.Dataset(settings.annotations, chunk.images),
            preprocess.PreprocessJob(
                settings.location,
                settings.short_side,
                folder / _TREES[0],
                folder / _TREES[1],
                dtype=settings.input_dtype,
                skip_bad=settings.skip_bad,
            ),
            self._pool,
            quiet=True,
        )
        return summary.left_out

    def infer(self, chunk: Chunk, folder: Path) -> None:
        """Run the network over the chunk's inputs; at least one image must have them."""
        if self._left_out_if_inferred(folder) is not None:
            return
        settings = self._settings
        passes = []
        for tree, flip in zip(_TREES, (False, True), strict=True):
            dataset_info.list_inputs(folder / tree, str(folder / tree))
            passes.append(infer.load(str(folder / tree), flip=flip))
        infer.run(
            self._backend,
            passes,
            infer.InferJob(
                settings.model,
                folder / _RESULT,
                settings.heads,
                device=settings.device,
                devices=settings.devices,
                dtype=settings.dump_dtype,
                model_hash=settings.model_hash,
            ),
        )

    def remove_inputs(self, folder: Path) -> None:
        """Delete what is not needed any more once the chunk is inferred."""
        for tree in _TREES:
            shutil.rmtree(folder / tree, ignore_errors=True)

    def decode(self, chunk: Chunk, folder: Path, left_out: dict[int, str]) -> Iterator[tuple[coco.Image, list[Person]]]:
        """The people of each of the chunk's images that was not left out."""
        settings = self._settings
        return postprocess.people(
            self._dump_directories(folder),
            [image for image in chunk.images if image.index not in left_out],
            short_side=settings.short_side,
            heads=settings.heads,
            options=settings.options,
            pool=self._pool,
        )

    def _dump_directories(self, folder: Path) -> tuple[Path, Path]:
        batch, device = self._backend.batch, self._settings.device
        plain, flip = (infer.dump_directory(folder / _RESULT, batch, device, flip=flip) for flip in (False, True))
        return plain, flip

    def _left_out_if_inferred(self, folder: Path) -> list[int] | None:
        """The images left out of a chunk whose dumps are complete; None where they are not."""
        made = [record.read(directory, record.DumpsRecord) for directory in self._dump_directories(folder)]
        if not all(m is not None and m.complete and m.model == self._settings.model_hash for m in made):
            return None
        assert made[0] is not None
        return (made[0].inputs or {}).get("left_out", [])
