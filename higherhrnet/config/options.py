"""What the official config's TEST and DATASET sections say about decoding."""

from __future__ import annotations

from dataclasses import dataclass

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
    flip: tuple[int, ...] = joints.FLIP
    """flip[j] is the joint whose map of the mirrored pass shows joint j."""
    order: tuple[int, ...] = joints.GROUPING_ORDER

    @property
    def scalars(self) -> tuple[float, float, int, int, bool, bool, bool, bool]:
        """All but ``flip`` and ``order``, in the order and the types that the kernels take them in."""
        return (
            float(self.detection_threshold),
            float(self.tag_threshold),
            int(self.max_people),
            int(self.nms_kernel),
            bool(self.use_detection_value),
            bool(self.ignore_too_much),
            bool(self.adjust),
            bool(self.refine),
        )
