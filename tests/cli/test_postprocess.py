"""HigherHRNet_postprocess.py: people, table and results of dumps, and wrong dumps."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import claim, dumps
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.image import geometry
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES, TINY_RESULTS, TINY_SIDE, write_dataset
from tests.support.programs import FLIP, PLAIN, Outcome, error

Script = Callable[..., Outcome]


def postprocess(script: Script, data: Path, dumps_in: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> Outcome:
    """Run in ``dumps_in``'s own directory: results go to output/ of the current one."""
    monkeypatch.chdir(dumps_in)
    where = ("--dump_dir", dumps_in / PLAIN, "--dump_dir_flip", dumps_in / FLIP)
    return script("HigherHRNet_postprocess", *where, "--workers", 1, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)


def test_postprocess_prints_the_official_table_and_leaves_results_and_a_log(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    outcome = postprocess(script, tiny_data, work, monkeypatch)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[-3].startswith("| Arch | AP | Ap .5 |")
    assert "images have dumps" not in outcome.out.replace("7 of 7", "")
    people = json.loads((work / TINY_RESULTS).read_text())
    assert any(f"=> {len(people)} people in 7 images" in line for line in lines)
    (log,) = (work / TINY_RESULTS).parent.parent.glob("tiny_*_valid.log")
    assert lines[-1] in log.read_text()


@pytest.mark.slow
def test_postprocess_is_the_same_with_two_workers_and_with_other_tools_names(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    postprocess(script, tiny_data, work, monkeypatch)
    expected = (work / TINY_RESULTS).read_bytes()
    (work / TINY_RESULTS).unlink()
    where = ("--dump_dir", PLAIN, "--dump_dir_flip", FLIP, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert script("HigherHRNet_postprocess", *where, "--workers", 2).status == 0
    assert (work / TINY_RESULTS).read_bytes() == expected

    shapes = [geometry.fit(w, h, TINY_SIDE).shape for w, h in TINY_IMAGES]
    for directory in (work / PLAIN, work / FLIP):
        for index, shape in enumerate(shapes):
            first, second = dumps.BENCHMARK.paths(directory, index)
            arrays = [np.fromfile(f, np.float32) for f in (first, second)]
            first.unlink()
            second.unlink()
            for file, array, output in zip(
                dumps.Naming(0, "npy").paths(directory, index),
                arrays,
                dumps.output_shapes(shape, dumps.Heads(17, 17)),
                strict=True,
            ):
                np.save(file, array.reshape(1, *output))
    postprocess(script, tiny_data, work, monkeypatch)
    assert (work / TINY_RESULTS).read_bytes() == expected


def test_whole_buffer_dumps_give_the_same_people(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    postprocess(script, tiny_data, work, monkeypatch)
    expected = (work / TINY_RESULTS).read_bytes()
    for directory in (work / PLAIN, work / FLIP):
        for file in directory.glob("*.bin"):
            largest = dumps.output_shapes((256, 128), dumps.Heads(17, 17))[int(file.stem[-1]) - 1]
            whole = np.full(int(np.prod(largest)), np.nan, np.float32)
            content = np.fromfile(file, np.float32)
            whole[: content.size] = content
            whole.tofile(file)
    assert postprocess(script, tiny_data, work, monkeypatch).status == 0
    assert (work / TINY_RESULTS).read_bytes() == expected


def test_the_guide_s_original_trees_without_records_are_read(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    for directory in (work / PLAIN, work / FLIP):
        claim.record_of(directory).unlink()
        for file in directory.glob("00000000000[3-6]_?.bin"):
            file.unlink()
    outcome = postprocess(script, tiny_data, work, monkeypatch)
    assert "=> the figures are over the 3 of 7 images that have dumps" in outcome.out


def test_people_are_drawn_on_images(work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    def pictures(score: float) -> int:
        where = ("--vis_dir", work / f"vis{score}", "--vis_count", 2, "--vis_score", score)
        assert postprocess(script, tiny_data, work, monkeypatch, *where).status == 0
        return len(list((work / f"vis{score}").glob("*.jpg")))

    highest = max(entry["score"] for entry in json.loads((work / TINY_RESULTS).read_text())) if pictures(0) else 0
    assert pictures(highest) == 1
    assert pictures(highest + 1) == 0


def first_values(value: float) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        values = np.fromfile(file, np.float32)
        values[:3] = value
        values.tofile(file)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, r"dumpOutput_device0_bs1: no dumps of 1 of 7 images|cannot read .*000000000003_2\.bin"),
        (lambda file: file.write_bytes(b"short"), r"dump .*3_2\.bin: found 5 bytes, expected \d+ for"),
        (first_values(np.nan), r"dump .*3_2\.bin: 3 of \d+ values are NaN or infinite"),
        (first_values(-np.inf), r"dump .*3_2\.bin: 3 of \d+ values are NaN or infinite"),
        (first_values(2e37), r"dump .*3_2\.bin: 3 of \d+ values are NaN or infinite, or beyond 1e\+37, as of"),
        (lambda file: file.with_name("000000000007_1.bin").touch(), r"found a dump of image 7, but .* lists 7 images"),
    ],
)
def test_damaged_dumps_are_named(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch, spoil, message: str
):
    spoil(work / PLAIN / "000000000003_2.bin")
    assert re.search(message, error(postprocess(script, tiny_data, work, monkeypatch)))
    assert not (work / TINY_RESULTS).exists()


def test_postprocess_refuses_wrong_trees(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def swapped() -> Outcome:
        where = ("--dump_dir", work / FLIP, "--dump_dir_flip", work / PLAIN)
        return script("HigherHRNet_postprocess", *where, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)

    monkeypatch.chdir(work)
    assert "holds dumps of the flipped inputs; exchange" in error(swapped())
    other = write_dataset(tmp_path / "other", sizes=(*TINY_IMAGES[:-1], (641, 480)))
    assert "holds dumps of another data set" in error(postprocess(script, other, work, monkeypatch))
    outcome = postprocess(script, tiny_data, work, monkeypatch, "DATASET.INPUT_SIZE", 256)
    assert "inputs of short side 128, the config says DATASET.INPUT_SIZE 256" in error(outcome)
    made = claim.read(work / FLIP, DumpsWork)
    assert made is not None
    changes = (
        (replace(made, complete=False), "is unfinished"),
        (
            replace(made, work=replace(made.work, model="x")),
            "is of other work than the plain one: another model (x, not",
        ),
    )
    for changed, message in changes:
        claim.write(work / FLIP, changed)
        assert message in error(postprocess(script, tiny_data, work, monkeypatch))
    shutil.rmtree(work / FLIP)
    assert "does not exist" in error(postprocess(script, tiny_data, work, monkeypatch))
    (work / FLIP).mkdir()
    assert "holds no dumps" in error(postprocess(script, tiny_data, work, monkeypatch))
    assert "cannot read annotation file" in error(postprocess(script, work, work, monkeypatch))
    (work / "file").touch()
    outcome = postprocess(script, tiny_data, work, monkeypatch, "OUTPUT_DIR", work / "file/below")
    assert "cannot create directory" in error(outcome)
