"""A journal: what has been done of some work, a line per image, so that nothing is lost or done again.

The first line is the record of the work. Every other line is one image: its index, the picture that was read for it,
its results entries where people are kept, or why it was left out, and the CRC-32 of what stands before that. A later
line of an image replaces an earlier one. A line that was cut off, by a kill or a full disk, or has changed is dropped
with all that follows; its image is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Generic

from higherhrnet.artifacts import claim, lock, sources
from higherhrnet.artifacts.claim import Record, Work
from higherhrnet.artifacts.pictures import Picture
from higherhrnet.artifacts.work import Difference
from higherhrnet.errors import UserError

_LONGEST_HEADER = 1 << 20
_SUM = b',"crc":'
_START = b'{"artifact":'  # of a header, whose first field that is
_OURS = frozenset({"artifact", "dataset"})  # the second of release 0.1.0's


class Journal(Generic[Work]):
    """An open journal; of people only the places of their lines are held in memory."""

    def __init__(self, path: Path, wanted: Record[Work], *, afresh: bool = False, overwrite: bool = False) -> None:
        """Open the journal of ``wanted``'s work at ``path``, or begin it.

        ``afresh``: one of other work is emptied, not refused. ``overwrite``: any is, also one of an earlier release.

        Raises UserError: another program has it open, it is of other work, or it cannot be written.
        """
        self.path = path
        self.left_out: dict[int, str] = {}
        """Why images were left out, by index."""
        self.pictures: dict[int, Picture] = {}
        """The pictures that were read, by index."""
        self._places: dict[int, tuple[int, int]] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as e:
            raise UserError(f"cannot write {path}: {e.strerror}; choose another output path") from e
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise UserError(f"cannot write {path}: it is no regular file; choose another output path")
            lock.take(self._file, f"another run is writing {path}; wait for it, or choose another output path")
            self._load(wanted, afresh=afresh, overwrite=overwrite)
        except BaseException:
            os.close(self._file)
            raise
        self.is_resumed = len(self) > 0
        """Whether an earlier run's images are in it."""

    def __enter__(self) -> Journal[Work]:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def __contains__(self, index: int) -> bool:
        return index in self._places or index in self.left_out

    def __len__(self) -> int:
        """Images that are done, those left out included."""
        return len(self._places) + len(self.left_out)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._end

    def add(self, index: int, picture: Picture | None, people: Sequence[dict[str, Any]] = ()) -> None:
        """Keep that an image is done, and its results entries. Raises UserError where the disk does not take it."""
        line = {"index": index, "picture": picture and picture.row(), "people": people}
        place = self._append(_with_sum(line))
        self.left_out.pop(index, None)
        self._set(index, picture, place)

    def leave_out(self, index: int, why: str) -> None:
        """Keep that an image is bad, and why."""
        self._append(_with_sum({"index": index, "left_out": why}))
        self.forget(index)
        self.left_out[index] = why

    def forget(self, index: int) -> None:
        """Take an image for not done: it has changed since."""
        self._places.pop(index, None)
        self.pictures.pop(index, None)
        self.left_out.pop(index, None)

    def entries(self) -> Iterator[dict[str, Any]]:
        """All results entries by image index, read from disk image by image."""
        for index in sorted(self._places):
            yield from self.people(index)

    def people(self, index: int) -> list[dict[str, Any]]:
        """The results entries of an image that is done and not left out, read from disk."""
        start, length = self._places[index]
        entry = _entry(os.pread(self._file, length, start))
        if entry is None:
            raise UserError(f"{self.path} has changed while it was in use; run again")
        return entry["people"]

    def indices(self) -> list[int]:
        """The images that are done and not left out, ascending."""
        return sorted(self._places)

    def remove(self) -> None:
        """Delete the journal: its results are written."""
        self.path.unlink(missing_ok=True)

    def _load(self, wanted: Record[Work], *, afresh: bool, overwrite: bool) -> None:
        self._end = 0
        with os.fdopen(os.dup(self._file), "rb") as lines:
            first = lines.readline()
            header = _whole(first)
            if not _is_begun(first) if header is None else not _OURS & header.keys():
                raise UserError(
                    f"{self.path} is no journal of this program; move it away or choose another output path"
                )
            stale: list[Difference] = []
            if header is not None and not overwrite:
                stale = claim.parse(header, type(wanted.work), self.path).stale(wanted)
                if stale and not afresh:
                    raise UserError(
                        f"{self.path} holds people of other work: {claim.reasons(stale)}; run that again to its end, "
                        f"or give --overwrite to start afresh"
                    )
            if header is None or stale or overwrite:  # new, killed while it was begun, or of other work
                os.ftruncate(self._file, 0)
                self._append(_text(wanted.as_json()))
                return
            self._end = lines.tell()
            for line, length in _images(lines):
                index, place = line["index"], (self._end, length)
                self._end += length
                if index in self:
                    self.forget(index)
                if "left_out" in line:
                    self.left_out[index] = line["left_out"]
                else:
                    self._set(index, _picture(line["picture"]), place)
        if self.size < os.fstat(self._file).st_size:
            os.ftruncate(self._file, self._end)

    def _set(self, index: int, picture: Picture | None, place: tuple[int, int]) -> None:
        self._places[index] = place
        if picture is not None:
            self.pictures[index] = picture

    def _append(self, text: bytes) -> tuple[int, int]:
        line = text + b"\n"
        start, rest = self._end, memoryview(line)
        try:
            while rest:
                rest = rest[os.pwrite(self._file, rest, start + len(line) - len(rest)) :]
        except OSError as e:
            raise UserError(
                f"cannot write {self.path}: {e.strerror}; free space and run again, what is done is kept"
            ) from e
        self._end = start + len(line)
        return start, len(line)


def work_of(path: Path, kind: type[Work]) -> Record[Work] | None:
    """Whose work a journal holds; None for a file that is none, not there, or was killed while it was begun."""
    try:
        with sources.open_file(path) as file:
            header = _whole(file.readline())
        return None if header is None else claim.parse(header, kind, path)
    except (OSError, UserError):
        return None


def pictures_of(path: Path) -> dict[int, Picture]:
    """The pictures that a journal knows, by index; none of a file that is not there. The journal is not taken."""
    found: dict[int, Picture] = {}
    with contextlib.suppress(OSError), sources.open_file(path) as lines:
        lines.readline()
        for line, _ in _images(lines):
            found.pop(line["index"], None)
            if (picture := _picture(line.get("picture"))) is not None:
                found[line["index"]] = picture
    return found


def is_begun(path: Path) -> bool:
    """Whether a file is no more than the beginning of a journal's first line, as a killed run leaves it."""
    try:
        return _is_begun(sources.read(path, _LONGEST_HEADER))
    except OSError:
        return False


def _is_begun(first: bytes) -> bool:
    """Whether a file's only line is the beginning of a header."""
    return not first.endswith(b"\n") and (first.startswith(_START) or _START.startswith(first))


def _text(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _with_sum(value: dict[str, Any]) -> bytes:
    text = _text(value)[:-1]  # without its brace
    return text + _SUM + b"%d}" % zlib.crc32(text)


def _images(lines: BinaryIO) -> Iterator[tuple[dict[str, Any], int]]:
    """Images' lines with their bytes, up to one that was cut off or has changed."""
    for line in lines:
        if (entry := _entry(line)) is None:
            return
        yield entry, len(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    """An image's line as ``add`` and ``leave_out`` write them; None for one that was cut off or has changed."""
    text, _, rest = line.rpartition(_SUM)
    if rest != b"%d}\n" % zlib.crc32(text):
        return None
    value = _whole(text + b"}\n")
    return value if value is not None and _is_entry(value) else None


def _is_entry(value: dict[str, Any]) -> bool:
    """Whether a line is an image's, as ``add`` and ``leave_out`` write them; another one counts as damaged."""
    if type(value.get("index")) is not int:
        return False
    if value.keys() == {"index", "left_out"}:
        return isinstance(value["left_out"], str)
    people, picture = value.get("people"), value.get("picture")
    return (
        value.keys() == {"index", "picture", "people"}
        and isinstance(people, list)
        and all(isinstance(entry, dict) for entry in people)
        and (picture is None or Picture.is_row(picture))
    )


def _picture(value: list[Any] | None) -> Picture | None:
    return None if value is None else Picture.of_row(value)


def _whole(line: bytes) -> dict[str, Any] | None:
    """A line's value, None for one that was cut off or is damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line.decode())  # of bytes it would first guess the encoding
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
