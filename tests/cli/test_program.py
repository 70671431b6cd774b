"""How every command ends: signals, errors, what the machine lacks."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence

import pytest

from higherhrnet.cli import program
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
    ],
)
def test_what_the_machine_lacks_is_one_line(error: Exception, said: str, capsys: pytest.CaptureFixture[str]):
    def main(_: Sequence[str] | None) -> None:
        raise error

    assert program.run(main) == 1
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_our_bugs_are_tracebacks():
    def main(_: Sequence[str] | None) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        program.run(main)
