"""The decode benchmark runs anywhere and says what it measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.datasets import ROOT

pytestmark = pytest.mark.slow


def test_one_ordinary_image(tmp_path):
    command = [sys.executable, "-m", "benchmarks.decode", "--cases", "ordinary", "--images", "1", "--output", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    line = re.search(
        r"^ordinary .* the same people in 1: .* ratio ([0-9.]+)x, without flip [0-9.]+ of the time$",
        done.stdout,
        re.MULTILINE,
    )
    assert line, done.stdout
    report = json.loads((tmp_path / "decode.json").read_text())
    assert [case["case"] for case in report["cases"]] == ["ordinary"]
    assert report["cases"][0]["ratio"] == float(line[1])
    assert "the clear version, in its place" in done.stdout
