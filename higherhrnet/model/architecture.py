"""What distinguishes one HigherHRNet from another: widths, blocks, joints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.errors import UserError

STEM_CHANNELS = 64
BOTTLENECK_EXPANSION = 4


@dataclass(frozen=True)
class Stage:
    """One HRNet stage: ``modules`` exchange modules of parallel branches, highest resolution first.

    ``channels[b]`` and ``blocks[b]`` are the width and the number of basic blocks of branch b.
    """

    modules: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]


_MOST_CHANNELS, _MOST_BLOCKS = 4096, 64  # W48, the largest published, has 384 and 4


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one HigherHRNet from another. W32-512: stages of 32, 64, 128, 256 channels."""

    stages: tuple[Stage, Stage, Stage]
    deconv_channels: int
    deconv_blocks: int
    joints: int = 17
    tags: int = 17
    """Tag maps: one per joint, or one that all share (MODEL.TAG_PER_JOINT False)."""

    def as_json(self) -> str:
        """One line that two architectures share only where they are equal."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_extra(cls, extra: Mapping, heads: Heads) -> Architecture:
        """Read the ``MODEL.EXTRA`` mapping of an official config. Raises UserError for what is not HigherHRNet."""
        try:
            stages = tuple(_stage(extra[name], name) for name in ("STAGE2", "STAGE3", "STAGE4"))
            deconv = extra["DECONV"]
            fixed = {
                "FINAL_CONV_KERNEL": (extra["FINAL_CONV_KERNEL"], 1),
                "STEM_INPLANES": (extra.get("STEM_INPLANES", STEM_CHANNELS), STEM_CHANNELS),
                "DECONV.NUM_DECONVS": (deconv["NUM_DECONVS"], 1),
                "DECONV.KERNEL_SIZE": (list(deconv["KERNEL_SIZE"]), [4]),
                "DECONV.CAT_OUTPUT": (list(deconv["CAT_OUTPUT"]), [True]),
            }
            channels, blocks = deconv["NUM_CHANNELS"][0], deconv["NUM_BASIC_BLOCKS"]
        except (KeyError, IndexError, TypeError) as e:
            raise UserError(f"config: MODEL.EXTRA is incomplete: {e} is missing or malformed") from e
        for key, (found, expected) in fixed.items():
            if found != expected:
                raise UserError(f"config: MODEL.EXTRA.{key} is {found}, only {expected} is supported")
        sizes = [channels, *(c for stage in stages for c in stage.channels)]
        counts = [blocks, *(n for stage in stages for n in (stage.modules, *stage.blocks))]
        for what, numbers, most in (("channels", sizes, _MOST_CHANNELS), ("modules and blocks", counts, _MOST_BLOCKS)):
            if not all(type(n) is int and 1 <= n <= most for n in numbers):
                raise UserError(f"config: MODEL.EXTRA has {what} of {numbers}, expected whole numbers of 1 to {most}")
        return cls(stages, channels, blocks, heads.joints, heads.tags)  # type: ignore[arg-type]


def _stage(node: Mapping, name: str) -> Stage:
    stage = Stage(node["NUM_MODULES"], tuple(node["NUM_CHANNELS"]), tuple(node["NUM_BLOCKS"]))
    branches = int(name[-1])
    if not len(stage.channels) == len(stage.blocks) == node["NUM_BRANCHES"] == branches:
        raise UserError(f"config: MODEL.EXTRA.{name} needs {branches} branches with channels and blocks for each")
    if node["BLOCK"] != "BASIC" or node["FUSE_METHOD"] != "SUM":
        raise UserError(f"config: MODEL.EXTRA.{name} has {node['BLOCK']}/{node['FUSE_METHOD']}, expected BASIC/SUM")
    return stage
