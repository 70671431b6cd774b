"""One program at a time in a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from higherhrnet.errors import UserError


@contextlib.contextmanager
def held(directory: Path, *, instead: str = "give another --result") -> Iterator[None]:
    """Hold an existing directory; the system lets go of it when the program ends, however it ends.

    ``instead`` is what the user may do if another program holds it, beside waiting.

    Raises
    ------
    UserError : another program holds it
    """
    try:
        folder = os.open(directory, os.O_RDONLY)
    except OSError as e:
        raise UserError(f"cannot read directory {directory}: {e.strerror}; choose another output path") from e
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise UserError(f"another run is working in {directory}; wait for it, or {instead}") from e
        except OSError:  # a file system without locks: go on unprotected
            pass
        yield
    finally:
        os.close(folder)
