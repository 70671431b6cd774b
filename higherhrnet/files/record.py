"""Records: the small file in each tree that says what made it, so that results of different runs never mix.

A tree without one was made by other programs (the guide's original scripts, for example) and is taken as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from higherhrnet.errors import UserError
from higherhrnet.files import atomic, inputs

_NAME = "record.json"
_PROGRESS = frozenset({"complete", "devices"})  # fields that change while the work stays the same


@dataclass(frozen=True)
class InputsRecord:
    """What made a tree of inputs."""

    dataset: str
    """SHA-256 over the data set's images: ids, file names, sizes, order."""
    short_side: int
    images: int
    """How many of the data set's images, from the first, the tree is for."""
    flip: bool
    dtype: str = inputs.FLOAT32
    """Of the values: float32, normalised, or uint8 for AIPP."""
    complete: bool = False

    def __post_init__(self) -> None:
        """Refuse a dtype that no program here writes, as another field would be."""
        if self.dtype not in {inputs.FLOAT32, inputs.UINT8}:
            raise TypeError(f"dtype {self.dtype}")


@dataclass(frozen=True)
class DumpsRecord:
    """What made a directory of dumps."""

    inputs: dict[str, Any] | None
    """The record of the inputs tree, None where that had none."""
    indices: list[int]
    model: str
    """SHA-256 of the model file."""
    backend: str
    batch: int
    flip: bool
    files: str = ""
    """Fingerprint of the input files: names, sizes and times of writing."""
    devices: list[int] = dataclasses.field(default_factory=list)
    """Which devices had a part, over all runs; another choice of devices is still the same work."""
    complete: bool = False


Record = TypeVar("Record", InputsRecord, DumpsRecord)


def path(tree: Path) -> Path:
    """Where a tree's record lies."""
    return tree / _NAME


def write(tree: Path, record: InputsRecord | DumpsRecord) -> None:
    """Write a tree's record."""
    atomic.write_json(path(tree), dataclasses.asdict(record))


def read(tree: Path, kind: type[Record]) -> Record | None:
    """A tree's record, or None where it has none. Raises UserError for a damaged one."""
    if not path(tree).exists():
        return None
    value = atomic.read_json(path(tree), "record")
    try:
        return kind(**value)
    except TypeError as e:
        raise UserError(
            f"record {path(tree)}: found other fields than a {kind.__name__}'s ({e}); "
            f"make the tree again in an empty directory"
        ) from e


def same_work(a: InputsRecord | DumpsRecord | None, b: InputsRecord | DumpsRecord) -> bool:
    """Whether two records are for the same files, finished or not."""
    return a is not None and not list(differences(a, b))


def differences(a: Any, b: Any) -> Iterable[str]:
    """Names of the fields in which two records of one kind are for different files."""
    names = (field.name for field in dataclasses.fields(a) if field.name not in _PROGRESS)
    return (name for name in names if getattr(a, name) != getattr(b, name))
