"""Shards: a data set cut into N parts for N machines, each image in exactly one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from higherhrnet.errors import UserError

_TEXT = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class _Indexed(Protocol):
    @property
    def index(self) -> int: ...


Item = TypeVar("Item", bound=_Indexed)


@dataclass(frozen=True)
class Shard:
    """Part ``number`` (from 1) of ``of``: the images whose index leaves ``number`` - 1 when divided by ``of``.

    Every of-th image, not a run of neighbours, so that all parts cost about the same.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError unless 1 <= number <= of."""
        if not 1 <= self.number <= self.of:
            raise ValueError(f"{self.number}/{self.of} is no shard, expected I/N with 1 <= I <= N")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``I/N``, I counted from 1. Raises ValueError for anything else."""
        match = _TEXT.fullmatch(text)
        if not match:
            raise ValueError(f"{text[:40]!r} is no shard, expected I/N, for example 2/3")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def suffix(self) -> str:
        """What names of a shard's own files end in: '_2of3', or '' where there is one part."""
        return "" if self.of == 1 else f"_{self.number}of{self.of}"

    def holds(self, index: int) -> bool:
        """Whether the image of this index, its place in the annotation file from 0, is in the shard."""
        return index % self.of == self.number - 1

    def select(self, items: Sequence[Item]) -> list[Item]:
        """The shard's items, in their order."""
        return [item for item in items if self.holds(item.index)]


ALL = Shard()
"""The whole data set as one shard."""


def of_part(asked: Shard, part: Shard, otherwise: str) -> Shard:
    """The shard to do of files that are of ``part``: all of theirs where none was asked for.

    Raises UserError: ``otherwise``, where they are of another shard than the one asked for.
    """
    if part != ALL and asked not in {ALL, part}:
        raise UserError(otherwise)
    return part if asked == ALL else asked
