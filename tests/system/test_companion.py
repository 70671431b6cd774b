"""A process beside this one: messages, and every way in which it may end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.system.companion import Companion, GoneError
from tests.support.processes import wait_until_gone

MODULE = """
import json, os, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[1]))
while content := channel.recv(1 << 16):
    what = json.loads(content)["do"]
    if what == "sleep":
        print("asleep", flush=True)
        time.sleep(600)
    elif what == "die":
        print("[ERROR] dying", flush=True)
        os._exit(7)
    channel.send(json.dumps({"did": what, "pid": os.getpid()}).encode())
"""


Start = Callable[[], Companion]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    (tmp_path / "companion_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda: Companion("companion_module", log=tmp_path / "logs/a.log", directory=tmp_path)


def test_it_answers_and_ends_with_its_owner(start: Start):
    companion = start()
    companion.send({"do": "work"})
    message = companion.receive(timeout=30, stop=threading.Event())
    assert message["did"] == "work"
    del companion
    assert wait_until_gone([message["pid"]])


@pytest.mark.parametrize(
    ("do", "timeout", "stopped", "words"),
    [
        ("die", 30, False, r"ended with status 7; its last lines: \[ERROR\] dying; all of them: .*/logs/a.log"),
        ("sleep", 1, False, "was ended because it took longer than 1 s; its last lines: asleep"),
        ("sleep", None, True, "was ended because the run was stopped"),
    ],
)
def test_however_it_ends_there_is_a_sentence(start: Start, do: str, timeout: float | None, stopped: bool, words: str):
    companion = start()
    companion.send({"do": "work"})
    pid = companion.receive(timeout=30, stop=threading.Event())["pid"]
    stop = threading.Event()
    if stopped:
        stop.set()
    companion.send({"do": do})
    with pytest.raises(GoneError, match=words):
        companion.receive(timeout=timeout, stop=stop)
    assert wait_until_gone([pid])


def test_a_kill_from_outside_is_named(start: Start):
    companion = start()
    companion.send({"do": "work"})
    os.kill(companion.receive(timeout=30, stop=threading.Event())["pid"], signal.SIGKILL)
    companion.send({"do": "work"})
    with pytest.raises(GoneError, match="was killed by SIGKILL"):
        companion.receive(timeout=30, stop=threading.Event())
