"""Ascend in process, over a stand-in of the libraries of 2023 and 2024: the same bytes, and a line for each fault."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from higherhrnet.artifacts import dumps, perf
from higherhrnet.backends import external
from higherhrnet.backends.ascend import cann_benchmark, session
from tests.support.ascend_host import SIZE, Host, dump_bytes
from tests.support.datasets import TINY_CONFIG
from tests.support.processes import wait_until_gone
from tests.support.programs import CPU, PLAIN, error

pytestmark = pytest.mark.slow

WIDE = "128x192"
HEADS = dumps.Heads(17, 17)


@pytest.fixture
def npu(host: Host) -> Host:
    """A host without the benchmark tool, with one shape of three images."""
    (host.directory / cann_benchmark.file_name()).unlink()
    host.only(WIDE)
    return host


@pytest.mark.parametrize("version", ["2024", "2023"])
def test_the_same_bytes_as_onnxruntime_s(npu: Host, expected: Path, version: str, monkeypatch: pytest.MonkeyPatch):
    if version == "2023":
        monkeypatch.setenv("STAND_IN_AIS_OLD", "1")
    outcome = npu.benchmark()
    assert outcome.status == 0, outcome.err
    assert "backend ascend (npu-smi is here, ais_bench is installed, benchmark." in outcome.out
    assert npu.calls("__main__") == []
    assert len(npu.calls("InferSession")) == 1  # for both passes
    npu.same_as(expected)
    text = perf.path(npu.result, 1, 0, (128, 192)).read_text()
    assert perf.parse(text, Path("x")) > 0
    log = (npu.result / "logs/ascend_bs1_device_0.log").read_text()
    assert "load model" in log
    assert "end to finalize acl" in log


def test_three_devices_and_batches_of_four(npu: Host, monkeypatch: pytest.MonkeyPatch):
    """A process a device; what onnxruntime makes of the same batches, byte for byte."""
    models = npu.directory / "models"
    model = onnx.load(str(models / "tiny_bs1_dynamic.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # as --bs -1 exports it
    for file in models.iterdir():
        file.unlink()
    onnx.save(model, str(models / "tiny_bs-1_dynamic.onnx"))
    same = ("--bs", "1,4")
    assert npu.benchmark(*same, *CPU, "--result", "other").status == 0
    monkeypatch.setenv("STAND_IN_FAULT", "hang:9")  # of any process that runs more than its part
    outcome = npu.benchmark(*same, "--backend", "ascend", "--device_ids", "1,0,3", "--soc_version", "310P3")
    assert outcome.status == 0, outcome.err
    for name in (f"dumpOutput_device1_bs{n}{flip}" for n in (1, 4) for flip in ("", "_flip")):
        found = dump_bytes(npu.result / name)
        assert len(found) == 6
        assert found == dump_bytes(npu.directory / "other" / name.replace("device1", "device0"))
    assert {call[1] for call in npu.calls("InferSession")} == {"0", "1", "3"}
    assert {(f.batch, f.device) for f in perf.find(npu.result)} >= {(1, 0), (1, 1), (1, 3)}


@pytest.mark.parametrize(
    ("fault", "made", "message"),
    [
        ("device:2", 1, "ais_bench says RuntimeError: ACL: general failure; its last lines: "),
        ("crash:3", 2, "ascend's process ended with status 3; its last lines: "),
        ("signal:2", 1, "ascend's process was killed by SIGSEGV; its last lines: "),
        ("hang:2", 1, "ascend's process was ended because it took longer than 3 s; its last lines: "),
    ],
)
def test_a_fault_is_one_line_and_another_run_goes_on(
    npu: Host, expected: Path, fault: str, made: int, message: str, monkeypatch: pytest.MonkeyPatch
):
    pids = npu.directory / "pids"
    monkeypatch.setenv("STAND_IN_PIDS", str(pids))
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    outcome = npu.benchmark("--timeout", 3 if "hang" in fault else 60)
    said = error(outcome)
    assert f"error: device 0, shape {WIDE}: {made} of 3 images made and kept; {message}" in said
    assert f"all of them: {npu.result.absolute()}/logs/ascend_bs1_device_0.log" in said
    if "device" in fault:
        assert "[ERROR] acl execute failed:507011" in said  # from C's buffer
    if "hang" in fault:
        assert wait_until_gone([int(pid) for pid in pids.read_text().split()])
    assert len(dump_bytes(npu.result / PLAIN)) == 2 * made
    monkeypatch.delenv("STAND_IN_FAULT")
    outcome = npu.benchmark("--device_id", 0, "--device_ids", 2)  # another device does the rest
    assert outcome.status == 0, outcome.err
    assert f"{made} of 6 dumps were there" in outcome.out
    npu.same_as(expected)


def test_one_device_fails_and_the_others_finish(npu: Host, expected: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_DEVICES", "0,1")
    outcome = npu.benchmark("--device_ids", "0,1,7")
    said = error(outcome)
    assert "1 of 3 devices failed, the others finished their part: device 7, shape 128x192: 0 of 1 images made" in said
    assert "[ERROR] acl open device 7 failed" in said
    assert "check the device with npu-smi info" in said
    assert len(dump_bytes(npu.result / PLAIN)) == 4
    assert "2 of 6 dumps were there" in npu.benchmark().out
    npu.same_as(expected)


def test_rights_links_and_characters_of_the_model_do_not_matter(npu: Host, expected: Path, tmp_path: Path):
    om = npu.directory / "models/tiny_bs1_dynamic.om"
    om.chmod(0o666)
    (tmp_path / "模型 a.om").symlink_to(om)
    outcome = npu.benchmark("--model", tmp_path / "模型 a.om", "--result", tmp_path / "结 果")
    assert outcome.status == 0, outcome.err
    (tmp_path / "结 果").rename(npu.result)
    npu.same_as(expected)
    assert {path.suffix for path in (npu.result / "logs").iterdir()} == {".log"}  # its copy is gone


def test_dynamic_dims_and_what_does_not_fit(npu: Host, expected: Path):
    assert npu.benchmark("--dynamic", "dims", "--soc_version", "310P3").status == 0
    npu.same_as(expected)
    (npu.directory / "models/tiny_bs1_dynamic.om.json").unlink()  # as of one that was converted by hand
    outcome = npu.benchmark("--dynamic", "dims", "--model", "models/tiny_bs1_dynamic.om", "--overwrite")
    assert "the dynamic_dims parameter is not specified for model conversion" in error(outcome)
    outcome = npu.benchmark("--bs", 2, "--model", "models/tiny_bs1_dynamic.om")
    assert "takes batches of 1, not 2" in error(outcome)
    (npu.directory / "other.om").write_bytes(b"no model")
    outcome = npu.benchmark("--model", "other.om", "--overwrite")
    assert "[ERROR] load model from file failed" in error(outcome)


def test_ctrl_c_ends_the_process_and_keeps_what_is_whole(npu: Host, expected: Path):
    process = npu.hanging("hang:2", pids=1)
    deadline = time.monotonic() + 60
    while len(dump_bytes(npu.result / PLAIN)) < 2 and time.monotonic() < deadline:  # of the image before
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert wait_until_gone(npu.pids)
    assert "1 of 6 dumps were there" in npu.benchmark().out
    npu.same_as(expected)


def test_what_a_killed_run_left_is_gone_on_with(npu: Host, expected: Path):
    """Kill the script itself, while its device computes: the device's process ends by itself."""
    process = npu.hanging("hang:2", "--backend", "ascend", pids=1)
    process.kill()
    process.communicate()
    for pid in set(npu.pids):  # they hang in the library, where a card's would be too
        os.kill(pid, signal.SIGKILL)
    assert wait_until_gone(npu.pids)
    outcome = npu.benchmark()
    assert outcome.status == 0, outcome.err
    assert "1 of 6 dumps were there" in outcome.out
    npu.same_as(expected)


def test_a_device_that_fails_ends_predict_in_one_line(npu: Host, small_inputs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_FAULT", "device:1")
    outcome = npu.script(
        *("higherhrnet.__main__", "predict", small_inputs / "data/coco/images/val2017", "--backend", "ascend"),
        *("--output", "found", "--no_exif", "--cfg", TINY_CONFIG, "--set", *SIZE),
    )
    said = error(outcome).splitlines()[-1]
    assert "device 0, shape " in said
    assert "ais_bench says RuntimeError: ACL: general failure; its last lines: " in said


def test_sessions_of_two_shapes_live_side_by_side(npu: Host, expected: Path):
    """As in a stream of pictures: each keeps its own memory, and the profile follows the batch."""
    setting = external.Setting(npu.directory / "models/tiny_bs1_dynamic.om", 1, HEADS, (256, 128), npu.directory)
    backend = session.Ascend(setting)
    first, second = backend.open((128, 192)), backend.open((192, 128))
    rng = np.random.default_rng(0)
    first.sources[0][:] = rng.standard_normal(first.sources[0].shape)
    second.sources[1][:] = first.sources[0].transpose(0, 1, 3, 2)
    first.sources[1][:] = first.sources[0]
    first.launch(0)
    second.launch(1)
    first.launch(1)
    taken = second.wait(1)  # out of turn
    assert taken.infer > taken.execute > 0
    first.wait(0)
    first.wait(1)
    for one, two in zip(first.results[0], first.results[1], strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.abs(one).max() > 0
    assert second.results[1][1].shape == (1, 17, 96, 64)
    assert np.abs(second.results[1][1]).max() > 0
    del first
    second.launch(0)
    second.launch(0)  # the first of the two is given up
    third = backend.open((128, 128))  # while it computes
    second.wait(0)
    third.launch(1)
    third.wait(1)


def test_run_finds_the_people_that_onnxruntime_s_does(npu: Host, small_inputs: Path):
    """In memory, on two devices: nothing but people and the libraries' logs is on disk."""
    results = []
    for name, more in (("ascend", ("--device_ids", "0,2")), ("onnxruntime", ())):
        root = ("DATASET.ROOT", small_inputs / "data/coco", "OUTPUT_DIR", name, *SIZE)
        outcome = npu.script(
            *("higherhrnet.__main__", "run", "--backend", name, *more, "--workers", 1, "--no_eval"),
            *("--cfg", TINY_CONFIG, *root),
        )
        assert outcome.status == 0, outcome.err
        assert float(re.findall(r"peak on disk (\S+) MB", outcome.out)[0]) < 1
        (file,) = (npu.directory / name).rglob("keypoints_val2017_results.json")
        results.append(file.read_bytes())
    assert results[0] == results[1]
    assert len(results[0]) > 1000
    assert {call[1] for call in npu.calls("InferSession")} == {"0", "2"}


def test_run_keeps_what_was_done_where_a_device_fails(npu: Host, small_inputs: Path, monkeypatch: pytest.MonkeyPatch):
    """The other device does its part; the next run, on that alone, the rest."""
    monkeypatch.setenv("STAND_IN_DEVICES", "0,1")
    where = ("DATASET.ROOT", small_inputs / "data/coco", "OUTPUT_DIR", "out", *SIZE)
    run = ("higherhrnet.__main__", "run", "--backend", "ascend", "--workers", 1, "--no_eval", "--cfg", TINY_CONFIG)
    message = error(npu.script(*run, "--device_ids", "0,7", *where))
    assert message.startswith("error: 1 of 2 devices failed, the others finished their part: device 7, shape ")
    outcome = npu.script(*run, "--device_ids", "0", *where)
    assert outcome.status == 0, outcome.err
    done = int(re.findall(r"resuming: (\d) of 8 images are done", outcome.out)[0])
    assert 0 < done < 8
    (file,) = (npu.directory / "out").rglob("keypoints_val2017_results.json")
    whole = file.read_bytes()
    assert npu.script(*run, "--overwrite", *where).status == 0
    assert file.read_bytes() == whole


def test_predict_finds_the_people_that_onnxruntime_s_does(npu: Host, small_inputs: Path):
    pictures = sorted(map(str, (small_inputs / "data/coco").rglob("*.jpg")))
    found = []
    for name in ("ascend", "onnxruntime"):
        outcome = npu.script(
            *("higherhrnet.__main__", "predict", *pictures[:4], "--backend", name, "--output", name, "--no_exif"),
            *("--min_score", 0, "--oks_nms", 0, "--cfg", TINY_CONFIG, "--set", *SIZE),
        )
        assert outcome.status == 0, outcome.err
        found.append((npu.directory / name / "poses.json").read_bytes())
    assert found[0] == found[1]
    assert len(found[0]) > 1000
    assert "load model" in (npu.directory / "ascend/logs/ascend_bs1_device_0.log").read_text()
    outcome = npu.script(
        *("higherhrnet.__main__", "predict", pictures[0], "--backend", "ascend", "--output", "-", "--no_exif"),
        *("--cfg", TINY_CONFIG, "--set", *SIZE),
    )
    assert outcome.status == 0, outcome.err
    assert len(outcome.out.splitlines()) == 1


@pytest.mark.parametrize("batch", [1, 4])
def test_predict_converts_and_writes_lines_alone(npu: Host, small_inputs: Path, batch: int):
    """Pictures in memory: no file but the people is written, the library's log apart."""
    models = npu.directory / "models"
    model = onnx.load(str(models / "tiny_bs1_dynamic.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for file in models.iterdir():
        file.unlink()
    onnx.save(model, str(models / "tiny_bs-1_dynamic.onnx"))
    before = set(npu.directory.rglob("*"))
    people, said = [], []
    for backend in ("auto", "onnxruntime"):
        outcome = npu.script(
            *("higherhrnet.__main__", "predict", small_inputs / "data/coco/images/val2017", "--backend", backend),
            *("--bs", batch, "--output", "-", "--min_score", 0, "--cfg", TINY_CONFIG, "--set", *SIZE),
        )
        assert outcome.status == 0, outcome.err
        said.append(outcome.err)
        people.append([line for line in outcome.out.splitlines() if line.startswith("{")])
        assert len(people[-1]) == len(outcome.out.splitlines())  # what converting says goes elsewhere
    assert "backend ascend (npu-smi is here" in said[0]
    assert "atc: making " in said[0]
    assert people[0] == people[1]
    assert sum(len(line) for line in people[0]) > 1000
    made = {path.name for path in set(npu.directory.rglob("*")) - before}
    assert {name for name in made if not name.startswith("tiny_bs")} <= {"calls.jsonl"}
