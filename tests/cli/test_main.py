"""The six scripts as programs: help, wrong usage, a reader that goes away, what they import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.datasets import ROOT
from tests.support.programs import MODULES, Outcome

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))

Script = Callable[..., Outcome]


def test_the_scripts_are_the_guide_s():
    assert SCRIPTS == [
        "HigherHRNet_benchmark.py",
        "HigherHRNet_performance.py",
        "HigherHRNet_postprocess.py",
        "HigherHRNet_preprocess.py",
        "HigherHRNet_pth2onnx.py",
        "gen_dataset_info.py",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_comes_from_any_directory(name: str, command: Script, tmp_path: Path):
    outcome = command(name, "--help", cwd=tmp_path)
    assert outcome.status == 0
    assert outcome.out.startswith("usage:")
    assert f"python3 {name}" in outcome.out, "a command to paste"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_unknown_flags_are_wrong_usage(name: str, script: Script):
    outcome = script(name.removesuffix(".py"), "--no_such_flag")
    assert outcome.status == 2
    assert outcome.err.startswith("usage: ")


def test_a_reader_that_goes_away_is_no_traceback(tiny_inputs: Path, tmp_path: Path):
    script = subprocess.Popen(
        [sys.executable, ROOT / "gen_dataset_info.py", "bin", tiny_inputs / "bins", tmp_path / "prep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert script.stdout is not None
    assert script.stderr is not None
    script.stdout.close()
    assert script.stderr.read() == b""
    script.stderr.close()
    assert script.wait(timeout=60) == 1
    assert (tmp_path / "prep.info").is_file(), "what it had to say, it said after its work"


@pytest.mark.parametrize(
    "module", ["HigherHRNet_preprocess", "HigherHRNet_postprocess", "HigherHRNet_benchmark", "HigherHRNet_performance"]
)
def test_stages_of_an_ascend_host_import_neither_torch_nor_onnx(module: str):
    loaded = "[m for m in ('torch', 'onnx', 'onnxruntime', 'matplotlib') if m in sys.modules]"
    code = f"import sys, higherhrnet.cli.{MODULES[module]}; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
