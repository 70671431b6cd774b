"""The benchmark of what is around the network runs, and the stream finds what its parts find."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.datasets import ROOT, write_dataset


@pytest.mark.slow
def test_the_stream_and_its_parts_are_timed(tmp_path):
    pictures = write_dataset(tmp_path) / "images/val2017"
    few = ["--side", "64", "--people", "1", "--batch", "2", "--count", "5", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks.around", "--pictures", str(pictures), *few]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said = re.fullmatch(
        r"5 pictures of 1 people, \d+ threads, 1 rounds: the stream does ([\d.]+) images/s, its parts alone ([\d.]+): "
        r"([\d.]+) of that\n",
        done.stdout,
    )
    assert said, done.stdout
    stream, parts, share = map(float, said.groups())
    assert share == pytest.approx(stream / parts, rel=0.01)
