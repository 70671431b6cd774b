"""Whether a path may be written: a new one, or one that this program wrote before. No input is ever an output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from higherhrnet.artifacts import atomic, info, sources
from higherhrnet.errors import UserError

_NEAR = 4096  # bytes
FOLDER_MARK = ".made_by_higherhrnet"
"""What folders of generated data hold: a file with the mark of their kind, and lines of ``remember``."""


def mark(kind: str) -> str:
    """What files of ours hold near their beginning; by the ``kind`` no command takes another's for its own."""
    return f"made by higherhrnet: {kind}"


def check(
    path: Path,
    flag: str,
    *,
    ours: Callable[[Path], bool],
    inputs: Iterable[Path] = (),
    overwrite: bool | None = False,
) -> None:
    """Refuse to write a file where an input lies, something that this program did not write, or nothing may be written.

    A link may be written unless it leads to an input: writing replaces it and leaves what it names alone.

    Parameters
    ----------
    flag : what named the path, for the message: '--output'
    ours : whether a regular file there is one that this program wrote
    overwrite : replace another's file too, never an input, a folder or a device; None where there is no such flag

    Raises
    ------
    UserError : saying what is there
    """
    if not os.path.lexists(path):
        _check_folder(path, flag)
        return
    for source in inputs:
        if source.exists() and path.exists() and os.path.samefile(path, source):
            raise UserError(f"{flag} {path} is an input ({source}); give another path")
    if path.is_symlink():
        return
    if not path.is_file():
        raise UserError(f"cannot write {path}: it is no regular file; give another path with {flag}")
    if overwrite or ours(path):
        return
    remedy = "" if overwrite is None else ", or --overwrite to replace it"
    raise UserError(f"{path} is a file that this command did not make; give another path with {flag}{remedy}")


def _check_folder(path: Path, flag: str) -> None:
    """Refuse a new file whose folder is none, or may not be written: before the work whose result it is."""
    folder = next((parent for parent in path.parents if os.path.lexists(parent)), Path())
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: {folder} is no folder; give another path with {flag}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"cannot write {path}: no right to write to {folder}, or a read-only file system; give another path with "
            f"{flag}"
        )


def marked(kind: str) -> Callable[[Path], bool]:
    """What ``check`` asks of files with a mark: whether one is ours, and of that kind."""

    def is_ours(path: Path) -> bool:
        try:
            with sources.open_file(path) as file:
                return mark(kind).encode() in file.read(_NEAR)
        except OSError:
            return False

    return is_ours


def is_list(path: Path) -> bool:
    """Whether a file is a list of inputs, ours or one of the guide's original scripts."""
    try:
        return path.stat().st_size == 0 or bool(info.read(path))
    except (OSError, UserError):
        return False


def claim_folder(folder: Path, flag: str, kind: str) -> None:
    """Take a folder for generated data: a new or empty one, or one that was taken for the same kind before.

    Raises
    ------
    UserError : a folder that holds something of others, or of another command, or that cannot be written
    """
    own = folder / FOLDER_MARK
    if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
        raise UserError(f"{flag} {folder} is no folder; give another path")
    is_ours = marked(kind)(own)
    if folder.is_dir() and not is_ours and any(folder.iterdir()):
        raise UserError(f"{flag} {folder} holds files that this command did not make; give a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_ours:
            own.write_text(f"{mark(kind)}\n")
    except OSError as e:
        raise UserError(f"cannot write {folder}: {e.strerror}; give another path with {flag}") from e


def remember(file: Path, sha256: str, *, alone: bool) -> None:
    """Say in the folder's mark what ``file`` in it will hold; unless ``alone``, what it held before stays ours too."""
    own = file.parent / FOLDER_MARK
    first, *rows = own.read_text().splitlines()
    before = [row for row in rows if row.partition("  ")[2] == file.name]
    others = [row for row in rows if row not in before]
    kept = [] if alone else before[-1:]
    atomic.write_text(own, "\n".join([first, *others, *kept, f"{sha256}  {file.name}"]) + "\n")


def is_remembered(file: Path) -> bool:
    """Whether a file still holds what ``remember`` said: nobody has changed it, or put another in its place."""
    try:
        rows = (file.parent / FOLDER_MARK).read_text().splitlines()
        return f"{atomic.sha256(file)}  {file.name}" in rows
    except (OSError, UserError):
        return False
