"""The compiled kernels: shared between processes, compiled again for other sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from higherhrnet.decode import compile
from tests.support.datasets import ROOT


def run_python(code: str, folder: Path = ROOT) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_the_cache():
    compile()  # where nobody has yet
    code = "from higherhrnet import decode; print(decode.is_compiled())"
    for process in [run_python(code), run_python(code)]:
        assert process.communicate()[0] == "True\n"


def test_changed_source_is_compiled_again(tmp_path):
    compile()
    package = tmp_path / "higherhrnet"
    shutil.copytree(ROOT / "higherhrnet", package)
    code = "from higherhrnet import decode; print(decode.is_compiled())"
    assert run_python(code, tmp_path).communicate()[0] == "True\n"
    with (package / "decode" / "group.py").open("a") as source:
        source.write("# changed\n")
    assert run_python(code, tmp_path).communicate()[0] == "False\n"


def test_compile_command_says_that_nothing_is_left_to_do():
    compile()
    done = subprocess.run(
        [sys.executable, "-m", "higherhrnet.decode"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "decode: compiled already\n"
