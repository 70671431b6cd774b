"""What the front ends of 2024 and later ask of paths; the one of 2023 asks nothing.

Rules and words: infer/common/path_security_check.py of github.com/Yanguan619/aclruntime at b00a6c5e, which carries the
vendor's ait of September 2024; since October 2024 the characters are those of the absolute path.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

OLD = bool(os.environ.get("STAND_IN_AIS_OLD"))
"""The front end of June 2023."""


def problem(text: str) -> str:
    """What is wrong with a path as such; '' where nothing is."""
    if OLD:
        return ""
    if re.search(r"[^_A-Za-z0-9/.-]", os.path.abspath(text)):  # links stay
        return f"path:{text} contains illegal char, legal chars include A-Z a-z 0-9 _ - / ."
    path = Path(text)
    if path.is_symlink():
        return f"path :{text} is a soft link, not supported, please import file(or directory) directly"
    if path.exists():
        found = path.stat()
        if found.st_uid != os.geteuid() and found.st_gid not in os.getgroups():
            return f"current user isn't path:{text}'s owner or ownergroup"
    return ""


def writable(path: Path) -> bool:
    """Whether group or others may write."""
    return not OLD and bool(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def checked_model(text: str) -> str:
    path = Path(text)
    bad = path.suffix != ".om" or not path.is_file() or writable(path)
    return problem(text) or f"model path:{text} is illegal. Please check." * bad


def checked_input(text: str) -> str:
    path = Path(text)
    return problem(text) or f"input path:{text} is illegal. Please check." * (not path.exists() or writable(path))


def checked_output(text: str) -> str:
    path = Path(text)
    bad = not OLD and path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & ~0o750)
    return problem(text) or f"output path:{text} is illegal. Please check." * bad
