"""Lists of inputs (.info), in the format of the Ascend benchmark tool: ``index path width height`` a line.

NAME.info lists all inputs of a tree, NAME_{H}x{W}.info those of one shape. The index counts the lines from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import atomic, sources
from higherhrnet.errors import UserError

LONGEST_SIDE = 65_535
"""Pixels of an image: the longest that a JPEG can be (ITU-T T.81, B.2.2)."""
_LINE = re.compile(r"([0-9]{1,12}) (.+) ([0-9]{1,6}) ([0-9]{1,6})")


@dataclass(frozen=True)
class Entry:
    """One line: a file and its size. Note the order: width before height."""

    path: Path
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width


def path(name: str, shape: tuple[int, int] | None = None) -> Path:
    """NAME.info, or NAME_{H}x{W}.info of one shape (H, W)."""
    return Path(f"{name}.info" if shape is None else f"{name}_{shape[0]}x{shape[1]}.info")


def of_shapes(name: str) -> dict[tuple[int, int], Path]:
    """The NAME_{H}x{W}.info files that exist, by shape (H, W)."""
    pattern = re.compile(re.escape(Path(name).name) + r"_(\d+)x(\d+)\.info")
    folder = Path(name).parent
    if not folder.is_dir():
        return {}
    matches = ((pattern.fullmatch(file.name), file) for file in sorted(folder.iterdir()))
    return {(int(m[1]), int(m[2])): file for m, file in matches if m and file.is_file()}


def write(file: Path, entries: Sequence[Entry]) -> None:
    """Write the list, numbered from 0 in the given order."""
    atomic.write_text(file, "".join(f"{i} {_text(e.path)} {e.width} {e.height}\n" for i, e in enumerate(entries)))


def _text(path: Path) -> str:
    """A path's bytes as UTF-8, whatever the locale takes them for. Raises UserError for what a list cannot hold."""
    try:
        text = os.fsencode(path).decode()
    except UnicodeDecodeError as e:
        raise UserError(f"path {str(path)!r} is not UTF-8, which .info files are; rename it") from e
    if any(c in text for c in "\r\n"):
        raise UserError(f"path {text!r} holds a line break, which .info files cannot; rename it")
    return text


def write_all(name: str, entries: Sequence[Entry], *, by_shape: bool) -> list[Path]:
    """Write NAME.info and, ``by_shape``, one list per shape; lists of shapes no longer there are removed.

    Returns the paths written, NAME.info first.
    """
    atomic.make_directory(path(name).parent)
    written = [path(name)]
    write(written[0], entries)
    groups: dict[tuple[int, int], list[Entry]] = {}
    if by_shape:
        for entry in entries:
            groups.setdefault(entry.shape, []).append(entry)
    for shape, group in sorted(groups.items()):
        written.append(path(name, shape))
        write(written[-1], group)
    for shape, stale in of_shapes(name).items():
        if shape not in groups:
            stale.unlink()
    return written


def read(file: Path) -> list[Entry]:
    """Read a list. Raises UserError naming the file and line of anything that is not ``index path width height``."""
    try:
        text = sources.read(file).decode()
    except OSError as e:
        raise UserError(f"cannot read {file}: {e.strerror}; run gen_dataset_info.py or give the right name") from e
    except UnicodeDecodeError as e:
        raise UserError(f"{file} is not UTF-8 text ({e.reason} at byte {e.start}); run gen_dataset_info.py") from e
    entries = []
    # Not splitlines: a path may hold what Unicode calls a line break, such as U+2028.
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate((line.removesuffix("\r") for line in lines), start=1):
        match = _LINE.fullmatch(line)
        if not match:
            raise UserError(
                f"{file} line {number}: found {line[:80]!r}, expected 'index path width height'; "
                f"run gen_dataset_info.py again"
            )
        if int(match[1]) != number - 1:
            raise UserError(
                f"{file} line {number}: found index {match[1]}, expected {number - 1}; run gen_dataset_info.py again"
            )
        entry = Entry(Path(os.fsdecode(match[2].encode())), width=int(match[3]), height=int(match[4]))
        if not (0 < entry.width <= LONGEST_SIDE and 0 < entry.height <= LONGEST_SIDE) or "\0" in match[2]:
            raise UserError(
                f"{file} line {number}: found {line[:80]!r}, expected a path without the character 0, and sides of 1 "
                f"to {LONGEST_SIDE}; run gen_dataset_info.py again"
            )
        entries.append(entry)
    if not entries:
        raise UserError(f"{file} is empty, expected a line an input; run gen_dataset_info.py again")
    return entries
