"""Figures through the scripts: what benchmark and performance replace, refuse, remove, and put into one column."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from higherhrnet.artifacts import claim, figures, perf
from higherhrnet.artifacts.work import DumpsWork
from tests.support.datasets import TINY_CONFIG
from tests.support.programs import CPU, Outcome, error

Script = Callable[..., Outcome]

SHAPE = (128, 128)


@pytest.fixture
def at_work(tiny_inputs: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with one list of inputs of two images, and a model."""
    monkeypatch.chdir(tmp_path)
    for name in ("prep_bin", "prep_bin_flip"):
        shutil.copy(tiny_inputs / f"{name}_128x128.info", tmp_path)
    shutil.copy(tiny_onnx, tmp_path / "model.onnx")
    return tmp_path


@pytest.fixture
def benchmark(at_work: Path, script: Script) -> Script:
    """Run HigherHRNet_benchmark.py there."""
    return lambda *more: script(*("HigherHRNet_benchmark", *CPU, "--model", "model.onnx", "--cfg", TINY_CONFIG, *more))


@pytest.fixture
def measure(at_work: Path, script: Script) -> Script:
    """Run HigherHRNet_performance.py there, where it measures."""
    return lambda *more: script(
        *("HigherHRNet_performance", *CPU, "--model", "model.onnx", "--cfg", TINY_CONFIG),
        *("--rounds", 1, "--warm_up", 0, "--shapes", "128x128", "--save", "result", *more),
    )


FIGURE = perf.path(Path("result"), 1, 0, SHAPE)


def other_model() -> None:
    model = onnx.load("model.onnx")
    model.graph.initializer.add(name="more", data_type=onnx.TensorProto.FLOAT, dims=[1], float_data=[0])
    onnx.save(model, "model.onnx")


def test_a_benchmark_s_figure_names_its_work(benchmark: Script, at_work: Path):
    assert benchmark().status == 0
    made = figures.read(Path("result"))[FIGURE.name]
    dumps = claim.read(Path("result/dumpOutput_device0_bs1"), DumpsWork)
    assert dumps is not None
    assert dumps.work.inputs is not None
    work = dumps.work
    assert (made.work.model, made.work.backend, made.work.runtime) == (work.model, work.backend, work.runtime)
    assert (made.work.data, made.work.dataset) == (dumps.work.inputs.pictures, dumps.work.inputs.work.dataset)
    assert (made.work.batch, made.work.threads, made.work.dtype) == (1, 1, "float32")
    assert made.facts.images == len(dumps.work.indices)
    assert made.is_of(FIGURE.read_bytes())


def test_measuring_does_not_replace_a_benchmark_s_figure(benchmark: Script, measure: Script, script: Script):
    assert benchmark().status == 0
    before = FIGURE.read_bytes()
    refused = error(measure())
    assert refused.startswith(f"error: {FIGURE} holds a figure of other work: other data (")
    assert "not random); give another --save, or --overwrite to replace it" in refused
    assert FIGURE.read_bytes() == before
    assert measure("--info", "prep_bin").status == 0, "of the same model, inputs and library: the same work"
    assert measure("--overwrite").status == 0
    assert figures.read(Path("result"))[FIGURE.name].work.data == figures.RANDOM

    Path("result/dumpOutput_device0_bs1").rename("elsewhere")  # so that there is something to run
    refused = error(benchmark())
    assert refused.startswith(f"error: {FIGURE} holds a figure of other work: other data (random, not ")
    assert "give another --result, or --overwrite to replace it" in refused
    assert benchmark("--overwrite").status == 0
    assert figures.read(Path("result"))[FIGURE.name].work.data != figures.RANDOM


def test_a_file_of_others_is_refused_before_the_work_and_kept(benchmark: Script):
    FIGURE.parent.mkdir()
    FIGURE.write_text(perf.execute_only(317.707))
    before = FIGURE.read_bytes()
    assert f"{FIGURE} is a performance file that this program did not write" in error(benchmark())
    assert list(FIGURE.parent.iterdir()) == [FIGURE], "no dump, no record"
    assert FIGURE.read_bytes() == before
    assert benchmark("--overwrite").status == 0
    assert FIGURE.name in figures.read(FIGURE.parent)


def test_runs_of_the_same_work_replace_their_own_figures(benchmark: Script):
    assert benchmark().status == 0
    (first, *_) = sorted(Path("result/dumpOutput_device0_bs1").glob("*.bin"))
    first.unlink()
    assert benchmark().status == 0
    entry = figures.read(Path("result"))[FIGURE.name]
    assert entry.facts.images == 1, "what was missing"
    assert entry.is_of(FIGURE.read_bytes())
    assert benchmark().status == 0


def test_threads_that_time_nothing_are_named(benchmark: Script):
    """The dumps are there: another number of threads is another figure, which nobody measures."""
    assert "threads" not in benchmark().out
    outcome = benchmark("--threads", 2)
    assert "2 of 2 dumps were there" in outcome.out
    assert "figures that were there are of threads 1, not 2; --overwrite times again" in outcome.out
    assert "threads" not in benchmark("--threads", 2, "--overwrite").out
    assert figures.read(Path("result"))[FIGURE.name].work.threads == 2


def test_a_new_model_takes_the_old_one_s_figures_away_and_nobody_else_s(benchmark: Script):
    assert benchmark().status == 0
    foreign = perf.path(Path("result"), 1, 3, SHAPE)
    foreign.write_text(perf.execute_only(317.707))
    old = figures.read(Path("result"))[FIGURE.name].work.model
    other_model()
    assert "another model" in benchmark().out
    assert figures.read(Path("result"))[FIGURE.name].work.model != old
    assert foreign.read_text() == perf.execute_only(317.707)


def test_the_table_keeps_apart_what_is_of_other_work(benchmark: Script, measure: Script, script: Script, at_work: Path):
    assert benchmark().status == 0
    plain = script("HigherHRNet_performance").out
    assert plain.splitlines()[0].split() == ["Input", "Shape", "bs1", "device", "0"]
    assert plain.splitlines()[-1] == f"images per second: {perf.MEANING}"
    assert "note:" not in plain
    assert script("HigherHRNet_performance", "--format", "csv").out.count("\n") == 5, "a shape, avg, min and max"

    other = measure("--save", "other")  # the shape that both have is in one column each
    assert other.status == 0
    both = script("HigherHRNet_performance", "--result", "result", "other").out
    assert "note: other is not of the work of result: other data (random, not " in both

    foreign = perf.path(Path("result"), 1, 0, (128, 192))
    foreign.write_text(perf.execute_only(317.707))
    perf.path(Path("result"), 0, 0, SHAPE).write_text(perf.execute_only(317.707))
    mixed = script("HigherHRNet_performance").out
    assert "bs1 device 0  bs1 device 0 no record" in mixed.splitlines()[0]
    assert "(perf_vision_batchsize_0" not in mixed
    assert "no plausible figures: perf_vision_batchsize_0_device_0_128x128.txt (batch size 0)" in mixed
    assert (
        "note: the averages are not over the same shapes: bs1 device 0 over 1, bs1 device 0 no record over 1" in mixed
    )
