"""Whether files are still what they were when a program began with them, by what the system says: nothing is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from higherhrnet.artifacts import atomic
from higherhrnet.errors import UserError


class Stamp(NamedTuple):
    """What a file system says of a file without reading it. Times are in nanoseconds.

    Time of change and number tell a file that was put in the place of another from that one, even where somebody gave
    both the same size and time of writing, as archives and container images do.
    """

    size: int
    modified: int
    changed: int
    inode: int

    def is_still(self, now: Stamp) -> bool:
        """Whether a file was neither written to nor replaced. A further link to it, which changes it, is neither."""
        return self._replace(changed=now.changed) == now


def stamp(status: os.stat_result) -> Stamp:
    """The stamp in what the system says of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def look(files: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamps of files, each asked for once.

    Raises
    ------
    UserError : a file that is not there
    """
    found = {}
    for file in files:
        try:
            found[file] = stamp(file.stat())
        except OSError as e:
            raise UserError(f"cannot read {file.parent.name}/{file.name}: {e.strerror}; run again what makes it") from e
    return found


def digest(stamps: Mapping[Path, Stamp]) -> str:
    """A hash over files' names, folders, sizes and times: equal for a copy that keeps these."""
    rows = sorted([file.name, file.parent.name, found.size, found.modified] for file, found in stamps.items())
    return atomic.sha256_of_json(rows)


def check(stamps: Mapping[Path, Stamp], files: Iterable[Path], what: str) -> None:
    """Refuse what was read of files that changed meanwhile; ``what`` they are is for the message: 'input'.

    Raises
    ------
    UserError : naming the first that is not what its stamp says any more
    """
    if file := changed(stamps, files):
        raise UserError(
            f"{what} {file} was replaced, written to or removed while this program worked with it, and nothing is made "
            f"of it; run again when nothing writes to {file.parent}"
        )


def changed(stamps: Mapping[Path, Stamp], files: Iterable[Path]) -> Path | None:
    """The first of the files that is not what its stamp says any more, or is gone; None where all are."""
    for file in files:
        try:
            if not stamps[file].is_still(stamp(file.stat())):
                return file
        except OSError:
            return file
    return None
