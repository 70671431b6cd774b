"""What a command says on standard output and keeps, with its time, in a file."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from higherhrnet.artifacts import atomic, sources
from higherhrnet.errors import UserError

_TIME, _LENGTH = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "), 20  # what a line begins with


class Log:
    """A file that says what was said."""

    def __init__(self, path: Path) -> None:
        """Makes the file's folder; the file is NAME_2.log where NAME.log is something of others."""
        atomic.make_directory(path.parent)
        number, self._path = 1, path
        while os.path.lexists(self._path) and not _is_ours(self._path):  # it may be of the same second
            number += 1
            self._path = path.with_stem(f"{path.stem}_{number}")

    def say(self, text: str) -> None:
        """On stdout and in the file."""
        print(text, flush=True)
        self.note(text)

    def note(self, text: str) -> None:
        """In the file alone. Raises UserError where it cannot be written."""
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        except OSError as e:
            raise UserError(f"cannot write log {self._path}: {e.strerror}; free space or change OUTPUT_DIR") from e


def _is_ours(path: Path) -> bool:
    if path.is_symlink():
        return False
    try:
        with sources.open_file(path) as file:
            return bool(_TIME.match(file.read(_LENGTH)))
    except OSError:
        return False
