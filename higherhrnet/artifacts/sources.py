"""Reading what comes from outside: regular files alone, and no more of them than is stated."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from higherhrnet.errors import UserError

_LARGEST = 2**31
"""Bytes of a file that is read whole: beyond any model, annotation file or image there is."""


def open_file(path: str | os.PathLike[str], *, buffering: int = -1) -> BinaryIO:
    """Open a regular file to read.

    Raises OSError: whatever the system says; and for pipes and devices, of which reading may never end.
    """
    descriptor = os.open(system_name(path), os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb", buffering=buffering)
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def system_name(path: str | os.PathLike[str]) -> str | bytes:
    """A path as the system takes it: in UTF-8 where the locale cannot express it, since an annotation file's can be."""
    text = os.fspath(path)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def read(path: str | os.PathLike[str], most: int = _LARGEST) -> bytes:
    """A regular file's content. Raises OSError, for more than ``most`` bytes too."""
    with open_file(path, buffering=0) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise too_large(path, most)
        return file.read()


def too_large(path: str | os.PathLike[str], most: int) -> OSError:
    """What to raise for a file, or a member of an archive, of more than ``most`` bytes."""
    return OSError(errno.EFBIG, f"more than {most:,} bytes", os.fspath(path))


@dataclass(frozen=True)
class Limit:
    """How much of a JSON file from outside is read: parsed, it takes many times its bytes of memory."""

    bytes: int
    containers: int
    """Objects and lists, counted by their opening brackets, those in texts included."""


def read_json(path: Path, what: str, limit: Limit | None = None) -> Any:
    """Read a JSON file; ``what`` names its kind in the UserError, as which a file beyond ``limit`` ends too.

    So does one that gives a key of an object twice, of which others silently take the last.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in made if keys.count(key) > 1)
            raise UserError(f"{what} {path} gives {twice[:80]!r} twice in one object; give it once")
        return made

    try:
        if limit is not None and (size := path.stat().st_size) > limit.bytes:
            raise UserError(f"{what} {path}: found {size:,} bytes, at most {limit.bytes:,} are read; split it")
        content = read(path)
        if limit is not None and (found := content.count(b"{") + content.count(b"[")) > limit.containers:
            raise UserError(
                f"{what} {path}: found {found:,} objects and lists, at most {limit.containers:,} are read; split it"
            )
        return json.loads(content, object_pairs_hook=once)
    except OSError as e:
        raise UserError(f"cannot read {what} {path}: {e.strerror}; put it there or give another path") from e
    except (ValueError, RecursionError) as e:
        raise UserError(f"{what} {path} is not JSON ({e}); get the file again") from e
