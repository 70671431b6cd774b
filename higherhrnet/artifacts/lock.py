"""One program at a time in a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from higherhrnet.errors import UserError


@contextlib.contextmanager
def held(directory: Path, *, instead: str) -> Iterator[None]:
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
        take(folder, f"another run is working in {directory}; wait for it, or {instead}")
        yield
    finally:
        os.close(folder)


def take(descriptor: int, otherwise: str) -> None:
    """Hold what is open as ``descriptor`` until that is closed. Raises UserError ``otherwise`` where another does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        raise UserError(otherwise) from e
    except OSError:  # a file system without locks: continue unprotected
        pass
