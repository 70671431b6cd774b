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


_WEIGHT = {"weight": "weight"}
_PLAIN = {"weight": "weight", "bias": "bias"}
_NORM = {"weight": "weight", "bias": "bias", "_mean": "running_mean", "_variance": "running_var"}
_MODULE = r"backbone\.st(\d)\.stage_st\1_(\d+)"
_PAIRS = (
    (r"backbone\.conv_layer1_([12])", "conv{n[0]}", "bn{n[0]}"),
    (r"backbone\.la1\.block_layer2_(\d+)\.conv([123])", "layer1.{i[0]}.conv{n[1]}", "layer1.{i[0]}.bn{n[1]}"),
    (r"backbone\.la1\.block_layer2_(\d+)\.conv_down", "layer1.{i[0]}.downsample.0", "layer1.{i[0]}.downsample.1"),
    # A new branch is a sequence of one step.
    (
        r"backbone\.(?=tr1\S+_2\.|tr2\S+_3\.|tr3\S+_4\.)tr(\d)\.transition_tr\1_layer_(\d)",
        "transition{n[0]}.{i[1]}.0.0",
        "transition{n[0]}.{i[1]}.0.1",
    ),
    (r"backbone\.tr(\d)\.transition_tr\1_layer_(\d)", "transition{n[0]}.{i[1]}.0", "transition{n[0]}.{i[1]}.1"),
    (
        _MODULE + r"\.branches_func\.bb_st\1_\2_branch_layer_(\d+)_(\d+)\.conv([12])",
        "stage{n[0]}.{i[1]}.branches.{i[2]}.{i[3]}.conv{n[4]}",
        "stage{n[0]}.{i[1]}.branches.{i[2]}.{i[3]}.bn{n[4]}",
    ),
    (
        _MODULE + r"\.fuse_func\.residual_st\1_\2_layer_(\d+)_(\d+)",
        "stage{n[0]}.{i[1]}.fuse_layers.{i[2]}.{i[3]}.0",
        "stage{n[0]}.{i[1]}.fuse_layers.{i[2]}.{i[3]}.1",
    ),
    (
        _MODULE + r"\.fuse_func\.residual_st\1_\2_layer_(\d+)_(\d+)_(\d+)",
        "stage{n[0]}.{i[1]}.fuse_layers.{i[2]}.{i[3]}.{i[4]}.0",
        "stage{n[0]}.{i[1]}.fuse_layers.{i[2]}.{i[3]}.{i[4]}.1",
    ),
    (
        r"hrhrnet_head\.blocks\.(\d+)\.conv([12])",
        "deconv_layers.0.{j[0]}.0.conv{n[1]}",
        "deconv_layers.0.{j[0]}.0.bn{n[1]}",
    ),
)
"""PaddleDetection's layers of a convolution and its norm, with the official names of the two. Numbers there count from
1: of a number n, i is n - 1 and j is n + 1."""
_PADDLE = (
    (r"hrhrnet_head\.conv([12])", "final_layers.{i[0]}", _PLAIN),
    (r"hrhrnet_head\.deconv\.0", "deconv_layers.0.0.0", _WEIGHT),
    (r"hrhrnet_head\.deconv\.1", "deconv_layers.0.0.1", _NORM),
    *((rf"{layer}\.conv", conv, _WEIGHT) for layer, conv, _ in _PAIRS),
    *((rf"{layer}\.norm", norm, _NORM) for layer, _, norm in _PAIRS),
)


def _paddle(name: str) -> str | None:
    layer, _, value = name.rpartition(".")
    for pattern, template, values in _PADDLE:
        match = re.fullmatch(pattern, layer)
        if match and value in values:
            n = [int(number) for number in match.groups()]
            place = template.format(n=n, i=[number - 1 for number in n], j=[number + 1 for number in n])
            return f"{place}.{values[value]}"
    return None


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
