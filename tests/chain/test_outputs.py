"""Nothing of the user's is replaced that no flag named as output, and no input is ever an output, in every command."""

from __future__ import annotations

import importlib.util
import os
import shutil
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
