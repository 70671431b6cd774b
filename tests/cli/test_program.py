"""How every command ends: signals, errors, what the machine lacks."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from higherhrnet.artifacts import sources
from higherhrnet.cli import program, terminal
from higherhrnet.errors import UserError
from tests.support.launcher import INTERRUPTED


class _Finalised:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interruption_that_python_drops_is_sent_again(capsys: pytest.CaptureFixture[str]):
    reached = []

    def main(_: Sequence[str] | None) -> None:
        _Finalised()  # Python drops exceptions there
        time.sleep(10)
        reached.append("the end")

    assert program.run(main) == 130
    assert reached == []
    assert capsys.readouterr().err == INTERRUPTED + "\n"


def test_a_line_that_a_signal_cuts_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As between the two writes of a print."""

    def main(_: object) -> None:
        sys.stdout.write("7 images in bins")
        signal.raise_signal(signal.SIGTERM)

    with terminal._Checked.of((tmp_path / "out").open("w"), 1) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert program.run(main) == 128 + signal.SIGTERM
    assert (tmp_path / "out").read_text() == "7 images in bins\n"


def test_what_is_sent_again_does_not_outlive_the_program(capsys: pytest.CaptureFixture[str]):
    def main(_: Sequence[str] | None) -> None:
        _Finalised()

    assert program.run(main) == 130
    time.sleep(0.2)  # or this test would be interrupted
    assert capsys.readouterr().err == INTERRUPTED + "\n"


@pytest.mark.parametrize("error", [None, ValueError("of a library"), UserError("a consequence")])
def test_whatever_an_interruption_becomes_it_is_one(error: Exception | None, capsys: pytest.CaptureFixture[str]):
    def main(_: Sequence[str] | None) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        if error:
            raise error

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert program.run(main) == 143
    assert capsys.readouterr().err == INTERRUPTED + "\n"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


AGAIN = "error: [Errno 11] Resource temporarily unavailable"
LIMIT = "the limit of"


def caused(error: UserError, number: int) -> UserError:
    """What a stage makes of a system's error."""
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "a/b"), "error: Permission denied: 'a/b'; check that path"),
        (MemoryError(), "error: not enough memory (amount unknown); give"),
        (MemoryError("Unable to allocate 9 GiB"), "error: not enough memory (Unable to allocate 9 GiB); give"),
        (
            RuntimeError("[enforce] DefaultCPUAllocator:\ncan't allocate memory: 9"),
            "error: not enough memory ([enforce]",
        ),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), f"{AGAIN}: {LIMIT} processes and threads"),
        (RuntimeError("can't start new thread"), f"error: can't start new thread: {LIMIT} processes and threads"),
        (caused(UserError("cannot write x; free space"), errno.EMFILE), f"error: cannot write x: {LIMIT} open files"),
        (caused(UserError("cannot read x; get it again"), errno.ENOMEM), "error: cannot read x; get it again"),
        (ImportError("libx.so: failed to map segment: Cannot allocate memory"), "error: not enough memory (libx.so"),
    ],
)
def test_what_the_machine_lacks_is_one_line(error: Exception, said: str, capsys: pytest.CaptureFixture[str]):
    def main(_: Sequence[str] | None) -> None:
        raise error

    assert program.run(main) == 1
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_the_limit_of_a_file_s_size_is_named_and_no_other(capsys: pytest.CaptureFixture[str]):
    """With its own remedy; a file of more bytes than are read is not meant."""
    for cause, said in (
        (
            OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
            "the limit of the size of files (ulimit -f) is too low here; raise it\n",
        ),
        (sources.too_large("x", 9), "cannot write x; free space\n"),
    ):

        def main(_: Sequence[str] | None, cause: OSError = cause) -> None:
            raise UserError("cannot write x; free space") from cause

        assert program.run(main) == 1
        assert capsys.readouterr().err.endswith(said)


def test_our_bugs_are_tracebacks():
    def main(_: Sequence[str] | None) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        program.run(main)


def test_an_error_is_a_line_of_bounded_length(capsys: pytest.CaptureFixture[str]):
    def main(_: Sequence[str] | None) -> None:
        raise UserError("it said " + "a\n" * 10**6 + "; see the log")

    assert program.run(main) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: it said a a")
    assert err.endswith(" a a a ; see the log\n")
    assert " ... " in err
    assert err.count("\n") == 1
    assert len(err) < 2100
