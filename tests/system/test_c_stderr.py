"""Whose words C code's are, in threads too; and that C's stderr is what it was before."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from higherhrnet.system import c_stderr

pytestmark = pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="of glibc alone")


def speaker(words: str, meet: threading.Barrier | None = None) -> Callable[[], str]:
    c = ctypes.CDLL(None)
    c.fprintf.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    stderr = ctypes.c_void_p.in_dll(c, "stderr")
    first = [meet]

    def speak() -> str:
        if (barrier := first.pop() if first else None) is not None:
            barrier.wait(10)
        if words:
            c.fprintf(stderr, b"%s", words.encode())
        return words

    return speak


def test_each_of_many_threads_hears_its_own(capfd: pytest.CaptureFixture[str]):
    """All eight are in their first call at the same time; every second one says something."""
    meet = threading.Barrier(8)
    said = [f"words of {number}\n" if number % 2 else "" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda words: c_stderr.overhear(speaker(words, meet)), said))
    assert found == [(words, words) for words in said]
    assert capfd.readouterr().err == ""
    speaker("afterwards")()
    assert capfd.readouterr().err == "afterwards"


def test_an_error_leaves_stderr_as_it_was(capfd: pytest.CaptureFixture[str]):
    def fail() -> None:
        os.write(2, b"by descriptor; ")
        print("by Python", file=sys.stderr)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        c_stderr.overhear(fail)
    speaker("afterwards")()
    assert capfd.readouterr().err == "by descriptor; by Python\nafterwards"


def test_a_forked_process_has_an_ear_of_its_own():
    code = """
import os, threading, ctypes
from higherhrnet.system import c_stderr
c_stderr.overhear(int)
if os.fork() == 0:
    assert c_stderr.overhear(lambda: 1) == (1, "")
    os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
