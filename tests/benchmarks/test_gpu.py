"""The GPU's benchmark: what goes wrong in one section leaves the figures before it and the sections after it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import gpu


def test_figures_are_kept_as_they_come_and_what_fails_is_one(tmp_path: Path):
    section = gpu.Section(tmp_path / "x.json", cuda=False, folder=tmp_path)

    def kept() -> dict[str, object]:
        return json.loads((tmp_path / "x.json").read_text())

    section.tried("first", lambda: 1)
    assert kept() == {"first": 1}
    section.tried("second", lambda: 1 // 0)
    section.tried("third", lambda: 3)
    assert str(kept().pop("second")).startswith("ZeroDivisionError: ")
    assert kept().keys() == {"first", "second", "third"}


def test_a_section_is_ended_with_all_that_it_started(tmp_path: Path):
    """As nvidia-smi, which would write for ever."""
    written = tmp_path / "written"
    child = f"import time\nwhile True: open({str(written)!r}, 'a').write('.'); time.sleep(0.02)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-S', '-c', {child!r}]); time.sleep(60)"
    assert gpu.run([sys.executable, "-S", "-c", code], 1) == "stopped after 1 s"
    size = written.stat().st_size
    assert size > 0
    time.sleep(0.2)
    assert written.stat().st_size == size
    assert gpu.run([sys.executable, "-S", "-c", "raise SystemExit(3)"], 10) == "with status 3"


def test_the_others_run_whatever_becomes_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ran: list[str] = []

    def run(command: Sequence[str], seconds: float) -> str:
        ran.append(command[command.index("--here") + 1])
        if len(ran) == 3:
            now[0] += 100
        return "with status -11"

    now = [0.0]
    monkeypatch.setattr(gpu, "run", run)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    (tmp_path / "parity.json").write_text("{}")
    arguments = ["gpu", "--output", str(tmp_path), "--only", "env,parity,repeat,memory", "--seconds", "100"]
    monkeypatch.setattr(sys, "argv", arguments)
    gpu.main()
    assert ran == ["env", "parity", "repeat"]
    assert not (tmp_path / "parity.json").exists(), "of an earlier run"
    ended = {name: entry["ended"] for name, entry in json.loads((tmp_path / "sections.json").read_text()).items()}
    assert ended == dict.fromkeys(ran, "with status -11") | {"memory": "no time was left"}


def test_every_section_is_there():
    assert all(callable(getattr(gpu, name)) for name in gpu.SECTIONS)
