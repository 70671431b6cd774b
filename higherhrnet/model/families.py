"""Whose checkpoint a file is, by the names of its parameters, and these under the official names.

Names as the authors' code gives them, at the commits that tests/data/families/ names: github.com/HRNet/
HigherHRNet-Human-Pose-Estimation, greatlog/SWAHR-HumanPose, open-mmlab/mmpose 0.x, PaddlePaddle/PaddleDetection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from higherhrnet.errors import UserError

_WRAPPERS = re.compile(r"(?:(?:module|model|net|_orig_mod|1)\.)*")
"""What training leaves before names: DataParallel, Lightning and others, torch.compile, and the official FP16.ENABLED,
whose network is the second of three modules."""
_CONFIGS = {
    f"{width}, {joints} joints": f"experiments/{data}/higher_hrnet/{width.lower()}_{size}_adam_lr1e-3.yaml"
    for joints, data in ((17, "coco"), (14, "crowd_pose"))
    for width, size in (("W32", 512), ("W48", 640))
}
"""The shipped configurations by what shapes tell; the input size is none of it: W32 has one of 640 too."""
_LISTED = 5


@dataclass(frozen=True)
class Family:
    """One code's way to name the parameters."""

    name: str
    """As messages call it."""
    sign: str
    """A pattern that some of its names begin with, and no earlier family's."""
    official: Callable[[str], str | None]
    """The official name of a parameter; None for one that is no parameter of this family."""
    dropped: str = r"(?!)"
    """A pattern of parameters that feed nothing at test time."""


@dataclass(frozen=True)
class Recognised:
    """A state_dict under the official names, and what it was."""

    family: Family
    state: dict[str, Tensor]
    dropped: tuple[str, ...]
    """Names of what was left out."""

    def __str__(self) -> str:
        """'SWAHR checkpoint of W32, 17 joints; 18 parameters that feed nothing at test time dropped: ...'."""
        if not self.dropped:
            return self.brief
        shared = ", ".join(sorted({_stem(name) for name in self.dropped}))
        return f"{self.brief}; {len(self.dropped)} parameters that feed nothing at test time dropped: {shared}"

    @property
    def brief(self) -> str:
        """'SWAHR checkpoint of W32, 17 joints'."""
        described = self.describe()
        return f"{self.family.name} checkpoint" + (f" of {described}" if described else "")

    @property
    def remedy(self) -> str:
        """What to do where it does not fit: name the configuration that is shipped for it."""
        known = _CONFIGS.get(self.describe())
        return f"give --cfg {known}, or other weights" if known else "give the matching --cfg or weights"

    def describe(self) -> str:
        """'W32, 17 joints', by the shapes of the last convolutions; '' where these are missing."""
        first, second = (self.state.get(f"final_layers.{k}.weight") for k in (0, 1))
        if first is None or second is None or first.ndim != len("OIHW") or second.ndim != len("OIHW"):
            return ""
        joints = len(second)
        tags = "" if len(first) == 2 * joints else f", {len(first) - joints} tag maps"
        return f"W{first.shape[1]}, {joints} joints{tags}"


def _stem(name: str) -> str:
    return re.split(r"\.\d|(?<=\D)\d+\.", name)[0] + ".*"


def recognise(state: Mapping[str, Tensor], path: object) -> Recognised:
    """Whose a state_dict is, and the same under the official names.

    Raises
    ------
    UserError : another network's checkpoint, parameters of two families, or one parameter under two names
    """
    plain = {}
    for name, value in state.items():
        short = name[_WRAPPERS.match(name).end() :]  # type: ignore[union-attr]
        if short in plain:
            raise _twice(path, short)
        plain[short] = value
    for pattern, network in _OTHERS.items():
        if any(re.match(pattern, name) for name in plain):
            raise UserError(f"weights {path} are {network}; this program runs HigherHRNet: give a checkpoint of that")
    family = next((f for f in _FAMILIES if any(re.match(f.sign, name) for name in plain)), OFFICIAL)
    dropped = tuple(name for name in plain if re.match(family.dropped, name))
    renamed: dict[str, Tensor] = {}
    strangers = []
    for name, value in plain.items():
        if name in dropped:
            continue
        official = family.official(name)
        if official is None:
            strangers.append(name)
        elif official in renamed:
            raise _twice(path, name)
        else:
            renamed[official] = value
    if strangers:
        more = f" and {len(strangers) - _LISTED} more" if len(strangers) > _LISTED else ""
        raise UserError(
            f"weights {path}: {len(strangers)} of {len(plain)} parameters are none of a {family.name} checkpoint: "
            f"{', '.join(strangers[:_LISTED])}{more}; save one network's state_dict"
        )
    return Recognised(family, renamed, dropped)


def _twice(path: object, name: str) -> UserError:
    return UserError(f"weights {path}: holds parameter {name} under two names; save one state_dict with torch.save")


def _first(name: str, rules: Iterable[tuple[str, str]]) -> str | None:
    """``name`` rewritten by the first pattern that matches it whole, None where none does."""
    for pattern, replacement in rules:
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return None


def _mmpose(name: str) -> str | None:
    return _first(name, [(r"backbone\.(.+)", r"\1"), (r"keypoint_head\.((?:final|deconv)_layers\..+)", r"\1")])


_NORM = {"weight": "weight", "bias": "bias", "_mean": "running_mean", "_variance": "running_var"}


def _paddle(name: str) -> str | None:
    """PaddleDetection's: layers count from 1 and carry their place in their names; each has a .conv and a .norm."""
    match = re.fullmatch(r"(.*?)(?:\.(conv|norm))?\.(weight|bias|_mean|_variance)", name)
    if match is None:
        return None
    layer, part, value = match.groups()
    if layer.startswith("backbone."):
        place = _paddle_backbone(layer.removeprefix("backbone."))
        return _parts(place, part, value) if place is not None and part else None
    if not layer.startswith("hrhrnet_head."):
        return None
    head = layer.removeprefix("hrhrnet_head.")
    if block := re.fullmatch(r"blocks\.(\d+)\.(conv[12])", head):
        if part is None:
            return None
        number = block[2][-1]
        return _parts((f"deconv_layers.0.{int(block[1]) + 1}.0.conv{number}",
                       f"deconv_layers.0.{int(block[1]) + 1}.0.bn{number}"), part, value)  # fmt: skip
    if part is not None:
        return None
    if head in {"conv1", "conv2"} and value in {"weight", "bias"}:
        return f"final_layers.{int(head[-1]) - 1}.{value}"
    if head == "deconv.0" and value == "weight":
        return "deconv_layers.0.0.0.weight"
    return f"deconv_layers.0.0.1.{_NORM[value]}" if head == "deconv.1" else None


def _parts(place: tuple[str, str], part: str, value: str) -> str | None:
    """A layer's convolution has one weight, its norm four values."""
    if part == "conv":
        return f"{place[0]}.weight" if value == "weight" else None
    return f"{place[1]}.{_NORM[value]}"


def _paddle_backbone(layer: str) -> tuple[str, str] | None:
    """The official convolution and norm of a layer."""
    if match := re.fullmatch(r"conv_layer1_([12])", layer):
        return f"conv{match[1]}", f"bn{match[1]}"
    if match := re.fullmatch(r"la1\.block_layer2_(\d+)\.(conv[123]|conv_down)", layer):
        block = f"layer1.{int(match[1]) - 1}"
        return _in_block(block, match[2])
    if match := re.fullmatch(r"tr(\d)\.transition_tr\1_layer_(\d+)", layer):
        branch = int(match[2]) - 1
        base = f"transition{match[1]}.{branch}"
        # a new branch is a sequence of one step more
        inner = f"{base}.0" if branch > int(match[1]) - 1 else base
        return f"{inner}.0", f"{inner}.1"
    match = re.fullmatch(r"st(\d)\.stage_st\1_(\d+)\.(branches_func|fuse_func)\.(.+)", layer)
    if match is None:
        return None
    module = f"stage{match[1]}.{int(match[2]) - 1}"
    own = rf"st{match[1]}_{match[2]}"
    if found := re.fullmatch(rf"bb_{own}_branch_layer_(\d+)_(\d+)\.(conv[12])", match[4]):
        return _in_block(f"{module}.branches.{int(found[1]) - 1}.{int(found[2]) - 1}", found[3])
    if found := re.fullmatch(rf"residual_{own}_layer_(\d+)_(\d+)(?:_(\d+))?", match[4]):
        base = f"{module}.fuse_layers.{int(found[1]) - 1}.{int(found[2]) - 1}"
        base += f".{int(found[3]) - 1}" if found[3] else ""
        return f"{base}.0", f"{base}.1"
    return None


def _in_block(block: str, layer: str) -> tuple[str, str]:
    if layer == "conv_down":
        return f"{block}.downsample.0", f"{block}.downsample.1"
    return f"{block}.{layer}", f"{block}.bn{layer[-1]}"


OFFICIAL = Family("official", "(?!)", lambda name: name)
SWAHR = Family("SWAHR", r"conv_scale_layers\.", lambda name: name, dropped=r"conv_scale_layers\.")
MMPOSE = Family("mmpose 0.x", r"keypoint_head\.", _mmpose)
PADDLE = Family(
    "PaddleDetection",
    r"hrhrnet_head\.|backbone\.conv_layer1_1\.",
    _paddle,
    dropped=r"hrhrnet_head\.scalelayer[01]\.",
)
_FAMILIES = (PADDLE, MMPOSE, SWAHR)

_OTHERS = {
    r"keypoint_head\.final_layer\.": "mmpose 0.x's HRNet with one head (AESimpleHead)",
    r"head\.final_layer\.": "mmpose 1.x's AE-HRNet, or another of its networks with one head",
}
"""Other networks that are called alike, by their names: one head at a quarter of the resolution, no deconvolution."""
