"""The pictures that an artifact comes from, by content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from higherhrnet.artifacts.seen import Stamp

_ROW: list[type] = [int] * len(Stamp._fields) + [str]


@dataclass(frozen=True)
class Picture:
    """A picture as it was read: its hash, and the stamp that spares reading it again while it stays the same."""

    stamp: Stamp
    sha256: str

    def row(self) -> list[Any]:
        """As JSON keeps it: the stamp's numbers and the hash."""
        return [*self.stamp, self.sha256]

    @staticmethod
    def is_row(value: Any) -> bool:
        """Whether a JSON value is one."""
        return isinstance(value, list) and list(map(type, value)) == _ROW

    @classmethod
    def of_row(cls, row: list[Any]) -> Picture:
        """Of what ``row`` gave."""
        return cls(Stamp(*row[:-1]), row[-1])


def check_digest(text: str) -> None:
    """Raise ValueError for what is neither a digest nor ''."""
    if text and not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError(f"pictures {text[:20]!r}")


def digest(contents: Iterable[tuple[int, str]]) -> str:
    """One hash of pictures, given as index in the annotation file and SHA-256.

    A sum, so that those of shards and chunks add up to that of the whole in any order, see ``combine``.
    """
    return combine(hashlib.sha256(f"{index} {sha256}".encode()).hexdigest() for index, sha256 in contents)


def digest_of(pictures: Mapping[int, Picture]) -> str:
    """``digest`` of pictures by index."""
    return digest((index, picture.sha256) for index, picture in pictures.items())


def combine(digests: Iterable[str]) -> str:
    """The digest of pictures whose parts have these digests; '' where one is unknown."""
    total = 0
    for part in digests:
        if not part:
            return ""
        total += int(part, 16)
    return f"{total % 2**256:064x}"
