"""What the stages take from a configuration, as plain values: the only reader of the tree beside the scripts."""

from __future__ import annotations

from yacs.config import CfgNode

from higherhrnet import coco, joints
from higherhrnet.errors import UserError
from higherhrnet.files.dumps import Heads
from higherhrnet.scales import Plan

_PLAIN = {
    "TEST.FLIP_TEST": True,
    "TEST.SCALE_FACTOR": [1],
    "TEST.PROJECT2IMAGE": True,
    "DATASET.WITH_CENTER": False,
    "DATASET.DATA_FORMAT": "jpg",
    "DATASET.DATASET_TEST": "coco",
    "MODEL.TAG_PER_JOINT": True,
}


def check_plain(cfg: CfgNode) -> None:
    """Raise UserError for what only the stages one by one do: other scales, passes, joints and data sets."""
    for key, expected in _PLAIN.items():
        section, name = key.split(".")
        if cfg[section][name] != expected:
            raise UserError(
                f"{key} is {cfg[section][name]}, this command knows {expected} only; preprocessing, inference and "
                f"postprocessing one by one know it"
            )
    if not coco.has_annotations(cfg.DATASET.TEST, layout(cfg)):
        raise UserError(f"DATASET.TEST is {cfg.DATASET.TEST}, this command needs a split with annotations")


def layout(cfg: CfgNode) -> coco.Layout:
    """How the data set lies on disk."""
    return coco.Layout(cfg.DATASET.DATASET_TEST.removesuffix("_kpt"), zipped=cfg.DATASET.DATA_FORMAT == "zip")


def joint_set(cfg: CfgNode) -> joints.JointSet:
    """The joints that grouping joins: of the network's, all but an ignored center."""
    if layout(cfg).kind == coco.CROWD_POSE:
        return joints.CROWD_POSE
    return joints.COCO_WITH_CENTER if cfg.DATASET.WITH_CENTER and not cfg.TEST.IGNORE_CENTER else joints.COCO


def result_joints(cfg: CfgNode) -> int:
    """Joints of a person in a results file: a center is never among them."""
    return len(joint_set(cfg)) - (cfg.DATASET.WITH_CENTER and not cfg.TEST.IGNORE_CENTER)


def heads(cfg: CfgNode) -> Heads:
    """The network's maps, those of an ignored center included."""
    return Heads(cfg.DATASET.NUM_JOINTS, cfg.DATASET.NUM_JOINTS if cfg.MODEL.TAG_PER_JOINT else 1)


def plan(cfg: CfgNode, *, limit_long_side: bool = True) -> Plan:
    """How every image is tested."""
    return Plan(
        short_side=cfg.DATASET.INPUT_SIZE,
        factors=tuple(sorted(cfg.TEST.SCALE_FACTOR, reverse=True)),
        flip=cfg.TEST.FLIP_TEST,
        project=cfg.TEST.PROJECT2IMAGE,
        limited=limit_long_side,
    )
