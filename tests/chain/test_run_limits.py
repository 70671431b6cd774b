"""What ``run`` takes: disk within its budget, measured from outside, and memory that does not grow with the images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.pipeline.disk import Usage
from tests.support import ascend_host
from tests.support.datasets import DEMO_CONFIG, ROOT, TINY_CONFIG, TINY_IMAGES, write_dataset
from tests.support.programs import CPU

BUDGET = 64_000_000
SLACK = 40  # MB: what allocators keep may differ from run to run


def start(arguments: list[object], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def run(coco_mini: Path, demo_onnx: Path, tmp_path: Path) -> Callable[..., tuple[str, int]]:
    """``run`` with the demo network on three COCO images: what it said, and the most bytes that were seen on disk."""
    model = shutil.copy(demo_onnx, tmp_path)

    def call(*more: object) -> tuple[str, int]:
        where = ["--cfg", DEMO_CONFIG, "--limit", 3, "--workers", 1, "--model", model, *more]
        process = start(["-m", "higherhrnet", "run", *where, "DATASET.ROOT", coco_mini], tmp_path)
        work, ended = Usage(tmp_path / "run_work"), threading.Event()

        def watch() -> None:
            while not ended.wait(0.01):
                work.measure()

        watcher = threading.Thread(target=watch)
        watcher.start()
        out, err = process.communicate(timeout=300)
        ended.set()
        watcher.join()
        assert process.returncode == 0, err
        assert "people in 3 images" in out
        return out, work.peak

    return call


def test_nothing_but_people_is_on_disk(run: Callable[..., tuple[str, int]]):
    out, peak = run(*CPU)
    said = float(re.findall(r"peak on disk (\S+) MB", out)[0]) * 1e6
    assert 0 < peak < 1e6
    assert abs(said - peak) < 1e5


def test_chunks_stay_within_64_mb(run: Callable[..., tuple[str, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """At this budget one or two images are on disk at a time."""
    tool = ascend_host.install(tmp_path, monkeypatch)
    out, peak = run("--disk_budget", "64MB", "--backend", "benchmark", "--benchmark_path", tool)
    said = float(re.findall(r"peak on disk (\S+) MB", out)[0]) * 1e6
    assert 20e6 < peak <= BUDGET
    assert 0.8 * peak <= said <= BUDGET, "what a tool writes and removes itself is seen a few times a second"


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat_in_the_number_of_images(tiny_onnx: Path, tmp_path: Path, workers: int):
    peaks = []
    for times in (1, 5):
        data = write_dataset(tmp_path / f"coco{times}", sizes=TINY_IMAGES * times)
        where = ["--cfg", TINY_CONFIG, "--model", tiny_onnx, *CPU, "DATASET.ROOT", data]
        process = start(["-m", "higherhrnet", "run", "--workers", workers, "--overwrite", *where], tmp_path)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        peaks.append([float(v) for v in re.findall(r"peak memory (\d+) MB(?:, (\d+) MB per worker)?", out)[0] if v])
    assert len(peaks[0]) == 1, "in one process"
    for few, many in zip(*peaks, strict=True):
        assert many < few + SLACK
