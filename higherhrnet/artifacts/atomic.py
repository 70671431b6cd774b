"""Writing files so that what stands under its final name is whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError

_PARTIAL = ".part"
_PARTIAL_NAME = re.compile(r"\..+\.[0-9]+\.part", re.DOTALL)


@contextlib.contextmanager
def writing(path: Path, check: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and rename it there when the block succeeds.

    A block that fails leaves nothing behind. ``check`` is called right before the renaming, to raise where somebody has
    put there meanwhile what is not to be replaced. Raises UserError where the system refuses (no space, no permission).
    """
    if not path.name or (path.exists() and not path.is_file() and not path.is_symlink()):
        raise UserError(f"cannot write {path or '.'}: it is no regular file; give another path")
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        yield partial
        check()
        partial.replace(path)
    except OSError as e:
        _unlink_quietly(partial)
        raise UserError(f"cannot write {path}: {e.strerror or e}; free space or choose another directory") from e
    except BaseException:
        _unlink_quietly(partial)
        raise


def _unlink_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):  # the error under way says more than this one would
        path.unlink(missing_ok=True)


def write_bytes(path: Path, *buffers: Any, check: Callable[[], object] = lambda: None) -> None:
    """Write objects with the buffer interface one after another as one file; ``check`` as of ``writing``."""
    with writing(path, check) as partial, partial.open("wb", buffering=0) as file:
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            while view:  # an unbuffered write may take less than it was given
                view = view[file.write(view) :]


def write_text(path: Path, text: str, check: Callable[[], object] = lambda: None) -> None:
    """Write a text file as UTF-8; ``check`` as of ``writing``."""
    write_bytes(path, text.encode(), check=check)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def make_directory(path: Path) -> None:
    """Create a directory and its parents; nothing happens where it stands. Raises UserError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"cannot create directory {path}: {e.strerror}; choose another output path") from e
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to directory {path}: permission denied; choose another output path")


def refuse_link(folder: Path) -> None:
    """Raise UserError for a link in place of a folder of ours: what it names is another's."""
    if folder.is_symlink():
        raise UserError(f"{folder} is a link, expected a folder; remove it, or give another directory")


def remove(path: Path) -> None:
    """Remove a file, or a folder of ours with all in it. Raises UserError as ``remove_folder``."""
    if path.is_dir():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with all in it; nothing happens where there is none.

    Raises UserError: a link, whose folder is another's, or a system that refuses.
    """
    refuse_link(path)
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as e:
        raise UserError(f"cannot remove folder {path}: {e.strerror}; remove it and run again") from e


@contextlib.contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Give a new folder in ``parent``, or where the system has temporary files, and remove it at the block's end.

    Raises UserError where it cannot be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="higherhrnet_", dir=parent))
    except OSError as e:
        if parent is None:
            raise UserError(
                f"cannot create a temporary folder: {e.strerror}; set TMPDIR to one that can be written"
            ) from e
        raise UserError(f"cannot create a folder in {parent}: {e.strerror}; choose another output path") from e
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_partials(directories: Iterable[Path]) -> None:
    """Remove what killed runs left of unfinished files."""
    for directory in directories:
        for partial in _partials(directory):
            partial.unlink(missing_ok=True)


def _partials(folder: Path) -> list[Path]:
    """Files with the names of ``writing``'s temporary ones."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = [folder / name for name in names if name.endswith(_PARTIAL) and _PARTIAL_NAME.fullmatch(name)]
    return [file for file in found if file.is_file()]


def remove_partials_of(*files: Path) -> None:
    """Remove what killed runs left of these files while they were unfinished."""
    for folder in {file.parent for file in files}:
        names = {file.name for file in files if file.parent == folder}
        for partial in _partials(folder):
            if partial.name[1 : -len(_PARTIAL)].rpartition(".")[0] in names:
                partial.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes. Raises UserError naming the file."""
    digest = hashlib.sha256()
    try:
        with sources.open_file(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as e:
        raise UserError(f"cannot read {path}: {e.strerror}; put it there or give another path") from e
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Hexadecimal SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
