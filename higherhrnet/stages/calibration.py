"""The inputs that a network in INT8 is calibrated on: of all shapes and both passes, drawn by a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import inputs, models, seen
from higherhrnet.artifacts.inputs import Input
from higherhrnet.artifacts.journal import pictures_of
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.artifacts.work import Inputs
from higherhrnet.backends.in_process import fill
from higherhrnet.errors import UserError
from higherhrnet.stages import passes

LEAST = 10
"""Inputs without which a range says nothing."""


@dataclass(frozen=True)
class Calibration:
    """Inputs to measure ranges on, of all shapes and both passes."""

    plain: tuple[Input, ...]
    flipped: tuple[Input, ...]
    dtype: str
    made: Inputs | None
    """What the tree is of, None where nothing says so."""
    pictures: tuple[str, ...]
    """SHA-256 of the pictures, sorted; empty where nothing says which they are."""
    available: int
    """How many there were to choose from."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """Of all, from before any of them was read."""

    @property
    def all(self) -> list[Input]:
        """Both passes' inputs, shape by shape."""
        return sorted([*self.plain, *self.flipped], key=lambda one: (one.shape, one.index))

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Batches float32 [size, 3, H, W], each of one shape; the last of a shape repeats its first input.

        Raises
        ------
        UserError : an input that cannot be read, or holds NaN or infinity
        """
        for shape in sorted({one.shape for one in self.all}):
            files = [one.path for one in self.all if one.shape == shape]
            for first in range(0, len(files), size):
                some = files[first : first + size]
                batch = np.empty((size, inputs.CHANNELS, *shape), np.float32)
                fill(batch, some, self.dtype)
                seen.check(self.stamps, (file for file in some if file in self.stamps), "calibration input")
                for file, values in zip(some, batch, strict=False):
                    if not np.isfinite(values).all():
                        raise UserError(f"calibration input {file} holds NaN or infinity; run preprocessing again")
                yield batch


def choose(tree: Path, tree_flip: Path | None, count: int, seed: int) -> Calibration:
    """Choose ``count`` inputs of a tree and of its mirrored one: of each shape in proportion to its pixels.

    Raises
    ------
    UserError : trees that are missing, unfinished or not of one work, or fewer than LEAST inputs there or asked for
    """
    if count < LEAST:
        raise UserError(f"--count is {count}, expected at least {LEAST} inputs to calibrate on, better 200; give more")
    made = passes.made_of(tree)
    dtype = inputs.FLOAT32 if made is None else made.work.dtype
    found = [(one, False) for one in inputs.find(tree, dtype)]
    if made is not None and made.work.flip:
        raise UserError(f"--inputs {tree} holds mirrored inputs; exchange it with --inputs_flip")
    if tree_flip is not None and models.same_file(tree, tree_flip):
        raise UserError(f"--inputs and --inputs_flip are both {tree}; give the tree of the mirrored inputs, or omit it")
    if tree_flip is not None:
        mirrored = passes.made_of(tree_flip)
        if (made is None) != (mirrored is None):
            raise UserError(f"only one of {tree} and {tree_flip} says what it is of; preprocess both in one run")
        if made is not None and mirrored is not None:
            passes.check_mirrored(made, mirrored)
        found += [(one, True) for one in inputs.find(tree_flip, dtype)]
    if len(found) < LEAST:
        where = tree if tree_flip is None else f"{tree} with {tree_flip}"
        raise UserError(
            f"{where} holds {len(found)} inputs, expected at least {LEAST} to calibrate on, better 200; preprocess "
            f"more images"
        )
    chosen = _spread(found, count, seed)
    indices = {one.index for one, _ in chosen}
    known = pictures_of(tree / inputs.PICTURES)
    pictures = sorted({known[i].sha256 for i in indices}) if known.keys() >= indices else []
    return Calibration(
        tuple(one for one, flip in chosen if not flip),
        tuple(one for one, flip in chosen if flip),
        dtype,
        made,
        tuple(pictures),
        len(found),
        seen.look(one.path for one, _ in chosen),
    )


def _spread(found: Sequence[tuple[Input, bool]], count: int, seed: int) -> list[tuple[Input, bool]]:
    """At most ``count`` of them, drawn by ``seed``; every shape has one, and the rest go by pixels."""
    by_shape: dict[inputs.Shape, list[tuple[Input, bool]]] = {}
    for one in sorted(found, key=lambda item: (item[0].shape, item[0].index, item[1])):
        by_shape.setdefault(one[0].shape, []).append(one)
    rng = np.random.default_rng(seed)
    drawn = {shape: [group[i] for i in rng.permutation(len(group))] for shape, group in by_shape.items()}
    pixels = {shape: len(group) * shape[0] * shape[1] for shape, group in drawn.items()}
    taken = dict.fromkeys(drawn, 0)
    for _ in range(min(count, len(found))):
        # Whoever has the most pixels for each input that it would have then.
        shape = max(
            (s for s in drawn if taken[s] < len(drawn[s])), key=lambda s: (taken[s] == 0, pixels[s] / (taken[s] + 1), s)
        )
        taken[shape] += 1
    return [one for shape, group in drawn.items() for one in sorted(group[: taken[shape]], key=lambda item: item[0])]
