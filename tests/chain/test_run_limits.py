"""What ``run`` takes: disk within its budget, measured from outside, and memory that does not grow with the images."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from higherhrnet.pipeline.disk import Usage
from tests.support.datasets import DEMO_CONFIG, DEMO_WEIGHTS, ROOT, TINY_CONFIG, TINY_IMAGES, write_dataset
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


def test_coco_images_with_the_demo_network_stay_within_64_mb(coco_mini: Path, tmp_path: Path):
    """At this budget one or two images are on disk at a time."""
    model = tmp_path / "w16_512_bs1_dynamic.onnx"
    export = ["--weights", DEMO_WEIGHTS, "--cfg", DEMO_CONFIG, "--output", model]
    assert start([ROOT / "HigherHRNet_pth2onnx.py", *export], tmp_path).wait(120) == 0
    where = ["--cfg", DEMO_CONFIG, "--model", model, *CPU]
    where += ["DATASET.ROOT", coco_mini]
    process = start(
        ["-m", "higherhrnet", "run", "--disk_budget", "64MB", "--limit", 6, "--workers", 1, *where], tmp_path
    )
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
    assert "people in 6 images" in out
    said = float(re.findall(r"peak on disk (\S+) MB", out)[0]) * 1e6
    assert 20e6 < work.peak <= BUDGET
    assert work.peak - 1e6 <= said <= BUDGET, "a sample from outside sees no more than what the run counts"


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat_in_the_number_of_images(tiny_onnx: Path, tmp_path: Path, workers: int):
    peaks = []
    for times in (1, 10):
        data = write_dataset(tmp_path / f"coco{times}", sizes=TINY_IMAGES * times)
        where = ["--cfg", TINY_CONFIG, "--model", tiny_onnx, *CPU, "DATASET.ROOT", data]
        process = start(["-m", "higherhrnet", "run", "--workers", workers, "--overwrite", *where], tmp_path)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        peaks.append([float(v) for v in re.findall(r"peak memory (\d+) MB(?:, (\d+) MB per worker)?", out)[0] if v])
    assert len(peaks[0]) == workers
    for few, many in zip(*peaks, strict=True):
        assert many < few + SLACK
