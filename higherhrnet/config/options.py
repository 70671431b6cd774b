"""What the official config's TEST and DATASET sections say about decoding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from higherhrnet.dataset import joints


@dataclass(frozen=True)
class Options:
    """Everything that affects decoded poses beside the outputs. Defaults: W32-512 on COCO."""

    detection_threshold: float = 0.1
    """A peak must be higher than this to count."""
    tag_threshold: float = 1.0
    """A peak joins a person whose mean tag is nearer than this."""
    max_people: int = 30
    """Peaks taken of a heatmap, and people that later peaks are matched against."""
    nms_kernel: int = 5
    """Side of the window a peak must dominate, in input pixels; odd."""
    use_detection_value: bool = True
    ignore_too_much: bool = False
    adjust: bool = True
    refine: bool = True
    flip: tuple[int, ...] = joints.COCO.flip
    """flip[j] is the joint whose map of the mirrored pass shows joint j."""
    order: tuple[int, ...] = joints.COCO.order
    oks_nms: float = 0
    """Of two people of at least this similarity only the better one is kept; 0 keeps all, as the official code."""
    min_score: float = 0
    """People of a lower score are left out; 0 keeps all, as the official code."""
    sigmas: tuple[float, ...] = ()
    """Of the joints that are results, for ``oks_nms``."""

    @property
    def recorded(self) -> dict[str, Any]:
        """By name, what decides the people: of filters only those that are on."""
        values = asdict(self)
        if not self.oks_nms:
            del values["oks_nms"], values["sigmas"]
        if not self.min_score:
            del values["min_score"]
        return values
