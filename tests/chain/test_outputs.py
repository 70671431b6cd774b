"""Nothing of the user's is replaced that no flag named as output, and no input is ever an output, in every command."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from demo import clip, contact_sheet, scenes
from higherhrnet import decode
from higherhrnet.artifacts import atomic, claim, dumps, figures, outputs
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.work import OmWork
from higherhrnet.backends.ascend import amct, convert
from higherhrnet.cli import log, program
from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.errors import UserError
from higherhrnet.model import half
from higherhrnet.pipeline import poses, predict
from higherhrnet.stages import postprocess, results_file
from higherhrnet.system import processes
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.programs import CPU, Outcome, error
from tests.support.works import PEOPLE

Script = Callable[..., Outcome]
RESULTS = "output/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def people(
    tiny_data: Path, tiny_result: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Call postprocessing, whose flags follow, on dumps of ``data`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, "data")
    shutil.copytree(tiny_result, "result")
    dumps = [f"result/dumpOutput_device0_bs1{flip}" for flip in ("", "_flip")]

    def call(*more: object) -> Outcome:
        where = ("--dump_dir", dumps[0], "--dump_dir_flip", dumps[1], "--workers", 1, "--cfg", TINY_CONFIG)
        return script("HigherHRNet_postprocess", *where, *more, "DATASET.ROOT", "data")

    return call


def test_pictures_are_never_drawn_over_pictures(people: Callable[..., Outcome]):
    before = content(Path("data"))
    outcome = people("--vis_dir", "data/images/val2017", "--vis_score", 0, "--overwrite")
    assert "is an input" in error(outcome)
    assert not Path("output").exists(), "before any work"
    Path("mine").mkdir()
    shutil.copy(next(iter(before)), "mine/file")
    name = next(path.name for path in before if path.suffix == ".jpg")
    Path("mine", name).write_bytes(b"mine")
    outcome = people("--vis_dir", "mine", "--vis_score", 0)
    assert f"mine/{name} is a file that this command did not make" in error(outcome)
    assert Path("mine", name).read_bytes() == b"mine"
    assert content(Path("data")) == before
    assert people("--vis_dir", "drawn", "--vis_score", 0).status == 0
    assert people("--vis_dir", "drawn", "--vis_score", 0).status == 0, "our own may be drawn again"


def test_results_of_the_official_code_are_kept(people: Callable[..., Outcome]):
    Path(RESULTS).parent.mkdir(parents=True)
    Path(RESULTS).write_text("[]")
    assert f"{RESULTS} is a file that this command did not make" in error(people())
    assert Path(RESULTS).read_text() == "[]"
    assert people("--overwrite").status == 0
    assert Path(RESULTS).read_text() != "[]"
    assert people().status == 0
    Path(RESULTS).write_text("[\n]")  # written over ours, whose record stays
    assert f"results {RESULTS} have changed since their record was written" in error(people())
    assert Path(RESULTS).read_text() == "[\n]"


@pytest.mark.parametrize("beside", ["", ".record", ".pictures"])
@pytest.mark.parametrize("moment", ["decode.decode_image", "coco_results.dump"])
def test_what_comes_to_the_results_place_meanwhile_is_kept(
    people: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, moment: str, beside: str
):
    """While people are looked for, and while they are written; they are not looked for again."""
    place = Path(RESULTS.replace(".json", f"{beside}.json"))
    module, name = moment.split(".")
    room = decode if module == "decode" else coco_results
    real = getattr(room, name)

    def coming(*given: object, **named: object) -> object:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text('"mine"')
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(room, name, coming)
        said = error(people())
    assert str(place) in said
    assert said.endswith("it came while this command was at work: move it away and run again, what is done is kept\n")
    assert place.read_text() == '"mine"'
    assert beside == "" or not Path(RESULTS).exists()

    place.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(decode, "decode_image", None)
        outcome = people()
    assert outcome.status == 0, outcome.err
    assert "=> 7 of these images had been decoded before" in outcome.out


def test_a_shard_is_not_merged_over_itself(
    tiny_data: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path(RESULTS).parent.mkdir(parents=True)
    Path(RESULTS).write_text("[]")
    given = ("--results", RESULTS, "other.json", "--overwrite", "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert f"{RESULTS} is an input" in error(script("higherhrnet.__main__", "merge", *given))
    assert Path(RESULTS).read_text() == "[]"


def test_people_are_not_drawn_into_a_folder_that_a_link_names(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "images").symlink_to("mine")
    with pytest.raises(UserError, match="images is a link, expected a folder"):
        poses.Along(tmp_path, [poses.IMAGES])


def test_an_export_replaces_its_own_files_alone(
    tiny_weights: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    target = Path("picture.jpg")
    target.write_bytes(b"mine")
    export = ("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--cfg", TINY_CONFIG, "--output", target)
    assert "picture.jpg is a file that this command did not make" in error(script(*export))
    assert target.read_bytes() == b"mine"
    assert script(*export, "--overwrite").status == 0
    assert script(*export).status == 0, "its own file"


def test_lists_replace_lists_alone(tiny_inputs: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.info").write_text("my notes\n")
    listing = ("gen_dataset_info", "bin", tiny_inputs / "bins", "notes")
    assert "notes.info is a file that this command did not make" in error(script(*listing))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.info"]
    assert Path("notes.info").read_text() == "my notes\n"
    assert script(*listing, "--overwrite").status == 0
    assert script(*listing).status == 0
    Path("notes_9x9.info").write_text("my notes\n")  # where a list of a shape that is no longer there would be removed
    assert "notes_9x9.info is a file that this command did not make" in error(script(*listing))
    assert Path("notes_9x9.info").read_text() == "my notes\n"


def test_the_demo_s_programs_write_over_nobody_s_files(tiny_data: Path, tmp_path: Path, capsys):
    before = content(tiny_data)
    assert scenes.main(["--output", str(tiny_data), "--images", "1"]) == 1
    assert "did not make" in capsys.readouterr().err
    assert content(tiny_data) == before
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    pictures = tiny_data / "images/val2017"
    assert program.run(contact_sheet.main, [str(pictures), str(sheet)]) == 1
    assert program.run(clip.main, ["--output", str(sheet)]) == 1
    assert sheet.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["folder", "link", "file", "of predict"])
def test_the_demo_removes_only_a_folder_that_it_made(tmp_path: Path, kind: str):
    work, mine = tmp_path / "work", tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    if kind == "link":
        work.symlink_to(mine)
    elif kind in {"folder", "of predict"}:
        mine.rename(work)
        if kind == "of predict":
            outputs.claim_folder(tmp_path / "poses", "--output", predict.KIND)
            (tmp_path / "poses" / outputs.FOLDER_MARK).rename(work / outputs.FOLDER_MARK)
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
    kept = work if kind == "file" else (mine if kind == "link" else work) / "file"
    assert kept.read_text() == "mine"


def test_a_missing_evaluation_is_found_before_the_work(
    people: Callable[..., Outcome], script: Script, monkeypatch: pytest.MonkeyPatch
):
    real = importlib.util.find_spec
    with monkeypatch.context() as without:
        without.setattr(importlib.util, "find_spec", lambda name: None if name == "pycocotools" else real(name))
        with pytest.raises(UserError, match="pycocotools, which evaluates people, is not installed"):
            evaluation.require()
        assert "pycocotools, which evaluates people, is not installed; pip install pycocotools" in error(people())
        run = ("higherhrnet.__main__", "run", "--cfg", TINY_CONFIG, "DATASET.ROOT", "data")
        assert "pycocotools, which evaluates people, is not installed" in error(script(*run))
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


def _of_another_user(path: Path) -> None:
    path.write_bytes(b"mine")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)


def _link_to_own_folder(path: Path) -> None:
    (path.parent / "file").write_bytes(b"mine")
    path.symlink_to(".")


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 22)


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
    "an archive": _file(b"PK\x03\x04" + bytes(60)),
    "another user's file": _of_another_user,
    "a sparse file": _sparse,
}
LINKS: dict[str, Callable[[Path], object]] = {
    **{
        f"a link to {name}": _linked(make)
        for name, make in THINGS.items()
        if name not in {"a hard link", "a sparse file", "another user's file"}
    },
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/full"),
    "a link to a link": _link_to_link,
    "a link to its own folder": _link_to_own_folder,
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
    "table --chart": (
        "t.png",
        (
            *("higherhrnet.__main__", "table", "--model", "m.onnx", "--int8", "no.onnx", "--cfg", TINY_CONFIG),
            *("--info", "inputs/prep_bin", "--info_flip", "inputs/prep_bin_flip", "--chart", "place/t.png"),
        ),
    ),
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


def _written(write: Callable[[], object], name: str) -> None:
    """Put every thing in ``place/NAME``'s place, and write; none of it changes, and what is no link is refused."""
    place = Path("place")
    for what, make in {**THINGS, **LINKS}.items():
        place.mkdir()
        make(place / name)
        before = _state(place)
        try:
            write()
        except UserError as e:
            assert "place" in str(e), (what, e)
            kept = set(before)
        else:
            assert what in LINKS, what
            kept = set(before) - {name}
        after = _state(place)
        assert {path: after.get(path) for path in kept} == {path: before[path] for path in kept}, what
        shutil.rmtree(place)


def _figure() -> figures.Figure:
    work = figures.FigureWork("model", "onnxruntime", "1.0", 1, 1, "float32", figures.RANDOM)
    return figures.Figure(work, figures.FigureFacts("device", "host", "2026-01-01", 1))


def _drawn(tiny_data: Path) -> Callable[[], object]:
    dataset = coco.load(tiny_data / "annotations/person_keypoints_val2017.json")
    person = {"image_id": 1000, "category_id": 1, "score": 1.0, "keypoints": [50.0, 50.0, 1.0] * 17}
    Path("people.json").write_text(json.dumps([person]))
    job = postprocess.DrawJob(coco.Location(str(tiny_data), "val2017"), Path("place"), 1, 0.0)
    made = Record(PEOPLE, Facts(sha256=atomic.sha256(Path("people.json"))), complete=True)
    return lambda: postprocess.draw_results(dataset, Path("people.json"), made, job)


def _for_amct() -> None:
    Path("place", outputs.FOLDER_MARK).write_text(outputs.mark(amct.KIND))
    amct.write(Path("place"), Path("m.onnx"), [], dtype="float32", keep_float=[], batch=1)


WRITERS: dict[str, tuple[str, Callable[[Path], Callable[[], object]]]] = {
    "postprocess --vis_dir": ("000000001000.jpg", _drawn),
    "results": ("r.json", lambda _: lambda: results_file.check(Path("place/r.json"), overwrite=False)),
    "a record": (
        "r.record.json",
        lambda _: lambda: results_file.check(Path("place/r.json"), overwrite=False),
    ),
    "a table of pictures": (
        "r.pictures.json",
        lambda _: lambda: results_file.check(Path("place/r.json"), overwrite=False),
    ),
    "a performance file": (
        "p.txt",
        lambda _: lambda: figures.keep(Path("place/p.txt"), "figures\n", _figure(), instead="give another --save"),
    ),
    "the record of figures": (
        "figures.record.json",
        lambda _: lambda: figures.keep(Path("place/p.txt"), "figures\n", _figure(), instead="give another --save"),
    ),
    "a tool's log": ("t.log", lambda _: lambda: processes.run(processes.Command(("true",)), log=Path("place/t.log"))),
    "AIPP's file": ("a.cfg", lambda _: lambda: convert._write_aipp(Path("place/a.cfg"), None)),
    "AMCT's files": ("quant.cfg", lambda _: _for_amct),
    "a half model": ("h.onnx", lambda _: lambda: half.write(Path("m.onnx"), Path("place/h.onnx"), flag="--precision")),
}
"""What programs write after long work or with other tools' help, by what writes it."""


@pytest.mark.parametrize("what", WRITERS)
def test_whatever_lies_where_a_stage_writes_stays(
    what: str, tiny_data: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_onnx, "m.onnx")
    name, make = WRITERS[what]
    _written(make(tiny_data), name)


def _converted(path: Path) -> None:
    request = convert.Request(path.with_suffix(".onnx"), 1, (), dumps.Heads(17, 17))
    with convert._set_aside(request):
        path.write_bytes(b"converted")


@pytest.mark.parametrize(
    ("name", "aside", "write"),
    [
        ("m.om", "m.om.kept", _converted),
        ("l.log", "l.log", lambda path: log.Log(path).note("said")),
    ],
)
def test_whatever_lies_where_others_write_too_is_kept_beside(
    name: str, aside: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """ATC and the guide's line write to one place, and a second holds two logs."""
    monkeypatch.chdir(tmp_path)
    place = Path("place")
    for what, make in {**THINGS, **LINKS}.items():
        place.mkdir()
        make(place / name)
        before = {re.sub(f"^{name}", aside, path): state for path, state in _state(place).items()}
        write(place / name)
        after = _state(place)
        assert {path: after.get(path) for path in before} == before, what
        assert len(after) == len(before) + 1, what
        shutil.rmtree(place)


def test_an_om_that_was_kept_is_not_replaced_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for content in ("mine", "mine too"):
        Path("m.om").write_text(content)
        _converted(Path("m.om"))
    assert [Path(f"m.om.kept{number}").read_text() for number in ("", 2)] == ["mine", "mine too"]
    made = claim.Record(OmWork("", {}, ""), claim.Facts(sha256=atomic.sha256(Path("m.om"))), complete=True)
    claim.write(Path("m.om"), made)
    _converted(Path("m.om"))  # ours, with our record, which makes room
    assert {path.name for path in Path().iterdir()} == {"m.om", "m.om.kept", "m.om.kept2"}


TREES: dict[str, tuple[str, tuple[object, ...]]] = {
    "preprocess": ("bins", ("HigherHRNet_preprocess", "--output", "place/bins", "--output_flip", "flip")),
    "preprocess --output_flip": ("flip", ("HigherHRNet_preprocess", "--output", "bins", "--output_flip", "place/flip")),
    "benchmark --result": ("result", ("HigherHRNet_benchmark", "--result", "place/result")),
    "run --work": ("work", ("higherhrnet.__main__", "run", "--work", "place/work")),
    "run OUTPUT_DIR": ("out", ("higherhrnet.__main__", "run", "OUTPUT_DIR", "place/out")),
    "predict": (
        "poses",
        ("higherhrnet.__main__", "predict", "p.jpg", "--output", "place/poses", "--save", "csv,images"),
    ),
    "performance --save": ("save", ("HigherHRNet_performance", "--shapes", "128x128", "--save", "place/save")),
}


@pytest.mark.parametrize("command", TREES)
def test_whatever_lies_in_a_folder_s_place_stays(
    command: str,
    tiny_data: Path,
    tiny_inputs: Path,
    tiny_onnx: Path,
    tmp_path: Path,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
):
    """Files are written beside those of others in it, or it is refused."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(tiny_data)
    shutil.copy(tiny_data / "images/val2017/000000001000.jpg", "p.jpg")
    name, arguments = TREES[command]
    network = (*CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG)
    of_data = ("--workers", 1, "--limit", 1, "DATASET.ROOT", "data")
    more: dict[str, tuple[object, ...]] = {
        "preprocess": ("--cfg", TINY_CONFIG, *of_data),
        "run": ("--no_eval", *network, *of_data),
        "benchmark": ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip", *network),
        "performance": ("--rounds", 1, "--warm_up", 0, *network),
    }
    place = Path("place")
    for what in ("text", "a folder", "a pipe", "a link to a folder", "a link to nothing"):
        place.mkdir()
        {**THINGS, **LINKS}[what](place / name)
        before = _state(place)
        outcome = script(*arguments, *more.get(command.partition(" ")[0], network))
        if outcome.status:
            error(outcome)
        elif what not in {"a folder", "a link to a folder", "a link to nothing"}:
            pytest.fail(f"{what} is taken for a folder")
        after = _state(place)
        assert {path: after.get(path) for path in before} == before, what
        if command == "predict":
            assert outcome.status, "a folder of results is ours or new"
        shutil.rmtree(place)
