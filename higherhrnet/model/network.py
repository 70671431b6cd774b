"""The HigherHRNet network in PyTorch.

Structure: Sun et al. 2019 (HRNet, the backbone) and Cheng et al. 2020 (HigherHRNet, the deconvolution head). Module
names are those of the official lib/models/pose_higher_hrnet.py, so official checkpoints load by name.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from higherhrnet.model.architecture import BOTTLENECK_EXPANSION, STEM_CHANNELS, Architecture, Stage


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def _conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, relu: bool) -> nn.Sequential:
    layers = [_conv(in_channels, out_channels, kernel, stride), nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a residual connection; channels and resolution stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, 3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a residual connection; output has ``BOTTLENECK_EXPANSION * planes`` channels."""

    def __init__(self, in_channels: int, planes: int) -> None:
        super().__init__()
        out_channels = BOTTLENECK_EXPANSION * planes
        self.conv1 = _conv(in_channels, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _conv(planes, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _conv_bn(in_channels, out_channels, 1, relu=False) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn3(self.conv3(y)) + shortcut)


class HighResolutionModule(nn.Module):
    """Parallel branches of basic blocks, then every output branch sums all branches at its own resolution.

    Input and output: a list of tensors [n, channels[b], h / 2**b, w / 2**b]; only the first branch comes out where
    ``outputs`` is 1.
    """

    def __init__(self, stage: Stage, outputs: int) -> None:
        super().__init__()
        channels = stage.channels
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c) for _ in range(blocks)))
            for c, blocks in zip(channels, stage.blocks, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(channels, source, target) for source in range(len(channels)))
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, xs: Sequence[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            # Summed from the highest resolution down, as the official code does: float addition is not
            # associative.
            first, *rest = (layer(x) for layer, x in zip(layers, xs, strict=True))  # type: ignore[call-overload]
            for term in rest:
                first = first + term
            fused.append(self.relu(first))
        return fused


def _exchange(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """What takes branch ``source`` to the resolution and width of branch ``target``."""
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*_conv_bn(channels[source], channels[target], 1, relu=False), up)
    steps = [_conv_bn(channels[source], channels[source], 3, 2, relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv_bn(channels[source], channels[target], 3, 2, relu=False))


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """One module a branch of the next stage: width change at the same resolution, copy, or a new lower branch."""
    layers: list[nn.Module] = []
    for branch, channels in enumerate(after):
        if branch >= len(before):
            layers.append(nn.Sequential(_conv_bn(before[-1], channels, 3, 2, relu=True)))
        elif channels != before[branch]:
            layers.append(_conv_bn(before[branch], channels, 3, relu=True))
        else:
            layers.append(nn.Identity())
    return nn.ModuleList(layers)


class HigherHRNet(nn.Module):
    """HigherHRNet with one deconvolution.

    Input [n, 3, H, W] float32, normalised RGB, H and W multiples of 32. Output, with K joints and T tag maps:
    ``output1`` [n, K + T, H/4, W/4], K heatmaps then T tag maps, and ``output2`` [n, K, H/2, W/2], heatmaps.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        stage2, stage3, stage4 = architecture.stages
        width, joints = stage4.channels[0], architecture.joints
        maps = joints + architecture.tags

        self.conv1 = _conv(3, STEM_CHANNELS, 3, 2)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = _conv(STEM_CHANNELS, STEM_CHANNELS, 3, 2)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        layer1_channels = BOTTLENECK_EXPANSION * STEM_CHANNELS
        self.layer1 = nn.Sequential(
            *(Bottleneck(STEM_CHANNELS if i == 0 else layer1_channels, STEM_CHANNELS) for i in range(4))
        )

        self.transition1 = _transition([layer1_channels], stage2.channels)
        self.stage2 = _modules(stage2)
        self.transition2 = _transition(stage2.channels, stage3.channels)
        self.stage3 = _modules(stage3)
        self.transition3 = _transition(stage3.channels, stage4.channels)
        self.stage4 = _modules(stage4, last_outputs=1)

        self.final_layers = nn.ModuleList(
            [nn.Conv2d(width, maps, 1), nn.Conv2d(architecture.deconv_channels, joints, 1)]
        )
        deconv = nn.Sequential(
            nn.ConvTranspose2d(width + maps, architecture.deconv_channels, 4, 2, padding=1, bias=False),
            nn.BatchNorm2d(architecture.deconv_channels),
            nn.ReLU(inplace=True),
        )
        blocks = (nn.Sequential(BasicBlock(architecture.deconv_channels)) for _ in range(architecture.deconv_blocks))
        self.deconv_layers = nn.ModuleList([nn.Sequential(deconv, *blocks)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)

        xs = self.stage2([layer(x) for layer in self.transition1])
        xs = self.stage3(_enter(self.transition2, xs))
        xs = self.stage4(_enter(self.transition3, xs))

        features = xs[0]
        output1 = self.final_layers[0](features)
        output2 = self.final_layers[1](self.deconv_layers[0](torch.cat((features, output1), 1)))
        return output1, output2


def _modules(stage: Stage, last_outputs: int | None = None) -> nn.Sequential:
    branches = len(stage.channels)
    outputs = [branches] * (stage.modules - 1) + [last_outputs or branches]
    return nn.Sequential(*(HighResolutionModule(stage, n) for n in outputs))


def _enter(transition: nn.ModuleList, xs: Sequence[Tensor]) -> list[Tensor]:
    """Feed a transition: copies take their own branch, everything made anew comes from the lowest resolution."""
    return [layer(xs[b] if isinstance(layer, nn.Identity) else xs[-1]) for b, layer in enumerate(transition)]


def fold_batch_norm(network: HigherHRNet) -> HigherHRNet:
    """A copy for inference with every BatchNorm folded into the convolution before it, the transposed one included."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        names = list(module._modules)
        for name, following in itertools.pairwise(names):
            conv, norm = module._modules[name], module._modules[following]
            if isinstance(norm, nn.BatchNorm2d):
                transpose = isinstance(conv, nn.ConvTranspose2d)
                module._modules[name] = fuse_conv_bn_eval(conv, norm, transpose=transpose)  # type: ignore[type-var]
                module._modules[following] = nn.Identity()
    return folded
