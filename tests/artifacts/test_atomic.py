"""Writing files: whole or not at all."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import atomic
from higherhrnet.errors import UserError
from tests.support.programs import Outcome


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    with pytest.raises(RuntimeError), atomic.writing(path) as partial:
        partial.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_a_user_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=rf"cannot write {path}: File too large"):
            atomic.write_bytes(path, b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_buffers_are_written_one_after_another(tmp_path: Path):
    atomic.write_bytes(tmp_path / "file", b"ab", np.array([[1, 2]], np.uint8), b"")
    assert (tmp_path / "file").read_bytes() == b"ab\x01\x02"


def test_a_host_without_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch):
    """As a container with a read-only root."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with (
        pytest.raises(
            UserError, match=r"cannot create a temporary folder: No usable .*; set TMPDIR to one that can be"
        ),
        atomic.temporary_folder(),
    ):
        pass


def test_partials_of_killed_runs_are_removed(tmp_path: Path):
    (tmp_path / ".000000000001.bin.4711.part").write_text("half")
    (tmp_path / "000000000002.bin").write_text("whole")
    atomic.remove_partials([tmp_path])
    assert os.listdir(tmp_path) == ["000000000002.bin"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot create directory .*file/below: Not a directory"):
        atomic.make_directory(tmp_path / "file/below")


Script = Callable[..., Outcome]


@pytest.mark.parametrize("kind", ["pipe", "folder", "root", "nothing"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, kind: str):
    path = {"root": Path("/"), "nothing": Path()}.get(kind, tmp_path / "file")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    before = path.stat().st_ino
    with pytest.raises(UserError, match="cannot write"):
        atomic.write_text(path, "text")
    assert path.stat().st_ino == before
