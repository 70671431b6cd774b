"""Memory of the stages that use every core: bounded, and flat in the number of images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from demo.synthesis import synthesise
from higherhrnet.artifacts import dumps
from higherhrnet.image import geometry
from tests.support.datasets import ROOT, write_dataset

LIMIT = 600  # MB a worker
SLACK = 40  # MB: what allocators keep may differ; twelve images more are 150 MB of inputs, 300 MB of dumps
LARGE = (1000, 500)  # width, height: the largest input shape


# VmHWM and not getrusage: that one counts the process before exec too, which is the tests'.
PROGRAM = """
import runpy, sys
from pathlib import Path
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code
(line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print("peak", line.split()[1])
"""


def peak(script: str, *arguments: object, cwd: Path) -> float:
    """Largest resident size in MB that a script reaches in one process."""
    argv = [sys.executable, "-c", PROGRAM, str(ROOT / script), *map(str, arguments), "--workers", "1"]
    done = subprocess.run(
        argv, cwd=cwd, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return int(done.stdout.split()[-1]) / 1024


def test_preprocess_is_bounded_and_flat(tmp_path: Path):
    data = write_dataset(tmp_path / "coco", sizes=(LARGE,) * 16)

    def run(images: int) -> float:
        trees = ("--output", f"bins{images}", "--output_flip", f"flip{images}")
        return peak("HigherHRNet_preprocess.py", *trees, "--limit", images, "DATASET.ROOT", data, cwd=tmp_path)

    few, many = run(4), run(16)
    assert many < LIMIT
    assert many < few + SLACK


def test_postprocess_is_bounded_and_flat(tmp_path: Path):
    """A crowd in the largest shape, once and linked as many images."""
    data = write_dataset(tmp_path / "coco", sizes=(LARGE,) * 16)
    rng = np.random.default_rng(0)
    people = [np.column_stack((rng.uniform(0, LARGE, (17, 2)), np.full(17, 2))) for _ in range(20)]
    passes = synthesise(people, geometry.fit(*LARGE, 512), rng)

    def run(images: int) -> float:
        directories = tmp_path / f"plain{images}", tmp_path / f"flip{images}"
        for directory, outputs in zip(directories, passes, strict=True):
            directory.mkdir()
            originals = dumps.BENCHMARK.paths(directory, 0)
            for file, array in zip(originals, outputs, strict=True):
                array.tofile(file)
            for index in range(1, images):
                for file, original in zip(dumps.BENCHMARK.paths(directory, index), originals, strict=True):
                    file.hardlink_to(original)
        where = ("--dump_dir", directories[0], "--dump_dir_flip", directories[1], "DATASET.ROOT", data)
        return peak("HigherHRNet_postprocess.py", *where, cwd=tmp_path)

    few, many = run(4), run(16)
    assert many < LIMIT
    assert many < few + SLACK
