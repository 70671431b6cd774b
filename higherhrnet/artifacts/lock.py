"""One program at a time in a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from higherhrnet.errors import UserError

_LONGEST_WAIT = 60.0  # seconds: what is done under ``waited`` takes milliseconds
_BETWEEN_TRIES = 0.01


class HeldError(UserError):
    """Another program holds the directory."""


@contextlib.contextmanager
def held(directory: Path, *, instead: str) -> Iterator[None]:
    """Hold an existing directory; the system lets go of it when the program ends, however it ends.

    ``instead`` is what the user may do if another program holds it, beside waiting.

    Raises UserError: another program holds it.
    """
    with _opened(directory) as folder:
        take(folder, _otherwise(directory, instead))
        yield


@contextlib.contextmanager
def waited(directory: Path, *, instead: str) -> Iterator[None]:
    """As ``held``, for a moment: threads and programs that do so wait for each other."""
    give_up = time.monotonic() + _LONGEST_WAIT
    with _opened(directory) as folder:
        while True:
            try:
                take(folder, _otherwise(directory, instead))
                break
            except HeldError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(_BETWEEN_TRIES)
        yield


def take(descriptor: int, otherwise: str) -> None:
    """Hold what is open as ``descriptor`` until that is closed. Raises HeldError ``otherwise`` where another does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HeldError(otherwise) from None  # its number is that of a limit of processes too
    except OSError:  # a file system without locks: continue unprotected
        pass


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    try:
        folder = os.open(directory, os.O_RDONLY)
    except OSError as e:
        raise UserError(f"cannot read directory {directory}: {e.strerror}; choose another output path") from e
    try:
        yield folder
    finally:
        os.close(folder)


def _otherwise(directory: Path, instead: str) -> str:
    return f"another run is working in {directory}; wait for it, or {instead}"
