"""The guide's chains as a CI job calls them, through the stand-ins."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from higherhrnet.backends.ascend import cann_benchmark
from tests.support.ascend_host import IMAGES, SHAPES, Host, search_path
from tests.support.datasets import ROOT, TINY_CONFIG, TINY_RESULTS, write_dataset

OPTS = "DATASET.INPUT_SIZE 128 DATASET.MAX_NUM_PEOPLE 3"  # noise has people everywhere


@pytest.fixture
def guide(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Host:
    """An empty folder with a checkpoint and the benchmark tool, as the guide starts."""
    (tmp_path / "here").mkdir()
    host = Host(tmp_path / "here", monkeypatch, capsys)
    (host.directory / "models").mkdir()
    shutil.copy(tiny_weights, host.directory / "models/tiny.pth")
    host.install_benchmark()
    monkeypatch.setenv("WEIGHTS", "models/tiny.pth")
    monkeypatch.setenv("CFG", str(TINY_CONFIG))
    monkeypatch.setenv("OPTS", OPTS)
    return host


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with coco/ in it."""
    path = tmp_path_factory.mktemp("data sets")
    write_dataset(path / "coco", IMAGES)
    return path


def bash(script: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it on one core, on which the programs start no workers and no threads that wait busily."""
    core = random.choice(sorted(os.sched_getaffinity(0)))
    return subprocess.run(
        ["taskset", "--cpu-list", str(core), "bash", str(ROOT / "tests" / script), *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": search_path(), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def ap(out: str) -> str:
    """The line of the ten figures."""
    (line,) = re.findall(r"^\| pose_hig.*$", out, re.MULTILINE)
    return line


def test_the_whole_guide_gives_the_same_ap_on_every_backend(guide: Host, datasets: Path, tmp_path: Path):
    done = bash("eval_acc_perf.sh", f"--datasets_path={datasets}", cwd=guide.directory)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^== (\w+)", done.stdout, re.MULTILINE)
    assert steps == ["preprocess", "list", "list", "export", "infer", "accuracy", "performance"]
    assert "backend benchmark" in done.stdout
    assert len(guide.calls("atc")) == 1
    assert len(guide.calls("benchmark")) == 2 * len(SHAPES)
    for shape in SHAPES:
        assert f"({shape.replace('x', ',')})" in done.stdout  # a row of the table

    people = (guide.directory / TINY_RESULTS).read_bytes()
    assert len(people) > 1000  # there are people to compare
    other = tmp_path / "onnxruntime"
    shutil.copytree(guide.directory, other, ignore=shutil.ignore_patterns("result", "output"))
    again = bash("eval_acc_perf.sh", f"--datasets_path={datasets}/coco", cwd=other, BACKEND="onnxruntime")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "backend onnxruntime (requested)" in again.stdout
    assert ap(again.stdout) == ap(done.stdout)
    assert (other / TINY_RESULTS).read_bytes() == people

    # ais_bench, and in process on one device and on three; inputs, lists and model are those that were made above.
    config = ("--cfg", TINY_CONFIG, *OPTS.split())
    for backend, devices in (("ais_bench", "0"), ("ascend", "0"), ("ascend", "2,0,1")):
        result = f"{backend}{devices}"
        model = ("--backend", backend, "--model", "models/tiny_bs1_dynamic.onnx", "--result", result)
        made = guide.script("HigherHRNet_benchmark", *model, "--device_id", 0, "--device_ids", devices, *config)
        assert made.status == 0, made.err
        folders = [f"{result}/dumpOutput_device0_bs1{flip}" for flip in ("", "_flip")]
        (guide.directory / TINY_RESULTS).unlink()
        found = guide.script(
            *("HigherHRNet_postprocess", "--dump_dir", folders[0], "--dump_dir_flip", folders[1], "--workers", 1),
            *("--overwrite", *config, "DATASET.ROOT", datasets / "coco"),
        )
        assert found.status == 0, found.err
        assert ap(found.out) == ap(done.stdout)
        assert (guide.directory / TINY_RESULTS).read_bytes() == people
        table = guide.script("HigherHRNet_performance", "--result", result)
        assert all(f"({shape.replace('x', ',')})" in table.out for shape in SHAPES)
    assert {call[1] for call in guide.calls("InferSession")} == {"0", "1", "2"}


def test_chains_stop_at_the_first_failure(guide: Host, datasets: Path, tiny_onnx: Path):
    shutil.copy(tiny_onnx, guide.directory / "models/tiny_bs1_dynamic.onnx")
    done = bash("eval_acc_perf.sh", f"--datasets_path={datasets}/none", cwd=guide.directory)
    assert done.returncode == 1
    assert "has no annotations/ and images/" in done.stderr
    done = bash("eval_acc_perf.sh", "--dataset=x", cwd=guide.directory)
    assert done.returncode == 2
    done = bash("eval_acc_perf.sh", f"--datasets_path={datasets}", cwd=guide.directory, STAND_IN_FAULT="crash:0")
    assert done.returncode == 1
    assert done.stdout.rstrip().splitlines()[-1].startswith("backend benchmark")
    assert "accuracy" not in done.stdout
    assert "benchmark ended with status 3" in done.stderr
    assert "failed with status 1" in done.stderr


def test_pth2om(guide: Host, datasets: Path, tiny_onnx: Path):
    shutil.copy(tiny_onnx, guide.directory / "models/tiny_bs1_dynamic.onnx")
    done = bash("pth2om.sh", f"--datasets_path={datasets}", cwd=guide.directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (guide.directory / "models/tiny_bs1_dynamic.om").exists()
    done = bash("pth2om.sh", cwd=guide.directory, STAND_IN_ATC_FAIL="EZ9999")
    assert done.returncode == 1
    assert "EZ9999" in done.stderr
    (guide.directory / "models/tiny.pth").unlink()  # as on a host that only converts
    done = bash("pth2om.sh", cwd=guide.directory)
    assert done.returncode == 0, done.stdout + done.stderr
    done = bash("pth2om.sh", cwd=guide.directory, WEIGHTS="models/none.pth")
    assert done.returncode == 1
    assert "no checkpoint models/none.pth" in done.stderr


def test_perf_g(guide: Host, tiny_onnx: Path):
    shutil.copy(tiny_onnx, guide.directory / "models/tiny_bs1_dynamic.onnx")
    done = bash("perf_g.sh", cwd=guide.directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\(128,256\) +125$", done.stdout, re.MULTILINE)
    calls = guide.calls("trtexec")
    assert len(calls) == len(SHAPES)
    assert "--minShapes=input:1x3x128x128" in calls[0]
    assert "--maxShapes=input:1x3x256x256" in calls[0]
    assert sum("--loadEngine=" in argument for call in calls for argument in call) == len(SHAPES) - 1
    done = bash("perf_g.sh", cwd=guide.directory, STAND_IN_TENSORRT_7="1")
    assert re.search(r"^\(128,256\) +250$", done.stdout, re.MULTILINE)
    done = bash("perf_g.sh", cwd=guide.directory, STAND_IN_TENSORRT_FAIL="1")
    assert done.returncode == 1
    assert "trtexec ended with status 1 at shape 128x128" in done.stderr
    assert "trtexec_batchsize_1_device_0_128x128.log" in done.stderr


def test_the_first_minutes_on_a_card(guide: Host, datasets: Path, small_models: Path):
    """One picture on each runner against ONNX Runtime; one that is missing is named, and the next one runs."""
    shutil.copytree(small_models, guide.directory / "models", dirs_exist_ok=True)
    (guide.directory / cann_benchmark.file_name()).unlink()
    opts = {"OPTS": "DATASET.INPUT_SIZE 128", "BACKENDS": "benchmark ascend"}
    done = bash("check_ascend.sh", f"--datasets_path={datasets}", cwd=guide.directory, **opts)
    assert done.returncode == 1, done.stdout + done.stderr
    report = (guide.directory / "check_ascend/report.txt").read_text()
    assert "310P3" in report
    assert "numpy " in report
    assert "failed with status 1: benchmark\n== ascend\n" in report
    assert re.search(r"== ascend against onnxruntime\n.*\noutput1 heat", report, re.DOTALL)
    assert "== ascend, images per second" in report
    assert report.endswith("failed: benchmark\n")
