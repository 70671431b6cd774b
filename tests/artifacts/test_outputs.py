"""artifacts/outputs: new paths and our own files may be written; nothing else, and never an input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import info, outputs
from higherhrnet.errors import UserError
from higherhrnet.image import encoder, reader

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def ours(path: Path) -> bool:
    return path.read_bytes() == b"ours"


def test_a_new_path_and_our_own_file_may_be_written(tmp_path: Path):
    outputs.check(tmp_path / "new", "--output", ours=ours)
    (tmp_path / "own").write_bytes(b"ours")
    outputs.check(tmp_path / "own", "--output", ours=ours)


def test_a_folder_that_may_not_be_written_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also where it would have to be made, and relative to the current one."""
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write .*file/a/new: .*file is no folder; give another path with --out"
    ):
        outputs.check(tmp_path / "file/a/new", "--output", ours=ours)
    monkeypatch.chdir(tmp_path)
    outputs.check(Path("a/new"), "--output", ours=ours)
    monkeypatch.setattr(os, "access", lambda folder, mode: str(folder) != ".")  # root may write everywhere
    for name in ("new", "a/new"):
        with pytest.raises(UserError, match=rf"cannot write {name}: no right to write to \., or a read-only file"):
            outputs.check(Path(name), "--output", ours=ours)


def test_a_file_of_others_needs_overwrite(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"theirs")
    with pytest.raises(UserError, match=r"did not make; give another path .*, or --overwrite to replace it$"):
        outputs.check(path, "--output", ours=ours)
    outputs.check(path, "--output", ours=ours, overwrite=True)
    with pytest.raises(UserError, match=r"did not make; give another path with --output$"):
        outputs.check(path, "--output", ours=ours, overwrite=None)


@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_pipes_and_inputs_never_are_outputs(tmp_path: Path, overwrite: bool):
    folder, pipe, source, link = (tmp_path / name for name in ("folder", "pipe", "source", "link"))
    folder.mkdir()
    os.mkfifo(pipe)
    source.write_bytes(b"ours")
    link.symlink_to(source)
    for path in (folder, pipe):
        with pytest.raises(UserError, match="no regular file"):
            outputs.check(path, "--output", ours=ours, overwrite=overwrite)
    for path in (source, link):
        with pytest.raises(UserError, match="is an input"):
            outputs.check(path, "--output", ours=ours, inputs=[source], overwrite=overwrite)


@pytest.mark.parametrize("target", ["file", "nothing"])
def test_a_link_is_replaced_and_not_followed_unless_it_names_an_input(tmp_path: Path, target: str):
    """What it names is another's; tests/chain/test_footprint.py replaces one in every program."""
    (tmp_path / "file").write_bytes(b"theirs")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / target)
    outputs.check(link, "--output", ours=ours)
    if target == "file":
        with pytest.raises(UserError, match="is an input"):
            outputs.check(link, "--output", ours=ours, inputs=[tmp_path / "file"])


@pytest.mark.parametrize(("suffix", "encode"), [(".jpg", encoder.jpeg), (".png", encoder.png)])
def test_our_pictures_carry_a_mark_and_are_pictures(tmp_path: Path, suffix: str, encode):
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encode(PIXELS, "a sheet"))
    assert outputs.marked("a sheet")(path)
    assert not outputs.marked("a chart")(path)
    found = reader.read_image(path)[:, :, ::-1]
    if suffix == ".png":
        assert np.array_equal(found, PIXELS)
    assert found.shape == PIXELS.shape
    other = tmp_path / f"other{suffix}"
    other.write_bytes(encode(PIXELS, "a sheet").replace(b"made by", b"made of"))
    assert not outputs.marked("a sheet")(other)


def test_lists_are_known_by_their_lines(tmp_path: Path):
    own, text, empty = (tmp_path / name for name in ("own.info", "text.info", "empty.info"))
    info.write(own, [info.Entry(Path("a.bin"), width=512, height=512)])
    text.write_text("my notes\n")
    empty.touch()  # the guide's original script writes such for shapes without images
    assert outputs.is_list(own)
    assert outputs.is_list(empty)
    assert not outputs.is_list(text)


def test_a_folder_is_taken_new_empty_or_ours(tmp_path: Path):
    folder = tmp_path / "folder"
    outputs.claim_folder(folder, "--output", "scenes")
    (folder / "more").touch()
    outputs.claim_folder(folder, "--output", "scenes")
    with pytest.raises(UserError, match="holds files that this command did not make; give a new or empty folder"):
        outputs.claim_folder(folder, "--output", "people")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    for wrong in (theirs, theirs / "file"):
        with pytest.raises(UserError, match=r"--output .*(did not make|is no folder)"):
            outputs.claim_folder(wrong, "--output", "scenes")
    assert [path.name for path in theirs.iterdir()] == ["file"]
