"""What performance files are of: DIR/figures.record.json says it of each in DIR, by its name and by its content.

The files themselves are in the Ascend benchmark tool's format, or trtexec's, and stay as those tools write them. A file
without an entry, or of other content than its entry says, is somebody else's: it is read, and never replaced unasked.

Several threads and programs keep figures in one directory: each change of the record is a merge under a lock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import atomic, fields, lock, sources
from higherhrnet.artifacts.work import Difference, Inputs, differences
from higherhrnet.errors import UserError

RANDOM = "random"
"""The data of a measurement on random inputs."""
FORMAT = 1
_KIND = "Figures"
_UNFINISHED = ""  # the hash of what a tool is writing


@dataclass(frozen=True)
class FigureWork:
    """What decides a figure, beside its shape and the machine: figures of equal work may stand in one column."""

    model: str
    """SHA-256 of the model with its external data."""
    backend: str
    """With device kind and precision, where they vary: 'torch cuda float16'."""
    runtime: str
    """The library that computed, with its version; '' where that is not known."""
    batch: int
    threads: int
    """Of the CPU; 0 leaves their number to the backend."""
    dtype: str
    """Of the inputs."""
    data: str
    """RANDOM, or pictures.digest of the inputs' pictures; where nothing says which, seen.digest of the inputs."""
    dataset: str = ""
    """The data set, as InputsWork has it; '' of random inputs and where nothing says which."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        _check_texts(self)


@dataclass(frozen=True)
class FigureFacts:
    """What is said of a figure beside its work."""

    device: str
    """The hardware's name; '' where that is not known."""
    host: str
    date: str
    """ISO 8601, UTC."""
    images: int
    """How many were timed; 0 where the tool does not say."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        _check_texts(self)


@dataclass(frozen=True)
class Figure:
    """What the record says of a performance file."""

    work: FigureWork
    facts: FigureFacts
    sha256: str = _UNFINISHED
    """Of the file."""

    def is_of(self, content: bytes) -> bool:
        """Whether the file still has the content that it was written with."""
        return self.sha256 == hashlib.sha256(content).hexdigest()


def _check_texts(value: FigureWork | FigureFacts) -> None:
    """Raise ValueError for texts that cannot stand in a table."""
    for name, text in vars(value).items():
        if isinstance(text, str) and not (text.isprintable() and len(text) <= 200):
            raise ValueError(f"{name} {text[:40]!r}")


def data_of(made: Inputs | None, stamps: str) -> tuple[str, str]:
    """FigureWork's data and dataset: of inputs with a record, else, '' where there is none, of their files' stamps."""
    if made is None:
        return stamps, ""
    return made.pictures or stamps, made.work.dataset


def record_of(directory: Path) -> Path:
    """Where the record of a directory's performance files lies."""
    return directory / "figures.record.json"


def read(directory: Path) -> dict[str, Figure]:
    """What is known of the performance files there, by name. Raises UserError for a damaged record."""
    file = record_of(directory)
    if not os.path.lexists(file):
        return {}
    what = f"record {file}"
    remedy = "remove it, and the performance files beside it count as those of other programs; or give another place"
    value = sources.read_json(file, "record")
    if not isinstance(value, dict) or (value.get("artifact"), value.get("format")) != (_KIND, FORMAT):
        raise UserError(f"{what}: expected format {FORMAT} of {_KIND}; {remedy}")
    entries = value.get("figures")
    if not isinstance(entries, dict) or any(Path(name).name != name for name in entries):
        raise UserError(f"{what}: expected figures by the names of performance files; {remedy}")
    return {name: fields.parse(entry, Figure, what, remedy) for name, entry in entries.items()}


def check(files: Iterable[Path], work: FigureWork | None, *, instead: str, leaving: FigureWork | None = None) -> None:
    """Refuse, before anything is measured, what ``keep`` would refuse to replace.

    Parameters
    ----------
    work : of the figures to come, '' in what is not known yet; None asks only for files of other programs
    instead : what the user may do, beside --overwrite: 'give another --result'
    leaving : of figures that ``remove`` will have removed by then

    Raises
    ------
    UserError : a file of another program, one that was changed since it was written, or of other work
    """
    known: dict[Path, dict[str, Figure]] = {}
    for file in files:
        if file.parent not in known:
            known[file.parent] = read(file.parent)
        entry = known[file.parent].get(file.name)
        if leaving is not None and entry is not None and _is_same(entry.work, leaving) and _is_ours(file, entry):
            continue
        _refuse(file, entry, work, instead)


def keep(file: Path, text: str, figure: Figure, *, instead: str, overwrite: bool = False) -> None:
    """Write a performance file with its entry, in place of one of the same work.

    Raises
    ------
    UserError : as ``check``, without ``overwrite``; a place that cannot be written
    """
    with lock.waited(file.parent, instead=instead):
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        _begin(file, dataclasses.replace(figure, sha256=sha256), instead, overwrite)
        atomic.write_text(file, text)


def begin(file: Path, figure: Figure, *, instead: str, overwrite: bool = False) -> None:
    """Make room for what a tool is about to write as ``file`` itself. Raises UserError as ``keep``."""
    with lock.waited(file.parent, instead=instead):
        _begin(file, dataclasses.replace(figure, sha256=_UNFINISHED), instead, overwrite)


def finish(file: Path, figure: Figure, *, instead: str) -> None:
    """Say what the tool has written since ``begin`` is of."""
    with lock.waited(file.parent, instead=instead):
        _change(file.parent, {file.name: dataclasses.replace(figure, sha256=atomic.sha256(file))})


def remove(directory: Path, work: FigureWork, *, instead: str) -> None:
    """Remove the figures of ``work``, with any number of threads, and nobody else's files."""
    with lock.waited(directory, instead=instead):
        entries = read(directory)
        gone = [name for name, entry in entries.items() if _is_same(entry.work, work)]
        for name in gone:
            if _is_ours(directory / name, entries[name]):
                (directory / name).unlink(missing_ok=True)
        if gone:
            _change(directory, dict.fromkeys(gone))


def remove_partials(directory: Path, files: Iterable[Path], *, instead: str) -> None:
    """Remove what killed runs left of these files and of the record while they were unfinished."""
    with lock.waited(directory, instead=instead):
        atomic.remove_partials_of(record_of(directory), *files)


def differing(found: FigureWork, wanted: FigureWork) -> list[Difference]:
    """In what a figure is of other work than is wanted; '' there is not known and so differs from nothing."""
    different = [d for d in differences(found, wanted) if d.wanted != ""]
    names = {difference.name for difference in different}
    return [d for d in different if d.name != "dataset" or "data" not in names]  # other pictures say it


def _is_same(found: FigureWork, wanted: FigureWork) -> bool:
    return dataclasses.replace(found, threads=wanted.threads) == wanted


def _is_ours(file: Path, entry: Figure | None) -> bool:
    """Whether what stands there was written by a program of ours, and not changed since."""
    if entry is None or not file.is_file():
        return False
    return entry.sha256 in {_UNFINISHED, atomic.sha256(file)}


def _refuse(file: Path, entry: Figure | None, work: FigureWork | None, instead: str) -> None:
    """Raise UserError unless the file may be replaced by one of ``work``."""
    if not file.exists():
        return
    remedy = f"{instead}, or --overwrite to replace it"
    if entry is None:
        raise UserError(
            f"{file} is a performance file that this program did not write (no record says what it is of); {remedy}"
        )
    if not _is_ours(file, entry):
        raise UserError(f"{file} was changed since this program wrote it; {remedy}")
    if work is not None and (different := differing(entry.work, work)):
        raise UserError(f"{file} holds a figure of other work: {', '.join(map(str, different))}; {remedy}")


def _begin(file: Path, entry: Figure, instead: str, overwrite: bool) -> None:
    """Remove the file that is replaced, then say what the next is of: a kill leaves no file with another's entry."""
    if not overwrite:
        _refuse(file, read(file.parent).get(file.name), entry.work, instead)
    if file.is_file() or file.is_symlink():
        file.unlink()
    _change(file.parent, {file.name: entry})


def _change(directory: Path, changes: Mapping[str, Figure | None]) -> None:
    """Merge entries into the record, None removing one; the record goes with the last."""
    entries: dict[str, Figure | None] = {**read(directory), **changes}
    known = {name: dataclasses.asdict(entry) for name, entry in entries.items() if entry is not None}
    if known:
        atomic.write_json(record_of(directory), {"artifact": _KIND, "format": FORMAT, "figures": known})
    else:
        record_of(directory).unlink(missing_ok=True)
