"""artifacts.figures: what performance files are of, who may replace them, and merging of several writers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from higherhrnet.artifacts import figures, perf
from higherhrnet.artifacts.figures import Figure, FigureFacts, FigureWork
from higherhrnet.artifacts.work import Inputs, InputsWork
from higherhrnet.errors import UserError

MODEL, OTHER = "1f2e3d4c" * 8, "5b6a7980" * 8
WORK = FigureWork(MODEL, "torch cpu float32", "torch 2.4", 1, 0, "float32", "cd" * 32, "ab" * 32)
FACTS = FigureFacts("a CPU, 2 cores", "here", "2026-01-02T03:04:05+00:00", 7)
INSTEAD = "give another --result"
SHAPES = ((512, 512), (512, 576), (576, 512))


def keep(file: Path, rate: float, work: FigureWork = WORK, *, overwrite: bool = False) -> str:
    text = perf.execute_only(rate)
    figures.keep(file, text, Figure(work, FACTS), instead=INSTEAD, overwrite=overwrite)
    return text


def refusal(file: Path, work: FigureWork | None = WORK) -> str:
    with pytest.raises(UserError) as caught:
        figures.check([file], work, instead=INSTEAD)
    if work is not None:
        before = file.read_bytes()
        with pytest.raises(UserError, match=INSTEAD):
            keep(file, 1.0, work)
        assert file.read_bytes() == before
    return str(caught.value)


def test_a_file_is_as_the_tools_write_it_and_its_record_lies_beside_it(tmp_path: Path):
    file = perf.path(tmp_path, 1, 0, (512, 512))
    keep(file, 50.0)
    text = (
        "[e2e] throughputRate: nan, latency: nan\n"
        "[data read] throughputRate: nan, moduleLatency: nan\n"
        "[preprocess] throughputRate: nan, moduleLatency: nan\n"
        "[infer] throughputRate: nan, Interface throughputRate: 50, moduleLatency: 20\n"
        "[post] throughputRate: nan, moduleLatency: nan\n"
    )
    assert file.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.record.json", file.name]
    assert json.loads((tmp_path / "figures.record.json").read_text()) == {
        "artifact": "Figures",
        "format": 1,
        "figures": {
            "perf_vision_batchsize_1_device_0_512x512.txt": {
                "work": {
                    "model": MODEL,
                    "backend": "torch cpu float32",
                    "runtime": "torch 2.4",
                    "batch": 1,
                    "threads": 0,
                    "dtype": "float32",
                    "data": "cd" * 32,
                    "dataset": "ab" * 32,
                },
                "facts": {
                    "device": "a CPU, 2 cores",
                    "host": "here",
                    "date": "2026-01-02T03:04:05+00:00",
                    "images": 7,
                },
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
        },
    }
    (found,) = perf.find(tmp_path)
    assert found.made is not None
    assert (found.made.work, found.made.facts, found.file) == (WORK, FACTS, file.name)


def test_the_same_work_replaces_its_own_figure(tmp_path: Path):
    file = perf.path(tmp_path, 1, 0, (512, 512))
    keep(file, 50.0)
    figures.check([file], WORK, instead=INSTEAD)
    text = keep(file, 60.0)
    assert file.read_text() == text
    assert figures.read(tmp_path)[file.name].is_of(text.encode())


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", OTHER, "another model (1f2e3d4c, not 5b6a7980)"),
        ("backend", "torch cpu bfloat16", "another backend (torch cpu float32, not torch cpu bfloat16)"),
        ("runtime", "torch 2.9", "another version of the backend (torch 2.4, not torch 2.9)"),
        ("threads", 4, "another number of threads (0, not 4)"),
        ("dtype", "float16", "another dtype (float32, not float16)"),
        ("data", figures.RANDOM, "other data (cdcdcdcd, not random)"),
        ("dataset", "ef" * 32, "another data set (abababab, not efefefef)"),
    ],
)
def test_a_figure_of_other_work_is_not_replaced(tmp_path: Path, field: str, value: object, said: str):
    file = perf.path(tmp_path, 1, 0, (512, 512))
    keep(file, 50.0)
    wanted = dataclasses.replace(WORK, **{field: value})  # type: ignore[arg-type]
    assert refusal(file, wanted) == (
        f"{file} holds a figure of other work: {said}; give another --result, or --overwrite to replace it"
    )
    text = keep(file, 2.0, wanted, overwrite=True)
    assert file.read_text() == text
    assert figures.read(tmp_path)[file.name].work == wanted


def test_what_is_not_known_yet_is_not_compared(tmp_path: Path):
    file = perf.path(tmp_path, 1, 0, (512, 512))
    keep(file, 50.0)
    figures.check([file], dataclasses.replace(WORK, model="", backend="", runtime=""), instead=INSTEAD)


def test_files_of_others_are_not_replaced(tmp_path: Path):
    foreign, changed = (perf.path(tmp_path, 1, 0, shape) for shape in SHAPES[:2])
    foreign.write_text(perf.execute_only(7.0))
    assert "a performance file that this program did not write" in refusal(foreign)
    assert refusal(foreign, None).startswith(str(foreign))
    keep(changed, 50.0)
    changed.write_text(perf.execute_only(51.0))
    assert "was changed since this program wrote it" in refusal(changed)
    assert [figure.made for figure in perf.find(tmp_path)] == [None, None]
    for file in (foreign, changed):
        keep(file, 9.0, overwrite=True)
    assert [figure.images_per_second for figure in perf.find(tmp_path)] == [9.0, 9.0]


def test_a_link_to_somebody_s_file_is_replaced_and_the_file_is_not(tmp_path: Path):
    precious, link = tmp_path / "precious", perf.path(tmp_path, 1, 0, (512, 512))
    precious.write_text("mine")
    link.symlink_to(precious)
    refusal(link)
    keep(link, 9.0, overwrite=True)
    assert not link.is_symlink()
    assert precious.read_text() == "mine"


def test_removing_takes_the_figures_of_the_work_alone(tmp_path: Path):
    """With any number of threads: the dumps beside them do not depend on it."""
    mine, threads, other = (perf.path(tmp_path, 1, 0, shape) for shape in SHAPES)
    changed, foreign = (perf.path(tmp_path, 1, device, (512, 512)) for device in (1, 2))
    keep(mine, 1.0)
    keep(threads, 2.0, dataclasses.replace(WORK, threads=4))
    keep(other, 3.0, dataclasses.replace(WORK, data=figures.RANDOM))
    keep(changed, 4.0)
    for file in (changed, foreign):
        file.write_text(perf.execute_only(5.0))
    figures.check([mine, threads], dataclasses.replace(WORK, model=OTHER), instead=INSTEAD, leaving=WORK)
    figures.remove(tmp_path, WORK, instead=INSTEAD)
    assert set(tmp_path.iterdir()) == {other, changed, foreign, figures.record_of(tmp_path)}
    assert list(figures.read(tmp_path)) == [other.name]


def test_the_record_goes_with_the_last_figure(tmp_path: Path):
    keep(perf.path(tmp_path, 1, 0, (512, 512)), 1.0)
    figures.remove(tmp_path, WORK, instead=INSTEAD)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_tool_left_is_ours_and_is_no_figure_of_a_work(tmp_path: Path):
    log = tmp_path / "trtexec_batchsize_1_device_0_512x512.log"
    figures.begin(log, Figure(WORK, FACTS), instead=INSTEAD)
    log.write_text("half a l")
    figures.check([log], WORK, instead=INSTEAD)
    assert not figures.read(tmp_path)[log.name].is_of(b"half a l")
    figures.begin(log, Figure(WORK, FACTS), instead=INSTEAD)
    assert not log.exists()
    log.write_text("GPU Compute Time: mean = 2 ms\n&&&& PASSED")
    figures.finish(log, Figure(WORK, FACTS), instead=INSTEAD)
    assert [figure.made is not None for figure in perf.find(tmp_path)] == [True]


def test_a_kill_between_record_and_file_leaves_what_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = perf.path(tmp_path, 1, 0, (512, 512))
    keep(file, 1.0)
    real = figures.atomic.write_text

    def killed(path: Path, text: str) -> None:
        if path == file:
            raise KeyboardInterrupt
        real(path, text)

    monkeypatch.setattr(figures.atomic, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        keep(file, 2.0)
    monkeypatch.undo()
    figures.check([file], WORK, instead=INSTEAD)
    keep(file, 2.0)
    assert [figure.images_per_second for figure in perf.find(tmp_path)] == [2.0]


def _keep_some(folder: Path, device: int) -> None:
    for side in range(32, 32 * 11, 32):
        keep(perf.path(folder, 1, device, (side, side)), 1.0)


@pytest.mark.slow
def test_threads_and_programs_lose_none_of_each_other_s_entries(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    programs = [context.Process(target=_keep_some, args=(tmp_path, device)) for device in (0, 1)]
    for program in programs:
        program.start()
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(_keep_some, tmp_path, device) for device in (2, 3)]:
            done.result()
    for program in programs:
        program.join()
    found = perf.find(tmp_path)
    assert len(found) == 40
    assert all(figure.made is not None for figure in found)
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"figures": {}}',
        '{"artifact": "Figures", "format": 2, "figures": {}}',
        '{"artifact": "Figures", "format": 1, "figures": []}',
        '{"artifact": "Figures", "format": 1, "figures": {"x": {}}}',
        '{"artifact": "Figures", "format": 1, "figures": {"../x": {}}}',
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str):
    file = perf.path(tmp_path, 1, 0, (512, 512))
    file.write_text(perf.execute_only(7.0))
    (tmp_path / "figures.record.json").write_text(content)
    with pytest.raises(UserError, match=r"figures\.record\.json"):
        perf.find(tmp_path)
    with pytest.raises(UserError, match=r"figures\.record\.json"):
        keep(file, 1.0, overwrite=True)
    assert (tmp_path / "figures.record.json").read_text() == content


def test_texts_that_cannot_stand_in_a_table_are_refused(tmp_path: Path):
    keep(perf.path(tmp_path, 1, 0, (512, 512)), 7.0)
    record = tmp_path / "figures.record.json"
    record.write_text(record.read_text().replace("torch 2.4", "\\u001b[31m"))
    with pytest.raises(UserError, match="runtime"):
        perf.find(tmp_path)


def test_the_data_are_the_pictures_where_they_are_known():
    work = InputsWork("ab" * 32, 7, "1/1", 512, False, "float32", 1.0, 1.0, True, 1, "4.10", False, "folders")
    assert figures.data_of(Inputs(work, "cd" * 32), "stamps") == ("cd" * 32, "ab" * 32)
    assert figures.data_of(Inputs(work, ""), "stamps") == ("stamps", "ab" * 32)
    assert figures.data_of(None, "stamps") == ("stamps", "")


@pytest.mark.parametrize(
    ("batch", "shape", "rate", "fault"),
    [
        (1, (512, 512), 1e-4, ""),
        (1024, (65535, 1), 1e7, ""),
        (1, (512, 512), 5e-324, "4.94066e-324 images/s"),
        (1, (512, 512), 999999999.0, "1e+09 images/s"),
        (0, (512, 512), 1.0, "batch size 0"),
        (1, (51200000000, 512), 1.0, "shape 51200000000x512"),
        (1, (512, 0), 1.0, "shape 512x0"),
    ],
)
def test_what_no_device_can_have(batch: int, shape: tuple[int, int], rate: float, fault: str):
    assert perf.Perf(batch, 0, shape, rate).fault == fault
