"""A second signal ends a program at once, whatever it waits for, with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.launcher import INTERRUPTED
from tests.support.processes import is_gone, session, wait_until_gone

PROGRAM = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from higherhrnet.cli import program, terminal
from higherhrnet.system import processes, signals, workers
{helpers}
def main(_):
    Path("pid").write_text(str(os.getpid()))
    {work}
if __name__ == "__main__":
    terminal.prepare()
    sys.exit(program.run(main))
"""
# A library's call that no signal interrupts: a mutex that is locked already.
CALL = """
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
"""
TOOL = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(600)"
WAITS = {
    "call": (CALL, "libc.pthread_mutex_lock(mutex)"),
    "thread": (
        CALL,
        "t = threading.Thread(target=libc.pthread_mutex_lock, args=(mutex,)); t.start()\n"
        "    try:\n        while True: time.sleep(0.01)\n    finally: t.join()",
    ),
    "held": ("", "with signals.held():\n        while True: time.sleep(0.01)"),
    "worker": ("", "with workers.Pool(2) as pool: list(pool.map(time.sleep, [600] * 20))"),
    "tool": ("", f"processes.run(processes.Command((sys.executable, '-c', {TOOL!r})), log=Path('log'))"),
}


def begin(tmp_path: Path, wait: str) -> subprocess.Popen[str]:
    """A program that waits as WAITS has it."""
    helpers, work = WAITS[wait]
    (tmp_path / "waiting.py").write_text(PROGRAM.format(helpers=helpers, work=work))
    process = subprocess.Popen(
        [sys.executable, "waiting.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    expected = {"worker": 4, "tool": 3}.get(wait, 1)  # with the tracker of multiprocessing's resources
    while not ((tmp_path / "pid").exists() and len(below(process.pid)) >= expected):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(0.1)
    return process


def below(pid: int) -> list[int]:
    """A process and its descendants, whatever their session."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        except OSError:
            continue
    found = [pid]
    for above in found:
        found += children.get(above, [])
    return found


@pytest.mark.parametrize("wait", WAITS)
def test_a_second_signal_ends_it_at_once(tmp_path: Path, wait: str):
    process = begin(tmp_path, wait)
    started = below(process.pid)
    if wait == "worker":
        os.kill(next(pid for pid in started[1:] if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()), 19)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None, "it waits"
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 2
    assert (process.returncode, err) == (128 + signal.SIGTERM, INTERRUPTED + "\n")
    assert wait_until_gone(started)


def test_one_signal_sent_twice_is_one(tmp_path: Path):
    """As `timeout` sends it: to its child, and to the group that the child is in."""
    process = begin(tmp_path, "tool")
    started = below(process.pid)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    time.sleep(0.5)
    assert process.poll() is None, "the tool gets its time to end"
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 128 + signal.SIGTERM
    process.communicate()
    assert wait_until_gone(started)


@pytest.mark.slow
def test_one_signal_ends_stopped_workers_after_a_while(tiny_data: Path, tmp_path: Path):
    """A worker that hangs in a network's file system, for example. What is there is whole."""
    program = [sys.executable, str(ROOT / "HigherHRNet_preprocess.py"), "--workers", "2", "--output", "a"]
    program += ["--output_flip", "b", "--cfg", str(TINY_CONFIG), "DATASET.ROOT", str(tiny_data)]
    process = subprocess.Popen(
        program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    stopped: list[int] = []
    while not stopped:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
        for pid in below(process.pid)[1:]:
            if not is_gone(pid) and b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, INTERRUPTED + "\n")
    assert wait_until_gone(session(process.pid))
