"""What a configuration says about decoding and where people go: shared by postprocessing, ``run`` and ``merge``."""

from __future__ import annotations

from pathlib import Path

from yacs.config import CfgNode

from higherhrnet import settings
from higherhrnet.decode import Options
from higherhrnet.shards import ALL, Shard


def options(cfg: CfgNode) -> Options:
    """The decode's options."""
    joints = settings.joint_set(cfg)
    return Options(
        detection_threshold=cfg.TEST.DETECTION_THRESHOLD,
        tag_threshold=cfg.TEST.TAG_THRESHOLD,
        max_people=cfg.DATASET.MAX_NUM_PEOPLE,
        nms_kernel=cfg.TEST.NMS_KERNEL,
        use_detection_value=cfg.TEST.USE_DETECTION_VAL,
        ignore_too_much=cfg.TEST.IGNORE_TOO_MUCH,
        adjust=cfg.TEST.ADJUST,
        refine=cfg.TEST.REFINE,
        flip=joints.flip,
        order=joints.order,
    )


def results_file(cfg: CfgNode, cfg_file: Path, shard: Shard = ALL) -> Path:
    """Where the official code leaves its results; a shard's end in _IofN.

    OUTPUT_DIR/{data set}/{network}/{config}/results/keypoints_{split}_results.json
    """
    folder = Path(cfg.OUTPUT_DIR) / cfg.DATASET.DATASET / cfg.MODEL.NAME / cfg_file.stem
    return folder / "results" / f"keypoints_{cfg.DATASET.TEST}_results{shard.suffix}.json"
