"""Nothing of the user's is replaced that no flag named as output, and no input is ever an output, in every command."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from demo import contact_sheet, scenes
from higherhrnet.cli import program
from higherhrnet.dataset import evaluation
from higherhrnet.errors import UserError
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.programs import CPU, Outcome, error

Script = Callable[..., Outcome]
RESULTS = "output/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def people(
    tiny_data: Path, tiny_inputs: Path, tiny_onnx: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Call postprocessing, whose flags follow, on dumps of ``data`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, "data")
    lists = ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip", "--cfg", TINY_CONFIG)
    assert script("HigherHRNet_benchmark", *lists, *CPU, "--model", tiny_onnx).status == 0
    dumps = [f"result/dumpOutput_device0_bs1{flip}" for flip in ("", "_flip")]

    def call(*more: object) -> Outcome:
        where = ("--dump_dir", dumps[0], "--dump_dir_flip", dumps[1], "--workers", 1, "--cfg", TINY_CONFIG)
        return script("HigherHRNet_postprocess", *where, *more, "DATASET.ROOT", "data")

    return call


def test_pictures_are_never_drawn_over_pictures(people: Callable[..., Outcome]):
    before = content(Path("data"))
    outcome = people("--vis_dir", "data/images/val2017", "--vis_score", 0, "--overwrite")
    assert "is an input" in error(outcome)
    Path("mine").mkdir()
    shutil.copy(next(iter(before)), "mine/file")
    name = next(path.name for path in before if path.suffix == ".jpg")
    Path("mine", name).write_bytes(b"mine")
    outcome = people("--vis_dir", "mine", "--vis_score", 0)
    assert f"mine/{name} is a file that this program did not make" in error(outcome)
    assert Path("mine", name).read_bytes() == b"mine"
    assert content(Path("data")) == before
    assert people("--vis_dir", "drawn", "--vis_score", 0).status == 0
    assert people("--vis_dir", "drawn", "--vis_score", 0).status == 0, "our own may be drawn again"


def test_results_of_the_official_code_are_kept(people: Callable[..., Outcome]):
    Path(RESULTS).parent.mkdir(parents=True)
    Path(RESULTS).write_text("[]")
    assert f"{RESULTS} is a file that this program did not make" in error(people())
    assert Path(RESULTS).read_text() == "[]"
    assert people("--overwrite").status == 0
    assert Path(RESULTS).read_text() != "[]"
    assert people().status == 0


def test_an_export_replaces_its_own_files_alone(
    tiny_weights: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    target = Path("picture.jpg")
    target.write_bytes(b"mine")
    export = ("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--cfg", TINY_CONFIG, "--output", target)
    assert "picture.jpg is a file that this program did not make" in error(script(*export))
    assert target.read_bytes() == b"mine"
    assert script(*export, "--overwrite").status == 0
    assert script(*export).status == 0, "its own file"


def test_lists_replace_lists_alone(tiny_inputs: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.info").write_text("my notes\n")
    listing = ("gen_dataset_info", "bin", tiny_inputs / "bins", "notes")
    assert "notes.info is a file that this program did not make" in error(script(*listing))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.info"]
    assert Path("notes.info").read_text() == "my notes\n"
    assert script(*listing, "--overwrite").status == 0
    assert script(*listing).status == 0


def test_the_demo_s_programs_write_over_nobody_s_files(tiny_data: Path, tmp_path: Path, capsys):
    before = content(tiny_data)
    assert scenes.main(["--output", str(tiny_data), "--images", "1"]) == 1
    assert "did not make" in capsys.readouterr().err
    assert content(tiny_data) == before
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    pictures = tiny_data / "images/val2017"
    assert program.run(contact_sheet.main, [str(pictures), str(sheet)]) == 1
    assert sheet.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_the_demo_removes_only_a_folder_that_it_made(tmp_path: Path, kind: str):
    work, mine = tmp_path / "work", tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    if kind == "link":
        work.symlink_to(mine)
    elif kind == "folder":
        mine.rename(work)
    else:
        work.write_text("mine")
    done = subprocess.run(
        ["bash", str(ROOT / "demo/run.sh")],
        env={**os.environ, "WORK": str(work), "PYTHON": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: WORK={work} holds files that the demo did not make; give a new or empty folder\n"
    kept = work if kind == "file" else (work if kind == "folder" else mine) / "file"
    assert kept.read_text() == "mine"


def test_a_missing_evaluation_is_found_before_the_work(people: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch):
    real = importlib.util.find_spec
    with monkeypatch.context() as without:
        without.setattr(importlib.util, "find_spec", lambda name: None if name == "pycocotools" else real(name))
        with pytest.raises(UserError, match="pycocotools, which evaluates people, is not installed"):
            evaluation.require()
        assert "pycocotools, which evaluates people, is not installed; pip install pycocotools" in error(people())
        assert not Path(RESULTS).exists()
        outcome = people("--no_eval")
    assert outcome.status == 0, outcome
    assert "=> no figures (--no_eval)" in outcome.out
    assert Path(RESULTS).is_file()


# Every file that a command writes, and what can lie in its place.


def _linked(make: Callable[[Path], object]) -> Callable[[Path], object]:
    """A link to what another maker makes, which is the user's."""

    def linked(path: Path) -> None:
        elsewhere = path.parent / "elsewhere"
        elsewhere.mkdir()
        make(elsewhere / "thing")
        path.symlink_to(elsewhere / "thing")

    return linked


def _file(content: bytes, mode: int = 0o644) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.write_bytes(content)
        path.chmod(mode)

    return make


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"mine")


def _hard_link(path: Path) -> None:
    (path.parent / "first").write_bytes(b"mine")
    path.hardlink_to(path.parent / "first")


def _socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o644)


def _link_to_link(path: Path) -> None:
    _linked(_file(b"mine"))(path.with_name("second"))
    path.symlink_to("second")


THINGS: dict[str, Callable[[Path], object]] = {
    "text": _file(b"mine\n"),
    "bytes": _file(bytes(range(256)) * 20),
    "a picture": _file(b"\xff\xd8\xff\xe0 of a camera"),
    "json": _file(b'{"mine": [1, 2]}'),
    "a page": _file(b"<!DOCTYPE html><title>mine</title>"),
    "a list of theirs": _file(b"0 a b c\nnotes\n"),
    "a model of theirs": _file(b"\x08\x07\x12\x07pytorch"),
    "a numpy array": _file(b"\x93NUMPY\x01\x00"),
    "a read-only file": _file(b"mine", 0o400),
    "a program": _file(b"#!/bin/sh\nexit 0\n", 0o755),
    "a file without rights": _file(b"mine", 0),
    "a hard link": _hard_link,
    "an empty folder": Path.mkdir,
    "a folder": _folder,
    "a pipe": os.mkfifo,
    "a socket": _socket,
}
LINKS: dict[str, Callable[[Path], object]] = {
    **{f"a link to {name}": _linked(make) for name, make in THINGS.items() if name != "a hard link"},
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/full"),
    "a link to a link": _link_to_link,
    "a link to a folder of the system": lambda path: path.symlink_to("/proc"),
}
PLACES: dict[str, tuple[str, tuple[object, ...]]] = {
    "lists": ("list.info", ("gen_dataset_info", "bin", "inputs/bins", "place/list")),
    "export": (
        "m.onnx",
        ("HigherHRNet_pth2onnx", "--weights", "no.pth", "--output", "place/m.onnx", "--cfg", TINY_CONFIG),
    ),
    "quantize": (
        "q.onnx",
        (
            *("higherhrnet.__main__", "quantize", "--model", "m.onnx", "--cfg", TINY_CONFIG),
            *("--inputs", "no inputs", "--output", "place/q.onnx"),
        ),
    ),
    "report": ("r.html", ("higherhrnet.__main__", "report", "--results", "no.json", "--output", "place/r.html")),
    "report --json": (
        "r.json",
        ("higherhrnet.__main__", "report", "--results", "no.json", "--output", "new.html", "--json", "place/r.json"),
    ),
    "performance --chart": ("c.png", ("HigherHRNet_performance", "--result", "no", "--chart", "place/c.png")),
}


def _state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Of everything in a folder: kind, rights, inode, and its content or where it leads."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_ino, content)
    return found


@pytest.mark.parametrize("command", PLACES)
def test_whatever_lies_in_an_output_s_place_stays(
    command: str, tiny_inputs: Path, tiny_onnx: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    """What is no link is refused. A link itself may be replaced; what it leads to is not touched."""
    monkeypatch.chdir(tmp_path)
    Path("inputs").symlink_to(tiny_inputs)
    shutil.copy(tiny_onnx, "m.onnx")
    name, arguments = PLACES[command]
    place = Path("place")
    for what, make in {**THINGS, **LINKS}.items():
        place.mkdir()
        make(place / name)
        before = _state(place)
        outcome = script(*arguments)
        after = _state(place)
        if what in LINKS:
            before.pop(name)
            after.pop(name)
        else:
            assert name in error(outcome), (what, outcome)
        assert outcome.status in {0, 1}, (what, outcome)
        assert {path: after.get(path) for path in before} == before, what
        if outcome.status:
            assert after.keys() == before.keys(), (what, outcome)
            error(outcome)
        shutil.rmtree(place)


@pytest.mark.parametrize("what", ["text", "a folder", "a pipe", "a link to a folder", "a link to nothing"])
def test_a_folder_of_results_is_ours_or_new(what: str, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("place").mkdir()
    {**THINGS, **LINKS}[what](Path("place/poses"))
    before = _state(Path("place"))
    Path("picture.jpg").write_bytes(b"none")
    said = error(script("higherhrnet.__main__", "predict", "picture.jpg", "--output", "place/poses"))
    assert said.count("\n") == 1
    assert _state(Path("place")) == before
