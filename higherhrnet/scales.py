"""How an image is tested: at which scales, with or without its mirror image, and into which frame that is fused.

TEST.SCALE_FACTOR, FLIP_TEST and PROJECT2IMAGE of the official tools/valid.py. Files of a scale other than 1 lie beside
those of scale 1, in a folder or under a name that ends in _scale{factor}.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from higherhrnet import geometry
from higherhrnet.decode import Options, Outputs, fused
from higherhrnet.errors import UserError


@dataclass(frozen=True)
class Plan:
    """How every image is tested."""

    short_side: int
    """DATASET.INPUT_SIZE, at scale 1."""
    factors: tuple[float, ...] = (1,)
    """Scale factors, largest first, as the official code runs them."""
    flip: bool = True
    """Each scale is run on the mirrored input too."""
    project: bool = True
    """Maps are fused at the size of the input at scale 1, otherwise at that of output2 at the largest scale."""
    limited: bool = True
    """Long images are cut, as in geometry.Scale."""

    @property
    def tags_of(self) -> int:
        """Index of the factor whose tags count: of scale 1, where there are several."""
        return self.factors.index(1) if len(self.factors) > 1 else 0

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """All input shapes (H, W) of all scales with limited long sides, the largest first."""
        scales = (replace(self.scale(factor), limited=True) for factor in self.factors)
        return list(dict.fromkeys(shape for scale in scales for shape in geometry.shape_grid(self.short_side, scale)))

    def scale(self, factor: float) -> geometry.Scale:
        """What geometry needs to know of a scale."""
        return geometry.Scale(factor, min(self.factors), self.limited)

    def fit(self, width: int, height: int, factor: float) -> geometry.Geometry:
        """The way of an image of width x height into the input at a scale."""
        return geometry.fit(width, height, self.short_side, self.scale(factor))


def beside(path: Path, factor: float) -> Path:
    """Where the files of a scale lie: those of scale 1 at ``path``."""
    if factor == 1:
        return path
    named = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    if not named.name:
        raise UserError(f"{path} has nothing beside it for the files of scale {factor:g}; give a folder below")
    return named.with_name(f"{named.name}_scale{factor:g}")


def decode_image(
    plan: Plan, width: int, height: int, outputs: Sequence[Sequence[Outputs]], options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """The people of an image of width x height from its network outputs.

    Parameters
    ----------
    outputs : for each of the plan's factors, in order, the outputs of the input and, with ``flip``, of the mirrored one

    Returns
    -------
    keypoints : float64 [P, K, 3]; x, y in image pixels and value
    scores : float32 [P]

    Raises
    ------
    ValueError : as decode.fused
    """
    size = plan.fit(width, height, 1).shape if plan.project else None
    people = fused(outputs, size, plan.tags_of, options)
    # The official code maps back with the last scale's frame; all frames agree up to rounding.
    last = plan.fit(width, height, plan.factors[-1])
    keypoints = people.keypoints.astype(np.float64)
    keypoints[:, :, :2] = last.to_image(people.keypoints[:, :, :2], size or outputs[0][0][1].shape[1:])
    return keypoints, people.scores
