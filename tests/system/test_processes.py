"""External programs: their ends, logs, and what they leave running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from higherhrnet.errors import UserError
from higherhrnet.system import processes
from tests.support.datasets import ROOT
from tests.support.processes import wait_until_gone

# Starts a child that ignores the polite signal, writes both ids to a file, and waits.
PARENT = """
import os, pathlib, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
print("started", flush=True)
time.sleep(600)
"""


IGNORING = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""


def python(code: str, *arguments: object) -> processes.Command:
    return processes.Command((sys.executable, "-c", code, *map(str, arguments)))


def test_status_log_and_environment(tmp_path: Path):
    command = processes.Command(
        (sys.executable, "-c", "import os, sys; print(os.environ['NAME'], os.getcwd()); sys.exit('last words')"),
        tmp_path,
        {"NAME": "值 1"},
    )
    log = tmp_path / "logs/a.log"
    outcome = processes.run(command, log=log)
    assert (outcome.status, outcome.ending) == (1, "ended with status 1")
    assert sorted(outcome.text.split("\n")) == sorted([f"值 1 {tmp_path}", "last words", ""])
    assert log.read_text().startswith(f"$ (cd {tmp_path} && env 'NAME=值 1' ")
    assert "last words" in log.read_text()


def test_a_signal_is_named(tmp_path: Path):
    outcome = processes.run(python("import os; os.kill(os.getpid(), 11)"), log=tmp_path / "log")
    assert outcome.ending == "was killed by SIGSEGV"
    assert outcome.last_lines() == "it printed nothing"


def test_last_lines_skip_progress_bars_and_keep_errors(tmp_path: Path):
    code = r"print('[ERROR] the reason\n' + '\n'.join(f'line {i}' for i in range(9)) + '\n\rbar 1\rbar 2\n====')"
    outcome = processes.run(python(code), log=tmp_path / "log")
    assert outcome.last_lines(2) == "[ERROR] the reason | line 8 | bar 2"


def test_a_program_that_is_not_there(tmp_path: Path):
    with pytest.raises(UserError, match="cannot start no-such-program: No such file or directory"):
        processes.run(processes.Command(("no-such-program",)), log=tmp_path / "log")


def test_a_timeout_ends_the_whole_group(tmp_path: Path):
    pids = tmp_path / "pids"
    with pytest.raises(UserError, match=r"took longer than 1 s; its last lines: started"):
        processes.run(python(PARENT, pids), log=tmp_path / "log", timeout=1)
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    assert wait_until_gone(started)


def test_a_second_ctrl_c_does_not_leave_the_group_alive(tmp_path: Path):
    pids = tmp_path / "pids"
    code = (
        "import sys; from pathlib import Path; from higherhrnet.system import processes\n"
        "processes.run(processes.Command((sys.executable, '-c', *sys.argv[2:])), log=Path(sys.argv[1]))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "log"), IGNORING, str(pids)]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (pids.exists() and pids.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert wait_until_gone([int(pid) for pid in pids.read_text().split()])


def test_a_crash_ends_what_the_program_started(tmp_path: Path):
    pids = tmp_path / "pids"
    code = PARENT.replace("time.sleep", "os.getppid() == int(sys.argv[2]) and os._exit(3); time.sleep")
    assert processes.run(python(code, pids, os.getpid()), log=tmp_path / "log").status == 3
    started = [int(pid) for pid in pids.read_text().split()]
    assert wait_until_gone(started)


def test_a_program_that_succeeds_leaves_nothing_running(tmp_path: Path):
    pids = tmp_path / "pids"
    code = PARENT.replace("time.sleep", "os.getppid() == int(sys.argv[2]) and os._exit(0); time.sleep")
    assert processes.run(python(code, pids, os.getpid()), log=tmp_path / "log").status == 0
    assert wait_until_gone([int(pid) for pid in pids.read_text().split()])


def test_a_line_without_end_is_cut(tmp_path: Path):
    outcome = processes.run(python("print('x' * 10**7)"), log=tmp_path / "log")
    assert outcome.last_lines() == "x" * 300


def test_another_thread_can_stop_it(tmp_path: Path):
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    start = time.monotonic()
    with pytest.raises(UserError, match="because the run was stopped"):
        processes.run(python("import time; time.sleep(600)"), log=tmp_path / "log", stop=stop)
    assert time.monotonic() - start < 5


def test_a_log_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "log").mkdir()
    with pytest.raises(UserError, match="cannot write log"):
        processes.run(python("pass"), log=tmp_path / "log")


def test_no_signal_breaks_into_python_s_wait(tmp_path: Path):
    """Popen.wait would keep its lock, and the next one, which ends the program, would never return."""
    inside: list[float] = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            signal.raise_signal(signal.SIGINT)
            inside.append(float("inf") if timeout is None else timeout)
            return super().wait(timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            processes.run(python("import time; time.sleep(600)"), log=tmp_path / "log")
    assert inside, "the signal broke in"
    assert all(timeout is not None and timeout <= 0.1 for timeout in inside), (
        "a signal is answered after that many seconds"
    )
