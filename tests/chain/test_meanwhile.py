"""Files that are replaced while a program works with them: what it makes is of what it read, or it ends in a line."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.numpy_helper
import pytest

from higherhrnet.artifacts import claim, info
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.backends import in_process, onnxruntime, torch
from higherhrnet.model import export, quantization
from higherhrnet.report import chart
from higherhrnet.report.page import page
from higherhrnet.stages import compare, measure, results_file
from higherhrnet.stages import dump_sources as decoding
from higherhrnet.system import processes
from tests.support.ascend_host import Host
from tests.support.datasets import TINY_CONFIG, TINY_RESULTS
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, error

Script = Callable[..., Outcome]


def after(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, then: Callable[[], object]) -> None:
    """Let something happen each time after a function returns."""
    called = getattr(where, name)

    def call(*args: object, **kwargs: object) -> object:
        result = called(*args, **kwargs)
        then()
        return result

    monkeypatch.setattr(where, name, call)


def before(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, first: Callable[[], object]) -> None:
    """Let something happen each time before a function is called."""
    called = getattr(where, name)

    def call(*args: object, **kwargs: object) -> object:
        first()
        return called(*args, **kwargs)

    monkeypatch.setattr(where, name, call)


def put(content: bytes, path: Path) -> None:
    """Put a file in another's place, as a copy that is renamed does."""
    path.with_name("incoming").write_bytes(content)
    path.with_name("incoming").replace(path)


def other_weights(model: Path) -> bytes:
    """A model of the same layers that computes something else."""
    made = onnx.load(model)
    weight = made.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 2, weight.name))
    return made.SerializeToString()


@pytest.fixture
def model(tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.onnx"
    shutil.copy(tiny_onnx, path)
    return path


def benchmark(script: Script, lists: Path, *more: object) -> Outcome:
    info = ("--info", lists / "prep_bin", "--info_flip", lists / "prep_bin_flip")
    return script("HigherHRNet_benchmark", *info, "--cfg", TINY_CONFIG, *more)


def test_a_model_that_is_replaced_while_it_is_loaded_is_not_recorded_as_another(
    script: Script, model: Path, tiny_inputs: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between hashing and loading, by every command that records what ran."""
    good, other = model.read_bytes(), other_weights(model)
    before(monkeypatch, onnxruntime, "model_source", lambda: put(other, model))
    run = ("higherhrnet.__main__", "run", "--workers", 1, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    picture = next((tiny_data / "images/val2017").iterdir())
    for call in (
        lambda: benchmark(script, tiny_inputs, *CPU, "--model", model),
        lambda: script(*run, *CPU, "--model", model),
        lambda: script("higherhrnet.__main__", "predict", picture, "--cfg", TINY_CONFIG, "--model", model),
        lambda: script(
            "HigherHRNet_performance",
            *("--backend", "onnxruntime", "--model", model, "--cfg", TINY_CONFIG, "--shapes", "128x128"),
        ),
    ):
        put(good, model)
        assert f"model {model} was replaced or written to while it was loaded" in error(call())
    assert not list(Path("result").glob("**/*.bin"))


def test_a_checkpoint_that_is_replaced_while_it_is_loaded_is_not_recorded_as_another(
    script: Script, tiny_weights: Path, tiny_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from higherhrnet.model import checkpoint  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "tiny.pth"
    shutil.copy(tiny_weights, weights)
    for where in (torch, checkpoint):
        name = "load_checkpoint" if where is torch else "load"
        after(monkeypatch, where, name, lambda: put(tiny_weights.read_bytes(), weights))
    said = f"model {weights} was replaced or written to while it was loaded"
    assert said in error(benchmark(script, tiny_inputs, "--backend", "torch", "--threads", 1, "--model", weights))
    assert said in error(script("HigherHRNet_pth2onnx", "--weights", weights, "--cfg", TINY_CONFIG))
    assert not Path("models").exists()
    assert not list(Path("result").glob(f"{PLAIN}/*.bin"))


def postprocess(script: Script, data: Path, *more: object) -> Outcome:
    dumps = ("--dump_dir", f"result/{PLAIN}", "--dump_dir_flip", f"result/{FLIP}", "--workers", 1)
    return script("HigherHRNet_postprocess", *dumps, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)


def test_inputs_that_are_replaced_while_they_are_read_leave_no_dumps_of_others(
    script: Script, model: Path, tiny_inputs: Path, monkeypatch: pytest.MonkeyPatch
):
    """By each program that reads them; sizes and times stay, as tar --mtime leaves them."""
    shutil.copytree(tiny_inputs / "bins", "bins")
    shutil.copytree(tiny_inputs / "bins_flip", "flip")
    for tree in ("bins", "flip"):
        assert script("gen_dataset_info", "bin", tree, tree).status == 0
    last = max(Path("bins").rglob("*.bin"))
    lists = ("--info", "bins", "--info_flip", "flip", "--model", model, "--cfg", TINY_CONFIG)

    def replace() -> None:
        status = last.stat()
        put(last.read_bytes()[::-1], last)
        os.utime(last, ns=(status.st_atime_ns, status.st_mtime_ns))

    for where, program in ((in_process, "HigherHRNet_benchmark"), (measure, "HigherHRNet_performance")):
        with monkeypatch.context() as patch:
            before(patch, where, "fill", replace)
            arguments = lists if where is in_process else (*lists[:2], *lists[4:])
            said = error(script(program, *CPU, *arguments))
        assert f"input {last} was replaced, written to or removed while this program worked with it" in said
    assert not Path("result", PLAIN, f"{last.stem}_1.bin").exists()


def test_dumps_that_are_replaced_while_they_are_decoded_are_nobody_s_people(
    script: Script,
    model: Path,
    tiny_result: Path,
    tiny_results: bytes,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """What was decoded before stays, and a run over the dumps that are back finds what one in an empty folder does."""
    shutil.copytree(tiny_result, "result")
    file = max(Path("result", PLAIN).glob("*.bin"))
    content, status = file.read_bytes(), file.stat()
    with monkeypatch.context() as patch:
        after(patch, decoding.Source, "read", lambda: put(bytes(len(content)), file))
        said = error(postprocess(script, tiny_data))
    assert f"dump {file} was replaced, written to or removed while this program worked with it" in said
    assert not Path(TINY_RESULTS).exists()
    put(content, file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert postprocess(script, tiny_data).status == 0
    assert Path(TINY_RESULTS).read_bytes() == tiny_results


def test_dumps_that_are_replaced_while_they_are_compared_are_no_difference(
    script: Script, tiny_result: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_result, "result")
    shutil.copytree(tiny_result, "other")
    file = max(Path("other", FLIP).glob("*.bin"))
    after(monkeypatch, compare, "_outputs", lambda: put(file.read_bytes(), file))
    both = ("--compare", f"result/{PLAIN}", f"other/{PLAIN}", "--workers", 1)
    said = error(script("HigherHRNet_performance", *both, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data))
    assert f"dump {file.absolute()} was replaced" in said or f"dump {file} was replaced" in said


@pytest.mark.parametrize("with_record", [False, True])
def test_results_that_are_replaced_before_they_are_evaluated_get_no_figures(
    script: Script, model: Path, tiny_result: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, with_record: bool
):
    """Of postprocess and of run: by other results, or by a record of other work; what lies there stays."""
    shutil.copytree(tiny_result, "result")
    results = Path(TINY_RESULTS)

    def replace() -> None:
        if not with_record:
            put(b"[]\n", results)
            return
        made = claim.read(results, PeopleWork)
        assert made is not None
        claim.write(results, dataclasses.replace(made, work=dataclasses.replace(made.work, version=99)))

    after(monkeypatch, results_file, "write", replace)
    run = ("run", "--workers", 1, "--model", model, *CPU, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    for call in (lambda: postprocess(script, tiny_data), lambda: script("higherhrnet.__main__", *run, "--overwrite")):
        outcome = call()
        assert f"results {results} were replaced, written to or removed after they were complete" in error(outcome)
        assert "AP" not in outcome.out
        assert with_record or results.read_bytes() == b"[]\n"
        for left in results.parent.iterdir():
            left.unlink()


MINE = b"somebody's own"


def kept(outcome: Outcome, path: Path) -> None:
    """A file that was put in an output's place meanwhile stays, and nothing is left beside it."""
    assert f"{path} is a file that this command did not make" in error(outcome)
    assert path.read_bytes() == MINE
    assert not list(path.parent.glob("*.part"))
    path.unlink()


def test_a_file_that_is_put_in_an_output_s_place_meanwhile_stays(
    script: Script, model: Path, tiny_weights: Path, tiny_inputs: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of the export, an INT8 file and a chart."""
    place = Path("place.onnx")
    cfg = ("--cfg", TINY_CONFIG)
    with monkeypatch.context() as patch:
        before(patch, export, "_compare", lambda: place.write_bytes(MINE))
        kept(script("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--output", place, *cfg), place)
    with monkeypatch.context() as patch:
        before(patch, quantization, "quantize", lambda: place.write_bytes(MINE))
        inputs = ("--inputs", tiny_inputs / "bins", "--inputs_flip", tiny_inputs / "bins_flip", "--count", 10)
        kept(script("higherhrnet.__main__", "quantize", "--model", model, "--output", place, *inputs, *cfg), place)
    place = Path("place.png")
    with monkeypatch.context() as patch:
        before(patch, chart, "figure", lambda: place.write_bytes(MINE))
        given = ("--backend", "onnxruntime", "--model", model, "--shapes", "128x128", "--rounds", 1, "--chart", place)
        kept(script("HigherHRNet_performance", *given, *cfg), place)


def test_a_file_that_is_put_in_a_report_s_place_meanwhile_stays(
    script: Script, model: Path, tiny_result: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(tiny_result, "result")
    place = Path("place.html")
    monkeypatch.setattr(page, "render", lambda *_: str(place.write_bytes(MINE)))
    kept(postprocess(script, tiny_data, "--report", place), place)


@pytest.mark.parametrize("changed", ["models/tiny_bs1_dynamic.om", "input"])
def test_what_a_program_made_of_what_was_replaced_meanwhile_is_not_kept(
    host: Host, monkeypatch: pytest.MonkeyPatch, changed: str
):
    """Of another .om or other inputs than its dumps would be said to be of; as it was, the same command goes on."""
    host.only("128x192")
    listed = info.read(info.path("prep_bin", (128, 192)))[-1].path
    file = listed if changed == "input" else host.directory / changed
    content, status = file.read_bytes(), file.stat()
    with monkeypatch.context() as patch:
        after(patch, processes, "run", lambda: put(content, file))
        said = error(host.benchmark())
    assert f"{file.name} was replaced" in said
    assert not list((host.result / PLAIN).rglob("*.bin"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    outcome = host.benchmark()
    assert outcome.status == 0, outcome.err
    assert list((host.result / PLAIN).glob("*.bin"))
