"""Signals and standard streams, as terminals, shells and job schedulers treat them."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from higherhrnet.cli import terminal
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.launcher import INTERRUPTED
from tests.support.processes import session, wait_until_gone
from tests.support.programs import NO_HANG_UP

pytestmark = pytest.mark.slow

HANG_UP = pytest.param(signal.SIGHUP, marks=NO_HANG_UP)
PROGRAMS = [*sorted([path.name] for path in ROOT.glob("*.py")), ["-m", "higherhrnet", "run"]]
ARGUMENTS = {
    "gen_dataset_info.py": ["bin", "missing", "list"],
    "HigherHRNet_pth2onnx.py": ["--weights", "missing"],
    "HigherHRNet_postprocess.py": ["--dump_dir", "missing", "--dump_dir_flip", "missing"],
}


def start(program: Sequence[object], cwd: Path, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A program of its own session, as a terminal starts it, that answers signals already."""
    first, *others = map(str, program)
    process = subprocess.Popen(
        [*before, sys.executable, *([str(ROOT / first)] if first.endswith(".py") else [first]), *others],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not answers(process.pid):
        time.sleep(0.002)
    return process


def answers(pid: int) -> bool:
    """Whether a process has a handler for every signal that it does not ignore."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    seen = int(fields["SigCgt"], 16) | int(fields["SigIgn"], 16)
    return all(seen >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, HANG_UP])
def test_signals_while_libraries_are_imported(number: signal.Signals, tmp_path: Path):
    rng = random.Random(number)
    interrupted = 0
    for words in PROGRAMS:
        process = start([*words, *ARGUMENTS.get(words[0], [])], tmp_path)
        time.sleep(rng.uniform(0, 0.15))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        if process.returncode in (1, 2):  # it had come as far as to find that nothing is there
            assert err.startswith(("error: ", "usage: ")), err
            assert "Traceback" not in err
        else:
            assert (process.returncode, out, err) == (128 + number, "", INTERRUPTED + "\n"), words
            interrupted += 1
    assert interrupted > len(PROGRAMS) / 2


def test_ctrl_c_in_a_terminal_goes_to_workers_too(tiny_data: Path, tmp_path: Path):
    """The terminal sends it to the whole group, workers that are just being started among them."""
    program = ["HigherHRNet_preprocess.py", "--workers", 2, "--output", "a", "--output_flip", "b"]
    program += ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data]
    rng = random.Random(7)
    interrupted = 0
    for _ in range(5):
        process = start(program, tmp_path)
        time.sleep(rng.uniform(0.2, 1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        # At its very end, all done, Python answers no signal any more: the system ends it, for a shell also with 130.
        assert (process.returncode, err) in ((0, ""), (130, INTERRUPTED + "\n"), (-signal.SIGINT, ""))
        assert wait_until_gone(session(process.pid))
        interrupted += process.returncode == 130
    assert interrupted
    process = start(program, tmp_path)
    assert process.communicate(timeout=60)[0].startswith("7 images in a and b")
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".part")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_was_ignored_stays_ignored(number: signal.Signals, tiny_data: Path, tmp_path: Path):
    """As nohup does with SIGHUP, and a shell with SIGINT for what it runs in the background."""
    program = ["HigherHRNet_preprocess.py", "--workers", 2, "--output", "a", "--output_flip", "b"]
    program += ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data]
    process = start(program, tmp_path, ["sh", "-c", f'trap "" {number.name[3:]}; exec "$@"', "sh"])
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.01)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("7 images in a and b")


@pytest.mark.parametrize("error", ["UserError('disk full')", "ValueError('ours')"])
@pytest.mark.parametrize("redirection", ["> /dev/full", "| head -c 1"])
def test_an_error_is_said_whatever_became_of_standard_output(tmp_path: Path, error: str, redirection: str):
    """What the program had printed cannot be written when it ends; why it ends matters more."""
    code = f"""
import sys
from higherhrnet.cli import program, terminal
from higherhrnet.errors import UserError
def main(_):
    print("x" * 100)
    raise {error}
terminal.prepare()
sys.exit(program.run(main))
"""
    shell = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] in ("error: disk full", "ValueError: ours")
    assert "standard output" not in done.stderr


FULL = "error: cannot write standard output: No space left on device; free space, or send it elsewhere\n"


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    ("redirection", "arguments", "status", "out", "err"),
    [
        (">/dev/full", ["bin", "{bins}", "list"], 1, "", FULL),
        (">/dev/full", ["--help"], 1, "", FULL),
        (">/dev/full 2>/dev/full", ["--help"], 1, "", ""),
        ("2>/dev/full", ["bin", "{bins}", "list"], 0, "list.info and 5 lists by shape\n", ""),
        ("2>/dev/full", ["bin", "missing", "list"], 1, "", ""),
        ("2>/dev/full", ["--no_such_flag"], 2, "", ""),
        (">&-", ["bin", "{bins}", "list"], 0, "", ""),
        ("2>&-", ["bin", "missing", "list"], 1, "", ""),
        ("<&- >&- 2>&-", ["bin", "{bins}", "list"], 0, "", ""),
        ("<&- >&- 2>&-", ["--no_such_flag"], 2, "", ""),
    ],
)
def test_streams_that_cannot_be_written(
    tiny_inputs: Path,
    tmp_path: Path,
    buffered: str,
    redirection: str,
    arguments: list[str],
    status: int,
    out: str,
    err: str,
):
    """Full, or closed: the status is what it would be, but for a standard output that somebody waits for."""
    filled = [argument.format(bins=tiny_inputs / "bins") for argument in arguments]
    program = [sys.executable, str(ROOT / "gen_dataset_info.py"), *filled]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_nothing_a_library_prints_goes_into_a_file_of_ours(tiny_data: Path, tiny_inputs: Path, tmp_path: Path):
    """A file opened while 1 or 2 is closed would take that number."""
    program = [ROOT / "HigherHRNet_preprocess.py", "--output", "bins", "--output_flip", "bins_flip"]
    program += ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data]
    shell = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, *map(str, program)]
    subprocess.run(shell, cwd=tmp_path, check=True)
    expected = {path.relative_to(tiny_inputs): path.read_bytes() for path in tiny_inputs.rglob("bins*/*/*.bin")}
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.bin")} == expected


def test_what_a_terminal_would_obey_is_shown():
    """A file's name may hold it, and what another program prints. Bars need their carriage return."""
    raw = io.BytesIO()
    stream = terminal._Checked(raw, "utf-8", write_through=True)
    text = "\x1b]0;title\x07\x9b31m 值\t\r\n"
    assert stream.write(text) == len(text)
    assert raw.getvalue().decode() == "\\x1b]0;title\\x07\\x9b31m 值\t\r\n"
