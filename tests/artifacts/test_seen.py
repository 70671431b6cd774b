"""What is known of files without reading them: a hash that a copy keeps, and whether they changed meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.artifacts import seen
from higherhrnet.errors import UserError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a").mkdir()
    for name in ("1", "2"):
        (tmp_path / "a" / name).write_text("x")
        os.utime(tmp_path / "a" / name, ns=(1, 1))
    return tmp_path / "a/1", tmp_path / "a/2"


def test_the_digest_changes_with_name_folder_size_and_time(files: tuple[Path, Path], tmp_path: Path):
    def digest(*some: Path) -> str:
        return seen.digest(seen.look(some))

    first, second = files
    whole = digest(first, second)
    assert digest(second, first) == whole, "in any order"
    shutil.copytree(tmp_path / "a", tmp_path / "b/a")
    assert digest(*(tmp_path / "b/a").iterdir()) == whole, "wherever the folder lies"
    assert digest(first) != whole
    os.utime(first, ns=(1, 2))
    assert digest(first, second) != whole
    second.unlink()
    with pytest.raises(UserError, match="cannot read a/2: No such file or directory; run again what makes it"):
        digest(first, second)


def replaced(file: Path) -> None:
    """By a copy of equal content, size and time."""
    shutil.copy2(file, file.with_name("copy"))
    file.with_name("copy").replace(file)


@pytest.mark.parametrize("change", [replaced, Path.unlink, Path.touch, lambda file: file.write_text("y")])
def test_whatever_happens_to_a_file_meanwhile_is_seen(files: tuple[Path, Path], change: Callable[[Path], object]):
    stamps = seen.look(files)
    files[0].with_name("link").hardlink_to(files[0])
    seen.check(stamps, files, "input")
    change(files[1])
    seen.check(stamps, files[:1], "input")
    with pytest.raises(UserError, match=f"input {files[1]} was replaced, written to or removed while this program"):
        seen.check(stamps, files, "input")
