"""The compiled kernels: shared between processes, compiled again for other sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.cli import decoding
from higherhrnet.decode import COUNT, compilation, compile
from tests.support.datasets import ROOT

POPEN = subprocess.Popen


def run_python(code: str, folder: Path = ROOT) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_share_the_cache():
    compile()  # where nobody has yet
    code = "from higherhrnet import decode; print(decode.is_compiled())"
    for process in [run_python(code), run_python(code)]:
        assert process.communicate()[0] == "True\n"


@pytest.mark.slow
def test_changed_source_is_compiled_again(tmp_path):
    compile()
    package = tmp_path / "higherhrnet"
    shutil.copytree(ROOT / "higherhrnet", package)
    code = "from higherhrnet import decode; print(decode.is_compiled())"
    assert run_python(code, tmp_path).communicate()[0] == "True\n"
    with (package / "decode" / "group.py").open("a") as source:
        source.write("# changed\n")
    assert run_python(code, tmp_path).communicate()[0] == "False\n"


@pytest.mark.slow
def test_compile_command_says_that_nothing_is_left_to_do():
    compile()
    done = subprocess.run(
        [sys.executable, "-m", "higherhrnet.decode"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "decode: compiled already\n"


def test_processes_fill_an_empty_cache_and_what_they_lack_is_compiled_here(monkeypatch: pytest.MonkeyPatch):
    """Without compiling anything: entries that count. The first process dies, of the second nothing can be started."""
    made: list[int] = []

    class Counted:
        def __init__(self, number: int) -> None:
            self.number = number

        def is_compiled(self) -> bool:
            return self.number in made

        def is_kept(self) -> bool:
            return True

        def compile(self) -> None:
            if self.number not in made:
                made.append(self.number)

    for command in ([sys.executable, "-c", "print(); import os; os.abort()"], ["/nowhere/python"]):
        made.clear()
        told: list[int] = []
        started: list[list[str]] = []

        def start(given: list[str], *, command: list[str] = command, started: list = started, **rest: Any) -> Any:
            started.append(given)
            return POPEN(command, **rest)

        monkeypatch.setattr(compilation, "_PARTS", tuple((Counted(n),) for n in range(3)))
        monkeypatch.setattr(compilation.workers, "cores", lambda: 2)
        monkeypatch.setattr(compilation.subprocess, "Popen", start)
        compilation.compile(told.append)
        assert started == [[sys.executable, "-m", "higherhrnet.decode", "1", "2"]]
        assert made == [0, 1, 2]
        assert sum(told) == (2 if command[0] == sys.executable else 1)
        compilation.compile(told.append)  # nothing is left to do
        assert len(started) == 1


def test_compiling_is_said_once(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr(decoding.decode, "is_kept", lambda: True)
    monkeypatch.setattr(decoding.decode, "is_compiled", lambda: False)
    monkeypatch.setattr(decoding.decode, "compile", lambda done: [done(1) for _ in range(COUNT)])
    decoding.prepare(said.append)
    assert said == ["compiling the decode for this CPU: about half a minute, once"]
    monkeypatch.setattr(decoding.decode, "is_kept", lambda: False)
    decoding.prepare(said.append)
    assert said.pop().endswith("because no folder can be written that keeps it; set NUMBA_CACHE_DIR to one")
    monkeypatch.setattr(decoding.decode, "is_compiled", lambda: True)
    decoding.prepare(said.append)
    assert len(said) == 1
