"""Whose work a place is: a lock while a program works there, and a record of what its files are of.

    with claim(directory, wanted, ...) as work:    # fresh, resumed, replaced, or refused with the reason
        ...
        work.complete()

A place without a record was filled by other programs (the guide's original scripts, for example). Reading stages take
it as it is; a writing one refuses it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from higherhrnet.artifacts import atomic, fields, lock, sources
from higherhrnet.artifacts.pictures import check_digest
from higherhrnet.artifacts.work import (
    Difference,
    DumpsWork,
    InputsWork,
    OmWork,
    PeopleWork,
    PosesWork,
    check_indices,
    differences,
)
from higherhrnet.errors import UserError

FORMAT = 2
"""Of records. 1, of release 0.1.0, knew works by names, sizes and times instead of content."""

Work = TypeVar("Work", InputsWork, DumpsWork, PeopleWork, OmWork, PosesWork)


@dataclass(frozen=True)
class Facts:
    """What a record says beside the work: it changes while the work stays the same, or is known only at its end."""

    made_from: str = ""
    """seen.digest of the files that this was made from: when they change, it is made again."""
    pictures: str = ""
    """pictures.digest of the pictures that were read; '' where nothing says which."""
    left_out: list[int] = field(default_factory=list)
    """Indices of bad images."""
    without_dumps: list[int] = field(default_factory=list)
    """Of results, indices of images whose dumps were not there: figures are not over these either."""
    devices: list[int] = field(default_factory=list)
    """Which devices had a part, over all runs; another choice of devices is still the same work."""
    sha256: str = ""
    """Of the one file that the record stands beside."""
    calibrated_on: list[int] = field(default_factory=list)
    """Indices of images here that the network, one in INT8, was calibrated on: figures over them flatter it."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        check_indices([*self.left_out, *self.without_dumps, *self.calibrated_on])
        check_digest(self.pictures)


@dataclass(frozen=True)
class Record(Generic[Work]):
    """What a place's files are of, and whether all of them are there."""

    work: Work
    facts: Facts = field(default_factory=Facts)
    complete: bool = False

    def as_json(self) -> dict[str, Any]:
        """The JSON value that ``parse`` reads."""
        return {"artifact": type(self.work).__name__, "format": FORMAT, **dataclasses.asdict(self)}

    def stale(self, wanted: Record[Work]) -> list[Difference]:
        """In what this is not what is wanted: the work, or files that it was made from."""
        if found := differences(self.work, wanted.work):
            return found
        mine, other = self.facts, wanted.facts
        knows_pictures = bool(mine.pictures and other.pictures)
        if knows_pictures and mine.pictures != other.pictures:
            return [Difference("pictures", mine.pictures, other.pictures)]
        # A run keeps no files between pictures and people: then the pictures alone have to say.
        says_nothing = not other.made_from or (not mine.made_from and knows_pictures)
        if mine.made_from != other.made_from and not says_nothing:
            return [Difference("made_from", mine.made_from, other.made_from)]
        return []


def reasons(found: Iterable[Difference]) -> str:
    """Differences in one line."""
    return ", ".join(map(str, found))


def record_of(place: Path) -> Path:
    """Where a place's record lies: in a directory, or beside a file (X.record.json for X.json, X.om.json for X.om)."""
    if place.suffix == ".om":
        return place.with_name(f"{place.name}.json")
    return place.with_suffix(".record.json") if place.suffix == ".json" else place / "record.json"


def parse(value: Any, kind: type[Work], source: Path) -> Record[Work]:
    """A record from its JSON value. Raises UserError naming ``source`` for other fields than its own."""
    what, remedy = f"record {source}", "run what made it again with --overwrite, or give another place"
    if isinstance(value, dict) and "format" not in value:
        raise UserError(f"{what} was written by release 0.1.0, which knew files by names and times; {remedy}")
    if not isinstance(value, dict) or (value.get("artifact"), value.get("format")) != (kind.__name__, FORMAT):
        raise UserError(f"{what}: expected format {FORMAT} of {kind.__name__}; {remedy}")
    rest = {name: item for name, item in value.items() if name not in {"artifact", "format", "work"}}
    made = fields.parse({**rest, "work": {}}, _Parts, what, remedy)
    return Record(fields.parse(value.get("work"), kind, what, remedy), made.facts, made.complete)


@dataclass(frozen=True)
class _Parts:
    """A record's fields whose type does not depend on its kind."""

    work: dict[str, Any]
    facts: Facts
    complete: bool


def read(place: Path, kind: type[Work]) -> Record[Work] | None:
    """A place's record, None where it has none. Raises UserError for a damaged one, or a link that leads nowhere."""
    file = record_of(place)
    return parse(sources.read_json(file, "record"), kind, file) if os.path.lexists(file) else None


def read_sound(place: Path, kind: type[Work]) -> Record[Work] | None:
    """As ``read``, but None for a damaged one too: it is about to be replaced."""
    try:
        return read(place, kind)
    except UserError:
        return None


def write(place: Path, record: Record[Any]) -> None:
    """Write a place's record."""
    atomic.write_json(record_of(place), record.as_json())


@dataclass
class Claim(Generic[Work]):
    """A place that is held. ``record`` says what its files will be when they are complete."""

    place: Path
    record: Record[Work]
    before: Record[Work] | None
    """What was there."""
    replaced: str = ""
    """Why files that were there were removed; '' where none were."""

    def complete(self, **facts: Any) -> None:
        """Say that all is there, with facts that are known now."""
        known = dataclasses.replace(self.record.facts, **facts)
        self.record = dataclasses.replace(self.record, facts=known, complete=True)
        write(self.place, self.record)


@contextlib.contextmanager
def claim(
    directory: Path,
    wanted: Record[Work],
    *,
    content: Callable[[Path], Collection[Path]],
    what: str,
    instead: str,
    overwrite: bool = False,
    replaces: bool = False,
    keeps_apart: Collection[str] = (),
) -> Iterator[Claim[Work]]:
    """Hold a directory for ``wanted``; what is there of the same work stays.

    Parameters
    ----------
    content : the files and folders in the directory that the record is of
    what : what these are, for messages: 'inputs'
    instead : what the user may do where the directory is another's
    overwrite : remove what is there in any case
    replaces : remove what is of other work, without being told to
    keeps_apart : fields of works that are refused all the same

    Raises
    ------
    UserError : another program is working there, or what is there is of other work or of another program's
    """
    atomic.make_directory(directory)
    with lock.held(directory, instead=instead):
        present = list(content(directory))
        before: Record[Work] | None = (read_sound if overwrite else read)(directory, type(wanted.work))
        if overwrite:
            why = "--overwrite" if present else ""
        else:
            why = _why_not(before, wanted, present, directory, what, instead, replaces, keeps_apart)
        if why:
            for path in present:
                atomic.remove(path)
        elif present and before is not None:
            devices = sorted(set(before.facts.devices) | set(wanted.facts.devices))
            wanted = dataclasses.replace(wanted, facts=dataclasses.replace(wanted.facts, devices=devices))
        atomic.remove_partials([directory])
        write(directory, wanted)
        yield Claim(directory, wanted, before, why)


def _why_not(
    before: Record[Work] | None,
    wanted: Record[Work],
    present: Collection[Path],
    directory: Path,
    what: str,
    instead: str,
    replaces: bool,
    keeps_apart: Collection[str],
) -> str:
    """Why what is present must go; '' where it may stay. Raises UserError where it is not ours to remove."""
    if not present:
        return ""
    if before is None:
        raise UserError(
            f"{directory} already holds {what} that this program did not make (it has no record); {instead}, or "
            f"--overwrite to replace them"
        )
    stale = before.stale(wanted)
    if stale and (not replaces or any(difference.name in keeps_apart for difference in stale)):
        raise UserError(
            f"{directory} already holds {what} of other work: {reasons(stale)}; {instead}, or --overwrite to replace "
            f"them"
        )
    return reasons(stale)


def is_complete(file: Path, wanted: Record[Work]) -> bool:
    """Whether a single file is there, whole, unchanged since its record was written, and what is wanted."""
    made = read(file, type(wanted.work))
    return (
        made is not None
        and made.complete
        and not made.stale(wanted)
        and file.is_file()
        and os.access(file, os.R_OK)
        and atomic.sha256(file) == made.facts.sha256
    )
