"""How an image is tested: at which scales, with or without its mirror image, and into which frame that is fused.

TEST.SCALE_FACTOR, FLIP_TEST and PROJECT2IMAGE of the official tools/valid.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """One of the scales an image is tested at, and whether long images are cut. The default is the guide's."""

    factor: float = 1
    """One of TEST.SCALE_FACTOR."""
    smallest: float = 1
    """The smallest of TEST.SCALE_FACTOR: sizes are multiples of geometry.STEP there, in proportion elsewhere."""
    limited: bool = True
    """The long side is at most twice the short one, as fixed-shape backends need it; the ends are cut off."""


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
    """Long images are cut, as in Scale."""

    @property
    def tags_of(self) -> int:
        """Index of the factor whose tags count: of scale 1, where there are several."""
        return self.factors.index(1) if len(self.factors) > 1 else 0

    def scale(self, factor: float) -> Scale:
        """What geometry needs to know of a scale."""
        return Scale(factor, min(self.factors), self.limited)
