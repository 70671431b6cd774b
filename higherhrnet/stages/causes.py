"""Why two runs find other people in an image: their heatmaps, their tags, or only both together.

An image is decoded from one run's heatmaps and the other's tags, and the other way round: what alone changes people is
a cause. Heatmaps decide which joints there are and where, tags which of them are one person's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, coco_results
from higherhrnet.image import geometry
from higherhrnet.stages.dump_sources import Source

_SHOWN = 5
Outputs = tuple[np.ndarray, np.ndarray]
People = list[dict[str, Any]]


@dataclass(frozen=True)
class Changed:
    """An image with other people."""

    file_name: str
    people: int
    """That moved, came or went."""
    by_heatmaps: bool
    """Whether the other run's heatmaps change people alone,"""
    by_tags: bool
    """or its tags."""

    @property
    def cause(self) -> str:
        """In words."""
        if self.by_heatmaps == self.by_tags:
            return "either" if self.by_tags else "only both together"
        return "tags" if self.by_tags else "heatmaps"


@dataclass(frozen=True)
class Causes:
    """All images with other people, those of most people first."""

    images: tuple[Changed, ...]

    def text(self) -> str:
        """One line: how many of each cause, and the images of most people."""
        every = [image.cause for image in self.images]
        counts = ", ".join(f"{cause} {every.count(cause)}" for cause in dict.fromkeys(sorted(every)))
        most = "; ".join(f"{i.file_name} {i.people}, {i.cause}" for i in self.images[:_SHOWN])
        return f"changed images by cause: {counts}; most people: {most}"


def find(
    dataset: coco.Dataset,
    reference: Sequence[Source],
    other: Sequence[Source],
    plan: Plan,
    heads: dumps.Heads,
    options: Options,
    differ: Callable[[People, People], int],
) -> Causes:
    """Compare the images of two runs, each given by its plain and its flipped dumps.

    Parameters
    ----------
    differ : how many people of two lists moved, came or went
    """
    found = []
    indices, _ = dumps.find(reference[0].directory)
    for index in tqdm(indices, desc="explain", unit="image", disable=None):
        image = dataset.images[index]
        shape = geometry.fit(image.width, image.height, plan.short_side).shape

        def people(outputs: list[Outputs], image: coco.Image = image) -> People:
            keypoints, scores = decode.decode_image(plan, image.width, image.height, [outputs], options)
            return coco_results.entries(image.image_id, keypoints, scores)

        ours, theirs = ([one.read(index, shape, plan, heads) for one in both] for both in (reference, other))
        before = people(ours)
        if changed := differ(before, people(theirs)):
            by_heatmaps = differ(before, people(_mixed(theirs, ours, heads.joints)))
            by_tags = differ(before, people(_mixed(ours, theirs, heads.joints)))
            found.append(Changed(image.file_name, changed, bool(by_heatmaps), bool(by_tags)))
    return Causes(tuple(sorted(found, key=lambda one: (-one.people, one.file_name))))


def _mixed(heatmaps_of: list[Outputs], tags_of: list[Outputs], joints: int) -> list[Outputs]:
    """Outputs with one run's heatmaps and the other's tags."""
    return [
        (np.concatenate([heat[:joints], tags[joints:]]), half)
        for (heat, half), (tags, _) in zip(heatmaps_of, tags_of, strict=True)
    ]
