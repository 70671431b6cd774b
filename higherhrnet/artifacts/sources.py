"""Reading what comes from outside: regular files alone, and no more of them than is stated."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_LARGEST = 2**31
"""Bytes of a file that is read whole: beyond any model, annotation file or image there is."""


def open_file(path: str | os.PathLike[str], *, buffering: int = -1) -> BinaryIO:
    """Open a regular file to read.

    Raises
    ------
    OSError : whatever the system says; and for pipes and devices, of which reading may never end
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb", buffering=buffering)
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def read(path: str | os.PathLike[str], most: int = _LARGEST) -> bytes:
    """A regular file's content. Raises OSError, for more than ``most`` bytes too."""
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise too_large(path, most)
        return file.read()


def too_large(path: str | os.PathLike[str], most: int) -> OSError:
    """What to raise for a file, or a member of an archive, of more than ``most`` bytes."""
    return OSError(errno.EFBIG, f"more than {most:,} bytes", os.fspath(path))
