"""Which people of an image two runs find otherwise, and why: their heatmaps, their tags, or only both together.

An image is decoded from one run's heatmaps and the other's tags, and the other way round: what changes a person alone
is a cause. Heatmaps decide which joints there are and where, tags which of them are one person's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco
from higherhrnet.image import geometry
from higherhrnet.stages.dump_sources import Source
from higherhrnet.stages.matches import Matches, Pair, match

MOVED, GONE, NEW = "moved", "gone", "new"
KINDS = (MOVED, GONE, NEW)
"""What becomes of people: found by both runs, by the first alone, by the second alone."""
HEATMAPS, TAGS, EITHER, BOTH = "heatmaps", "tags", "either", "only both together"
CAUSES = (HEATMAPS, TAGS, EITHER, BOTH)
Outputs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Runs:
    """Two runs' dumps, and how they are decoded."""

    reference: tuple[Source, ...]
    """The plain and the flipped dumps."""
    other: tuple[Source, ...]
    plan: Plan
    heads: dumps.Heads
    options: Options
    names: tuple[str, ...]
    """Of the joints."""
    distance: float
    """Pixels that a keypoint may move while its person is the same."""


class Place(NamedTuple):
    """Where a run has a person among those of the image."""

    rank: int
    """By score, from 1."""
    score: float


@dataclass(frozen=True)
class Change:
    """A person that moved, came or went."""

    file_name: str
    kind: str
    """One of KINDS."""
    reference: Place | None
    """None where the reference lacks the person."""
    other: Place | None
    box: tuple[float, float, float, float]
    """x, y, width and height of the keypoints found, in image pixels: the reference's where it has the person."""
    pair: Pair | None
    """How the keypoints of one who moved differ."""
    joint: str
    """The name of the keypoint that moved farthest; '' where none did."""
    cause: str
    """One of CAUSES."""

    @property
    def order(self) -> tuple[float, str, Place | tuple[()], Place | tuple[()]]:
        """Sorts people of the highest score in either run first, and never leaves two in doubt."""
        places = [place for place in (self.reference, self.other) if place is not None]
        return -max(place.score for place in places), self.file_name, self.reference or (), self.other or ()

    def text(self) -> str:
        """One line, as ``HEADER`` says."""
        x, y, width, height = (round(side) for side in self.box)
        runs = (f"{name} {_place(at)}" for name, at in (("A", self.reference), ("B", self.other)))
        return "  ".join(
            [self.file_name, self.kind, *runs, f"{width}x{height}+{x}+{y}", *self._keypoints(), self.cause]
        )

    def _keypoints(self) -> list[str]:
        """How many keypoints moved, came or went."""
        if self.pair is None:
            return []
        said = []
        if self.pair.moved:
            count = f"{self.pair.moved} keypoint{'s' * (self.pair.moved > 1)}"
            said.append(f"{count}, {self.joint} by {self.pair.shift:.1f}")
        if self.pair.unshared:
            said.append(f"{self.pair.unshared} in one alone")
        return [", ".join(said)]


HEADER = (
    "image, change, rank and score in A and B, box (width x height + left + top), keypoints moved and the farthest, "
    "cause"
)


@dataclass(frozen=True)
class Changes:
    """Everybody who moved, came or went."""

    counts: Mapping[tuple[str, str], int]
    """How many, by cause and kind."""
    named: tuple[Change, ...]
    """Those of the highest scores, as many as were asked for."""

    @property
    def total(self) -> int:
        """How many there are, named or not."""
        return sum(self.counts.values())

    def summary(self) -> str:
        """One line: how many of each cause, and of these of each kind."""
        said = []
        for cause in CAUSES:
            kinds = {kind: count for kind in KINDS if (count := self.counts.get((cause, kind), 0))}
            if kinds:
                of = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
                said.append(f"{cause} {sum(kinds.values())} ({of})")
        return f"changed people by cause: {'; '.join(said)}"

    def text(self) -> list[str]:
        """A line a person named, and how many are not."""
        if not self.named:
            return []
        more = self.total - len(self.named)
        rest = f"and {more} more people changed; --changed {self.total} names all"
        return [
            f"people changed, highest score first: {HEADER}",
            *(one.text() for one in self.named),
            *[rest] * bool(more),
        ]


@dataclass(frozen=True)
class Explained:
    """One image."""

    people: tuple[int, int]
    """How many the reference and the other found."""
    matches: Matches
    changes: tuple[Change, ...]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Changed people by cause and kind."""
        return Counter((change.cause, change.kind) for change in self.changes)


class _People(NamedTuple):
    keypoints: np.ndarray
    """[P, K, 3]: x, y in image pixels and value."""
    scores: np.ndarray


def explain(runs: Runs, image: coco.Image) -> Explained:
    """Compare the people of one image.

    Raises UserError: dumps that are missing or damaged.
    """
    shape = geometry.fit(image.width, image.height, runs.plan.short_side).shape

    def read(sources: Sequence[Source]) -> list[Outputs]:
        return [source.read(image.index, shape, runs.plan, runs.heads) for source in sources]

    def people(outputs: list[Outputs]) -> _People:
        return _People(*decode.decode_image(runs.plan, image.width, image.height, [outputs], runs.options))

    def matched(first: _People, second: _People) -> Matches:
        return match(first.keypoints, second.keypoints, runs.options.sigmas, distance=runs.distance)

    ours, theirs = read(runs.reference), read(runs.other)
    before, after = people(ours), people(theirs)
    found = matched(before, after)
    numbers = len(before.scores), len(after.scores)
    if not found.changed:
        return Explained(numbers, found, ())
    alone = []
    for mixed in (_mixed(theirs, ours, runs.heads.joints), _mixed(ours, theirs, runs.heads.joints)):
        between = people(mixed)
        alone.append(_changed_alone(matched(before, between), matched(between, after)))
    return Explained(numbers, found, _changes(image.file_name, before, after, found, alone, runs.names))


def _mixed(heatmaps_of: list[Outputs], tags_of: list[Outputs], joints: int) -> list[Outputs]:
    """Outputs with one run's heatmaps and the other's tags."""
    return [
        (np.concatenate([heat[:joints], tags[joints:]]), half)
        for (heat, half), (tags, _) in zip(heatmaps_of, tags_of, strict=True)
    ]


def _changed_alone(before: Matches, after: Matches) -> tuple[set[int], set[int]]:
    """Whom outputs of both runs mixed change: places in the reference, and in the other.

    Parameters
    ----------
    before : of the reference's people with those of the mixed outputs
    after : of these with the other's
    """
    changed = {*before.gone, *(pair.first for pair in before.moved)}
    otherwise = {*before.new, *(pair.second for pair in before.moved)}
    return changed, {pair.second for pair in after.pairs if pair.first in otherwise}


def _changes(
    file_name: str,
    before: _People,
    after: _People,
    found: Matches,
    alone: Sequence[tuple[set[int], set[int]]],
    names: Sequence[str],
) -> tuple[Change, ...]:
    """The changed people of an image, ``alone`` those whom heatmaps alone and tags alone change."""
    ours, theirs = _places(before.scores), _places(after.scores)
    by_heatmaps, by_tags = alone
    said = []
    for pair in found.moved:
        cause = _cause(pair.first in by_heatmaps[0], pair.first in by_tags[0])
        box = _box(before.keypoints[pair.first])
        joint = names[pair.joint] if pair.moved else ""
        said.append(Change(file_name, MOVED, ours[pair.first], theirs[pair.second], box, pair, joint, cause))
    for place in found.gone:
        cause = _cause(place in by_heatmaps[0], place in by_tags[0])
        said.append(Change(file_name, GONE, ours[place], None, _box(before.keypoints[place]), None, "", cause))
    for place in found.new:
        cause = _cause(place in by_heatmaps[1], place in by_tags[1])
        said.append(Change(file_name, NEW, None, theirs[place], _box(after.keypoints[place]), None, "", cause))
    return tuple(said)


def _cause(by_heatmaps: bool, by_tags: bool) -> str:
    if by_heatmaps == by_tags:
        return EITHER if by_tags else BOTH
    return TAGS if by_tags else HEATMAPS


def _places(scores: np.ndarray) -> list[Place]:
    """Rank and score of each person; of equal scores the first is the better one."""
    ranks = np.empty(len(scores), np.intp)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return [Place(int(rank), float(score)) for rank, score in zip(ranks, scores, strict=True)]


def _place(at: Place | None) -> str:
    return "-" if at is None else f"#{at.rank} {at.score:.3f}"


def _box(person: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, width and height of the found keypoints of a person [K, 3]; of all where none has a value above 0."""
    points = person[person[:, 2] > 0, :2] if (person[:, 2] > 0).any() else person[:, :2]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return float(left), float(top), float(right - left), float(bottom - top)
