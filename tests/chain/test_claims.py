"""Faults of what lies between stages, the same for every kind: whose it is, of what, whole, and by one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.artifacts import claim, inputs, lock
from higherhrnet.artifacts.dumps import Heads
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import DumpsWork, InputsWork, OmWork, PeopleWork
from higherhrnet.backends.ascend import convert
from higherhrnet.cli import program
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.stages import infer, postprocess, preprocess
from tests.support.ascend_host import search_path
from tests.support.datasets import TINY_CONFIG, TINY_RESULTS, write_dataset
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, error, main_of

Script = Callable[..., Outcome]
SIZES = ((640, 480), (500, 500), (320, 240))
RESULTS = Path(TINY_RESULTS)
OM = Path("models/tiny_bs1_dynamic.om")

# coco is a link to a data set that all tests read.
CFG = ("--cfg", TINY_CONFIG)
DATA = (*CFG, "DATASET.ROOT", "coco")
MODEL = (*CPU, "--model", "tiny.onnx")
PREPROCESS = ("HigherHRNet_preprocess", "--output", "bins", "--output_flip", "flip", "--workers", 1, *DATA)
LIST, LIST_FLIP = (("gen_dataset_info", "bin", tree, tree) for tree in ("bins", "flip"))
BENCHMARK = ("HigherHRNet_benchmark", "--info", "bins", "--info_flip", "flip", "--result", "result", *MODEL, *CFG)
DUMP_DIRS = ("--dump_dir", f"result/{PLAIN}", "--dump_dir_flip", f"result/{FLIP}")
POSTPROCESS = ("HigherHRNet_postprocess", *DUMP_DIRS, "--workers", 1, *DATA)
RUN = ("higherhrnet.__main__", "run", "--workers", 1, *MODEL, *DATA)


@dataclass(frozen=True)
class Kind:
    """An artifact, and how its command takes what it finds."""

    command: tuple[object, ...]
    work: type
    place: Path
    """What its record is of."""
    files: str
    """Pattern of its files."""
    other: tuple[object, ...]
    """What makes it other work."""
    difference: str
    replaces: bool = True
    """Whether other work is replaced, and that said, instead of refused."""
    remakes: bool = False
    """Whether a damaged record is one more reason to make it again."""
    begins: str = ""
    """The folder that is held while it is made."""
    inside: tuple[Any, str] | None = None
    """What its command calls for a piece of the work."""
    following: tuple[object, ...] = ()
    """The command that reads it."""

    @property
    def record(self) -> Path:
        return claim.record_of(self.place)


KINDS = {
    "inputs": Kind(
        *(PREPROCESS, InputsWork, Path("bins"), "bins/shape_*/*.bin"),
        *(("--limit", 2), "another number of images (3, not 2)"),
        replaces=False,
        begins="bins",
        inside=(preprocess, "_preprocess"),
        following=LIST,
    ),
    "model": Kind(
        *((), OmWork, OM, str(OM), ("Ascend310",), "another chip (Ascend310P3, not Ascend310)"),
        remakes=True,
        begins="models",
    ),
    "dumps": Kind(
        *(BENCHMARK, DumpsWork, Path("result", PLAIN), f"result/{PLAIN}/*.bin"),
        *(("--dtype", "float16"), "another dtype (float32, not float16)"),
        begins=f"result/{PLAIN}",
        inside=(infer, "_keep_figure"),
        following=POSTPROCESS,
    ),
    "results": Kind(
        *(POSTPROCESS, PeopleWork, RESULTS, str(RESULTS)),
        *(("TEST.DETECTION_THRESHOLD", 0.3), "another detection_threshold (0.1, not 0.3)"),
        inside=(postprocess, "_decode"),
    ),
    "run": Kind(
        *(RUN, PeopleWork, RESULTS, str(RESULTS)),
        *(("TEST.DETECTION_THRESHOLD", 0.3), "another detection_threshold (0.1, not 0.3)"),
        begins="run_work",
        inside=(Journal, "add"),
    ),
}


@pytest.fixture(scope="module")
def chain(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every kind is complete, ``run``'s results in from_run/; not to be changed."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "coco").symlink_to(write_dataset(tmp_path_factory.mktemp("data") / "coco", SIZES))
    (folder / "models").mkdir()
    for name in ("tiny.onnx", OM.with_suffix(".onnx")):
        shutil.copy(tiny_onnx, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", search_path())
        for command in (RUN, PREPROCESS, LIST, LIST_FLIP, BENCHMARK, POSTPROCESS):
            assert program.run(main_of(str(command[0])), list(map(str, command[1:]))) == 0
            if command == RUN:
                Path("output").rename("from_run")
        make_model()
    return folder


def make_model(*chip: object) -> Outcome:
    """The conversion as the benchmark stage asks for it."""
    overwrite = chip == ("--overwrite",)
    request = convert.Request(
        *(OM.with_suffix(".onnx"), 1, tuple(geometry.shape_grid(128)), Heads(17, 17)),
        soc_version=str(chip[0]) if chip and not overwrite else "Ascend310P3",
    )
    found = convert.find(request)
    try:
        if found.why or overwrite:
            convert.run(request, why=found.why)
    except UserError as e:
        return Outcome(1, "", f"error: {e}\n")
    return Outcome(0, found.why, "")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """A kind, complete in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", search_path())
    shutil.copytree(chain, tmp_path, symlinks=True, dirs_exist_ok=True)
    if request.param == "run":
        shutil.rmtree("output")
        Path("from_run").rename("output")
    return KINDS[request.param]


@pytest.fixture
def make(script: Script, kind: Kind) -> Script:
    """Call the kind's command."""
    return lambda *more: script(*kind.command, *more) if kind.command else make_model(*more)


def own(kind: Kind) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(Path().glob(kind.files))}


def everything(but: Kind | None = None) -> dict[Path, tuple[int, bytes]]:
    """All files with their times; but logs, and of a kind the records, which say what is under way."""
    files = (path for path in Path().rglob("*") if path.is_file() and path.suffix != ".log")
    found = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    records = {but.record.name, "record.json"} if but else set()
    return {file: what for file, what in found.items() if file.name not in records}


def test_the_same_again_is_kept_and_nothing_is_written(kind: Kind, make: Script):
    before, record = everything(kind), kind.record.read_bytes()
    outcome = make()
    assert outcome.status == 0, outcome.err
    assert everything(kind) == before
    assert kind.record.read_bytes() == record


def test_other_work_is_refused_or_replaced_and_the_field_is_named(kind: Kind, make: Script):
    before, files = everything(), own(kind)
    outcome = make(*kind.other)
    if not kind.replaces:
        message = error(outcome)
        assert f"already holds inputs of other work: {kind.difference}; give another --output" in message
        assert message.endswith("or --overwrite to replace them\n")
        assert everything() == before
        assert make(*kind.other, "--overwrite").status == 0
        assert len(own(kind)) == 2
    else:
        assert outcome.status == 0, outcome.err
        assert kind.difference in outcome.out
        made = claim.read(kind.place, kind.work)
        assert made is not None
        assert made.complete
        assert own(kind) != files or kind.work is OmWork, "the stand-in's model is the same for all chips"
    assert make(*kind.other).status == 0
    assert kind.difference not in make(*kind.other).out, "once"


def test_files_without_a_record_are_not_touched(kind: Kind, make: Script):
    if kind.work is PeopleWork:
        pytest.skip("where results may go is decided in one place for all files that flags name")
    kind.record.unlink()
    before = everything()
    outcome = make()
    if kind.work is OmWork:
        assert outcome == Outcome(0, "", ""), "made by hand, as in the guide"
    else:
        assert "that this program did not make (it has no record); give another --" in error(outcome)
    assert everything() == before
    files = own(kind)
    assert make("--overwrite").status == 0
    assert own(kind) == files
    assert kind.record.exists()


RECORDS = {
    "empty": "",
    "cut": '{"artifact": ',
    "another's": '{"artifact": "Picture", "format": 2}',
    "release 0.1.0's": '{"dataset": "abc", "complete": true}',
    "next year's": '{"artifact": "%s", "format": 3}',
}


@pytest.mark.parametrize("damage", RECORDS)
def test_a_damaged_record_is_one_line_and_overwritten(kind: Kind, make: Script, damage: str):
    files, text = own(kind), RECORDS[damage]
    kind.record.write_text(text.replace("%s", kind.work.__name__))
    outcome = make()
    if kind.remakes:
        assert outcome.status == 0, outcome.err
        assert f"record {kind.record}" in outcome.out
    else:
        message = error(outcome)
        assert f"record {kind.record}" in message
        assert own(kind) == files
        if damage == "release 0.1.0's":
            assert "run what made it again with --overwrite" in message
        outcome = make("--overwrite")
        assert outcome.status == 0, outcome.err
    assert own(kind) == files
    made = claim.read(kind.place, kind.work)
    assert made is not None
    assert made.complete


@pytest.mark.parametrize("how", ["cut", "removed"])
def test_a_damaged_file_is_made_again(kind: Kind, make: Script, how: str):
    files = own(kind)
    file = min(files)
    if how == "cut":
        os.truncate(file, 100)
    else:
        file.unlink()
    times = {other: other.stat().st_mtime_ns for other in files if other != file}
    assert make().status == 0
    assert own(kind) == files
    if kind.work in {InputsWork, DumpsWork}:
        beside = {other for other in times if other.stem[:12] == file.stem[:12]}  # of the same image
        assert {o: o.stat().st_mtime_ns for o in times if o not in beside} == {
            o: time for o, time in times.items() if o not in beside
        }


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_one_program_at_a_time(kind: Kind, make: Script, more: tuple[object, ...]):
    min(own(kind)).unlink()  # so that there is something to do
    before = own(kind)
    with held(kind):
        outcome = make(*more)
        assert "another run is w" in error(outcome)
        assert own(kind) == before
    outcome = make(*more)
    assert outcome.status == 0, outcome.err
    assert len(own(kind)) == len(before) + 1


def held(kind: Kind) -> contextlib.AbstractContextManager[None]:
    """As another program holds it."""
    if kind.begins:
        Path(kind.begins).mkdir(exist_ok=True)
        return lock.held(Path(kind.begins), instead="")
    return held_file(RESULTS.with_suffix(".people.jsonl"))


@contextlib.contextmanager
def held_file(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        lock.take(file.fileno(), "")
        yield


def test_leftovers_of_killed_writers_go_and_others_stay(kind: Kind, make: Script):
    folder = min(own(kind)).parent
    if kind.work is OmWork:
        ours = [folder / f".{OM.name}.previous"]
    else:
        ours = [file.with_name(f".{file.name}.4711.part") for file in (min(own(kind)), kind.record)]
    theirs = [folder / name for name in (".mine.part", "mine.4711.part", ".mine", ".mine.x1.part")]
    for file in (*ours, *theirs):
        file.write_text("half")
    min(own(kind)).unlink()
    outcome = make()
    assert outcome.status == 0, outcome.err
    assert [file for file in ours if file.exists()] == []
    assert [file for file in theirs if not file.exists()] == []


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> Callable[[], Iterator[None]]:
    if kind.inside is None:
        pytest.skip("is made in one piece")
    module, name = kind.inside
    real, calls = getattr(module, name), []

    def second_call(*args: object, **named: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **named)

    def stopped() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, second_call)
            yield

    return stopped


def test_what_is_unfinished_is_refused_by_the_next_stage_and_resumed(
    kind: Kind, make: Script, script: Script, stop: Callable[[], Iterator[None]]
):
    files, expected = own(kind), RESULTS.read_bytes()
    shutil.rmtree(kind.place) if kind.place.is_dir() else kind.place.unlink()
    kind.record.unlink(missing_ok=True)
    for _ in stop():
        assert make().status == 130
    done = {file: file.stat().st_mtime_ns for file in own(kind)}
    if kind.work is PeopleWork:
        assert not kind.place.exists(), "no half results"
    else:
        record = claim.read(kind.place, kind.work)
        assert record is not None
        assert not record.complete
        assert 0 < len(done) < len(files) or kind.work is DumpsWork
        assert "is unfinished; run HigherHRNet_" in error(script(*kind.following))
    assert make().status == 0
    assert own(kind) == files
    assert {file: file.stat().st_mtime_ns for file in done} == done, "what was done is kept"
    if kind.following:
        assert script(*kind.following).status == 0
    assert RESULTS.read_bytes() == expected


def test_overwrite_does_it_again(kind: Kind, make: Script):
    before = {file: (file.stat().st_mtime_ns, content) for file, content in own(kind).items()}
    assert make("--overwrite").status == 0
    for file, content in own(kind).items():
        assert content == before[file][1]
        assert file.stat().st_mtime_ns > before[file][0]


def test_two_pictures_tables_that_disagree_are_not_believed(kind: Kind, make: Script):
    """As a program that was killed between the two writes leaves them."""
    if kind.work is not InputsWork:
        pytest.skip("only inputs have two")
    files = own(kind)
    table = Path("flip", inputs.PICTURES)
    lines = table.read_text().splitlines(keepends=True)
    assert json.loads(lines[1])["index"] == 0
    table.write_text("".join([lines[0], *lines[2:]]))
    outcome = make()
    assert "2 were there" in outcome.out
    assert own(kind) == files
