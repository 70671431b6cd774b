"""Chunks: images of one shape that pass through the stages together, as many as the disk allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.image import geometry

IN_FLIGHT = 3
"""Chunks on disk at a time, one a stage, where the budget allows."""

_SMALL_FILES = 96 * 1024  # bytes: records, lists and figures of a chunk, in blocks of 4 KiB
_ROUNDING = 6 * 4096  # bytes: an image's six files, each filling its last block


@dataclass(frozen=True)
class Chunk:
    """Images of one shape (H, W). ``number`` counts the chunks of a plan from 0."""

    number: int
    shape: tuple[int, int]
    images: tuple[coco.Image, ...]
    input_bytes: int
    """Of all its inputs, plain and flipped."""
    scratch_bytes: int
    """The most that inference leaves on disk beside the inputs."""

    @property
    def name(self) -> str:
        """Of the folder it is worked on in; another plan's chunks have other names."""
        height, width = self.shape
        return f"{self.number:06d}_{height}x{width}_{self.images[0].index}_{len(self.images)}"

    @property
    def bytes(self) -> int:
        """The most it takes on disk."""
        return self.input_bytes + self.scratch_bytes


def plan(
    images: Sequence[coco.Image],
    *,
    tested: Plan,
    budget: int,
    image_bytes: Callable[[tuple[int, int]], tuple[int, int]],
    batch: int,
    most: int | None = None,
    in_flight: int = IN_FLIGHT,
) -> list[Chunk]:
    """Cut images into chunks so that ``in_flight`` of them fit the budget; a smaller budget gets chunks of one batch.

    Chunks are of one shape because external programs are started once per shape, and in-process ones plan their memory
    for one. The plan depends on nothing but the arguments, so that a resumed run finds its chunks again.

    Parameters
    ----------
    tested : how images are tested, which decides their shapes
    budget : bytes on disk
    image_bytes : of one image of shape (H, W): its two inputs, and the most that inference leaves beside them
    batch : images a call of the network; chunks hold whole batches where they can
    most : images in a chunk at most; None is no limit

    Raises
    ------
    UserError : a budget in which not even one batch fits
    """
    by_shape: dict[tuple[int, int], list[coco.Image]] = {}
    for image in images:
        by_shape.setdefault(geometry.of_plan(image.width, image.height, tested).shape, []).append(image)
    least, shape = max(
        ((sum(image_bytes(shape)) + _ROUNDING) * min(batch, len(group)) + _SMALL_FILES, shape)
        for shape, group in by_shape.items()
    )
    if least > budget:
        raise UserError(
            f"--disk_budget is {budget / 1e6:.1f} MB, one batch of shape {shape[0]}x{shape[1]} takes "
            f"{least / 1e6:.1f} MB; give more"
        )
    chunks: list[Chunk] = []
    for shape, group in sorted(by_shape.items()):
        input_bytes, scratch_bytes = image_bytes(shape)
        each = input_bytes + scratch_bytes + _ROUNDING
        count = max((budget // in_flight - _SMALL_FILES) // each, 1)
        count = min(count, most or count)
        count = max(count // batch, 1) * batch
        for start in range(0, len(group), count):
            part = tuple(group[start : start + count])
            own = len(part)
            chunks.append(
                Chunk(
                    len(chunks),
                    shape,
                    part,
                    input_bytes * own,
                    (scratch_bytes + _ROUNDING) * own + _SMALL_FILES,
                )
            )
    return chunks
