"""Records: the small file in each tree that says what made it, so that results of different runs never mix.

A tree without one was made by other programs (the guide's original scripts, for example) and is taken as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from higherhrnet.artifacts import atomic, dumps, fields, inputs
from higherhrnet.dataset.shards import Shard
from higherhrnet.errors import UserError

_NAME = "record.json"
_MOST_IMAGES = 10**7  # of a data set, all of whose indices are counted through
_PROGRESS = frozenset({"complete", "devices", "left_out", "sha256"})  # they change while the work stays the same


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
    """Of the values: float32 or float16, normalised, or uint8 for AIPP."""
    factor: float = 1
    smallest: float = 1
    limited: bool = True
    """The scale, as geometry.Scale has it."""
    shard: str = "1/1"
    """The part of those images that the tree is for."""
    code: str = ""
    """What decides the bytes beside images and settings: provenance.inputs_code."""
    left_out: list[int] = dataclasses.field(default_factory=list)
    """Indices of bad images without inputs."""
    complete: bool = False

    def __post_init__(self) -> None:
        """Refuse a dtype and a shard that no program here writes, as another field would be."""
        if self.dtype not in inputs.DTYPES:
            raise TypeError(f"dtype {self.dtype}")
        Shard.parse(self.shard)
        _check_images(self.images, self.left_out)


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
    dtype: str = dumps.FLOAT32
    runtime: str = ""
    """The backend's version, where it is known."""
    shard: str = "1/1"
    devices: list[int] = dataclasses.field(default_factory=list)
    """Which devices had a part, over all runs; another choice of devices is still the same work."""
    complete: bool = False

    def __post_init__(self) -> None:
        """Refuse a dtype and a shard that no program here writes, as another field would be."""
        if self.dtype not in dumps.DTYPES:
            raise TypeError(f"dtype {self.dtype}")
        Shard.parse(self.shard)
        if self.inputs is not None:
            fields.parse(self.inputs, InputsRecord, "inputs", "")


@dataclass(frozen=True)
class ResultsRecord:
    """What made a results file. Equal records are equal bytes."""

    dataset: str
    """SHA-256 over the data set's images, as in InputsRecord."""
    short_side: int
    images: int
    """How many of the data set's images, from the first, the work is for."""
    shard: str
    model: str
    """SHA-256 of the model file, '' where nothing says which it was."""
    options: dict[str, Any]
    """The decode's."""
    code: str
    """provenance.people_code, and inputs_code where inputs were made in the same run."""
    inference: str = ""
    """Backend, version, batch size and dtypes, where the network ran in the same run."""
    dumps: str = ""
    """Fingerprint of the dump files; '' where they were never kept."""
    left_out: list[int] = dataclasses.field(default_factory=list)
    """Indices of bad images, which have no people."""
    sha256: str = ""
    """Of the results file."""
    complete: bool = False

    def __post_init__(self) -> None:
        """Refuse what no program here writes, as another field would be."""
        Shard.parse(self.shard)
        _check_images(self.images, self.left_out)


def _check_images(images: int, left_out: list[int]) -> None:
    # Not ``index < images``: those of a run's chunk are the whole data set's.
    if not 0 <= images <= _MOST_IMAGES or not all(0 <= index < _MOST_IMAGES for index in left_out):
        raise ValueError(f"{images} images, {len(left_out)} of them left out")


DIFFERENCES = {
    "dataset": "data set",
    "short_side": "DATASET.INPUT_SIZE",
    "images": "number of images",
    "shard": "shard",
    "model": "model",
    "options": "decoding",
    "code": "version of the code or of OpenCV",
    "inference": "backend, batch size or dtype",
    "dumps": "set of dumps",
}
"""What the fields of a ResultsRecord mean to a user: 'another ...'."""

Record = TypeVar("Record", InputsRecord, DumpsRecord, ResultsRecord)


def path(tree: Path) -> Path:
    """Where a tree's record lies."""
    return tree / _NAME


def write(tree: Path, record: InputsRecord | DumpsRecord) -> None:
    """Write a tree's record."""
    atomic.write_json(path(tree), dataclasses.asdict(record))


def read(tree: Path, kind: type[Record]) -> Record | None:
    """A tree's record, or None where it has none. Raises UserError for a damaged one."""
    return _read(path(tree), kind)


def of_results(results: Path) -> Path:
    """Where the record of a results file lies."""
    return results.with_suffix(".record.json")


def write_results(results: Path, record: ResultsRecord) -> None:
    """Write the record of a results file."""
    atomic.write_json(of_results(results), dataclasses.asdict(record))


def read_results(results: Path) -> ResultsRecord | None:
    """The record of a results file, or None where it has none. Raises UserError for a damaged one."""
    return _read(of_results(results), ResultsRecord)


def parse(value: Any, kind: type[Record], source: Path) -> Record:
    """A record from its JSON value. Raises UserError naming ``source`` for other fields than its own."""
    return fields.parse(value, kind, f"record {source}", "remove what it stands beside, or give another directory")


def _read(file: Path, kind: type[Record]) -> Record | None:
    return parse(atomic.read_json(file, "record"), kind, file) if file.exists() else None


def files_fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 over files' names, folders, sizes and times of writing: their content is too much to read for this.

    Raises
    ------
    UserError : a file that is not there
    """
    rows = []
    for file in files:
        try:
            status = file.stat()
        except OSError as e:
            raise UserError(f"cannot read {file.parent.name}/{file.name}: {e.strerror}; run again what makes it") from e
        rows.append([file.name, file.parent.name, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A field as JSON gives it back: tuples are lists there."""
    return json.loads(json.dumps(value))


def same_work(a: Any, b: Any) -> bool:
    """Whether two records are for the same files, finished or not."""
    return a is not None and not list(differences(a, b))


def differences(a: Any, b: Any) -> Iterable[str]:
    """Names of the fields in which two records of one kind are for different files."""
    names = (field.name for field in dataclasses.fields(a) if field.name not in _PROGRESS)
    return (name for name in names if _plain(getattr(a, name)) != _plain(getattr(b, name)))
