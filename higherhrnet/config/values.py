"""A configuration as typed values; outside this package nothing knows the tree that it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset.coco import COCO, Location
from higherhrnet.dataset.joints import JointSet
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.errors import UserError


@dataclass(frozen=True)
class Config:
    """What a yaml file of the official layout and its overrides mean."""

    file: Path
    location: Location
    """Where the data set lies."""
    plan: Plan
    """How every image is tested; long images are cut."""
    heads: Heads
    """The network's maps, those of an ignored center included."""
    joints: JointSet
    """The joints that grouping joins: of the network's, all but an ignored center."""
    result_joints: int
    """Joints of a person in a results file: a center is never among them."""
    options: Options
    """The decode's."""
    network: str
    """MODEL.NAME"""
    extra: Mapping[str, Any]
    """MODEL.EXTRA: the stages of the network."""
    output: Path
    """OUTPUT_DIR"""
    data_set: str
    """DATASET.DATASET, which names a folder of results."""
    text: str
    """The whole tree, for a log."""

    def results_file(self, shard: Shard = ALL) -> Path:
        """Where the official code leaves its results; a shard's end in _IofN.

        OUTPUT_DIR/{data set}/{network}/{config}/results/keypoints_{split}_results.json
        """
        folder = self.output / self.data_set / self.network / self.file.stem / "results"
        return folder / f"keypoints_{self.location.split}_results{shard.suffix}.json"

    def require_plain(self) -> None:
        """Raise UserError for what only the stages one by one do: other scales, passes, joints and data sets."""
        for key, found, expected in (
            ("TEST.FLIP_TEST", self.plan.flip, True),
            ("TEST.SCALE_FACTOR", list(self.plan.factors), [1]),
            ("TEST.PROJECT2IMAGE", self.plan.project, True),
            ("DATASET.WITH_CENTER", self.heads.joints != self.result_joints, False),
            ("DATASET.DATA_FORMAT", "zip" if self.location.zipped else "jpg", "jpg"),
            ("DATASET.DATASET_TEST", self.location.kind, COCO),
            ("MODEL.TAG_PER_JOINT", self.heads.tags == self.heads.joints, True),
        ):
            if found != expected:
                raise UserError(
                    f"{key} is {found}, this command supports {expected} only; run preprocessing, inference and "
                    f"postprocessing one by one"
                )
        if not self.location.has_annotations:
            raise UserError(f"DATASET.TEST is {self.location.split}, this command needs a split with annotations")
