"""Our programs by the names that a command line gives them, how they ended, and what they left."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from higherhrnet.artifacts import inputs
from higherhrnet.artifacts.journal import pictures_of
from higherhrnet.cli import main as commands
from higherhrnet.cli import program

PLAIN, FLIP = "dumpOutput_device0_bs1", "dumpOutput_device0_bs1_flip"
"""The folders of dumps that the benchmark stage leaves, of both passes."""

CPU = ("--backend", "onnxruntime", "--threads", "1")
"""Flags of the network on one core: a second thread would wait for the first one busily."""

NO_HANG_UP = pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored here")
"""Under nohup our programs inherit an ignored SIGHUP, which then ends nothing."""

MODULES = {
    "HigherHRNet_preprocess": "preprocess",
    "gen_dataset_info": "dataset_info",
    "HigherHRNet_pth2onnx": "pth2onnx",
    "HigherHRNet_benchmark": "benchmark",
    "HigherHRNet_postprocess": "postprocess",
    "HigherHRNet_performance": "performance",
}
"""What a command line calls a program, and where in higherhrnet.cli its main is."""


def through_files(patch: pytest.MonkeyPatch) -> None:
    """Let ``run`` work in chunks on disk with every backend, as it does with programs of others."""
    patch.setattr("higherhrnet.cli.run.InProcess", type("Nothing", (), {}))


def main_of(name: str) -> Callable[[Sequence[str] | None], None]:
    """The main of a top-level script, or of ``python3 -m higherhrnet`` for higherhrnet.__main__."""
    if name == "higherhrnet.__main__":
        return commands._dispatch
    return importlib.import_module(f"higherhrnet.cli.{MODULES[name]}").main


@dataclass(frozen=True)
class Outcome:
    """How a script ended and what it said."""

    status: int
    out: str
    err: str


def call(name: str, arguments: Sequence[object], capture: pytest.CaptureFixture[str]) -> Outcome:
    """Call a program in this process as the command line would.

    Without --workers it is given one: to start another process takes longer than what a test has to do. Tests of
    several name their number, or start the program itself.
    """
    given = [str(argument) for argument in arguments]
    if "--workers" not in given and "--dask" not in given:
        if name in {"HigherHRNet_preprocess", "HigherHRNet_postprocess"}:
            given = ["--workers", "1", *given]
        elif given[:1] == ["run"]:
            given[1:1] = ["--workers", "1"]
    capture.readouterr()
    status = program.run(main_of(name), given)
    captured = capture.readouterr()
    return Outcome(status, captured.out, captured.err)


def error(outcome: Outcome) -> str:
    """The one line of a refused run."""
    assert outcome.status == 1, outcome
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n"), outcome.err
    return outcome.err


def files(root: Path) -> dict[str, object]:
    """Every file below a directory with its content; of a table of pictures the hashes, not which file was read."""

    def content(path: Path) -> object:
        if path.name != inputs.PICTURES:
            return path.read_bytes()
        return {index: picture.sha256 for index, picture in pictures_of(path).items()}

    return {str(p.relative_to(root)): content(p) for p in sorted(root.rglob("*")) if p.is_file()}
