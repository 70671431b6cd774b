"""A configuration as typed values; outside this package nothing knows the tree that it was read from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, ground_truth
from higherhrnet.dataset.coco import Location
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.dataset.joints import Description, JointSet
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
    described: Description
    """What DATASET.JOINTS says of the joints; the rest is the annotation file's."""
    chosen: bool
    """Whether the user named the joints, with DATASET.JOINTS."""
    result_joints: int
    """Joints of a person in a results file: a center is never among them."""
    groups_center: bool
    """Grouping begins with a center (DATASET.WITH_CENTER, TEST.IGNORE_CENTER False)."""
    decoding: Options
    """The decode's, but for what depends on the joints."""
    weights: Path | None
    """TEST.MODEL_FILE"""
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

    @cached_property
    def joint_set(self) -> JointSet:
        """The joints of a person in a results file. The annotation file is read where DATASET.JOINTS names none.

        Raises
        ------
        UserError : nothing that names them, or other numbers of joints than the network's
        """
        described, file = self.described, self.location.annotations
        if described.names is not None:
            return self._of_number(described.complete(), file=None)
        if not file.exists():
            raise UserError(
                f"nothing names the {self.result_joints} joints of config {self.file}: annotation file {file} does not "
                f"exist; give it with DATASET.ANNOTATIONS, or a yaml file that has names: with DATASET.JOINTS"
            )
        found = coco.AnnotationFile.read(file).category
        if described.skeleton is None:
            ground_truth.check_skeleton(found, file)
        return self._of_number(described.complete(found.keypoints, found.skeleton, file), file=file)

    def _of_number(self, found: JointSet, file: Path | None) -> JointSet:
        if len(found) != self.result_joints:
            where = f"annotation file {file}" if file else f"joints {self.described.source}"
            raise UserError(
                f"{where} has {len(found)} joints, config {self.file} {self.result_joints} (DATASET.NUM_JOINTS); give "
                f"those that belong together"
            )
        return found

    @property
    def joints(self) -> JointSet:
        """The joints that grouping joins: of the network's, all but an ignored center. Raises as ``joint_set``."""
        return self.joint_set.with_center if self.groups_center else self.joint_set

    @property
    def options(self) -> Options:
        """The decode's. Raises as ``joint_set``."""
        found = self.joints
        return replace(self.decoding, flip=found.flip, order=found.order, sigmas=self.joint_set.sigmas)

    @property
    def protocol(self) -> EvaluationProtocol:
        """As what annotated people are read and evaluated. Raises as ``joint_set``."""
        return EvaluationProtocol(self.joint_set, crowd_pose=self.location.kind == coco.CROWD_POSE, chosen=self.chosen)

    def check_joints(self, network: int | None, model: Path, annotations: coco.AnnotationFile | None = None) -> None:
        """Refuse a network, this configuration and an annotation file that are of several numbers of joints.

        Parameters
        ----------
        network : the number of heatmaps of ``model``, or of a folder of its outputs; None where it is not known
        annotations : None looks into the data set's, where that is there, for the message alone

        Raises
        ------
        UserError : naming all three numbers
        """
        own = self.heads.joints
        center = own - self.result_joints
        annotated = None if annotations is None or annotations.joints is None else annotations.joints + center
        if all(number in {None, own} for number in (network, annotated)):
            return
        if annotated is None:
            with contextlib.suppress(UserError):
                annotated = coco.AnnotationFile.read(self.location.annotations).joints
        numbers = ("an unknown number of" if number is None else str(number) for number in (network, annotated))
        of_network, of_annotations = numbers
        raise UserError(
            f"{model} has {of_network} joints, config {self.file} {own} (NUM_JOINTS), annotation file "
            f"{self.location.annotations} {of_annotations}; give a model, a --cfg and a data set of one number"
        )

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
            ("MODEL.TAG_PER_JOINT", self.heads.tags == self.heads.joints, True),
        ):
            if found != expected:
                raise UserError(
                    f"{key} is {found}, this command supports {expected} only; run preprocessing, inference and "
                    f"postprocessing one by one"
                )
        if not self.location.has_annotations:
            raise UserError(f"DATASET.TEST is {self.location.split}, this command needs a split with annotations")
