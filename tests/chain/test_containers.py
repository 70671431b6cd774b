"""What containers are like: no rights, no home, little shared memory, low limits, libraries that clash.

The programs run, or end in one line that names the cause.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.datasets import ROOT, TINY_CONFIG, TINY_RESULTS, write_dataset
from tests.support.programs import CPU, Outcome, error

NOBODY = 65534
USER = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    # They let it read what root installed, where that is for root alone, and write nothing.
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def possible(*before: str) -> tuple[str, ...]:
    """A command that starts others; skips the test where this machine does not allow it."""
    if not shutil.which(before[0]) or subprocess.run([*before, "true"], check=False, capture_output=True).returncode:
        pytest.skip(f"needs {' '.join(before)}")
    return before


def with_shm(mount: str) -> tuple[str, ...]:
    unshare = ("unshare", "--mount", *(() if os.getuid() == 0 else ("--map-root-user",)))
    return possible(*unshare, "sh", "-c", f'{mount} && "$@"', "sh")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("containers") / "coco", ((160, 128), (128, 160)))


@pytest.fixture
def place(data: Path, tiny_onnx: Path, tmp_path: Path) -> Path:
    """A current folder that anybody may write, with data and a model that anybody may read."""
    folder = tmp_path / "place"
    shutil.copytree(data, folder / "data")
    shutil.copy(tiny_onnx, folder)
    folder.chmod(0o777)
    return folder


def start(
    name: str, place: Path, *more: object, before: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Outcome:
    """``run`` or preprocessing in ``place``; without a home, and with one thread of each library."""
    commands = {
        "run": ("-m", "higherhrnet", "run", *CPU, "--workers", 1, "--model", "tiny_bs1_dynamic.onnx"),
        "preprocess": (ROOT / "HigherHRNet_preprocess.py", "--output", "bins", "--output_flip", "flip"),
    }
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    done = subprocess.run(
        [
            *before,
            sys.executable,
            *map(str, (*commands[name], *more, "--cfg", TINY_CONFIG, "DATASET.ROOT", "data")),
        ],
        cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **threads, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def reachable(path: Path) -> None:
    """Let others into the folders of the tests, which pytest makes for their owner alone."""
    for folder in path.parents:
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)


def test_a_user_without_rights_and_home(place: Path):
    """The kernels that lie beside the sources are read, and no folder called ~ is made."""
    before = possible(*USER)
    reachable(place / "data")
    outcome = start("run", place, before=before, env={"HOME": "/nonexistent"})
    assert outcome.status == 0, outcome
    assert "compiling" not in outcome.out
    assert (place / TINY_RESULTS).is_file()
    assert sorted(path.name for path in place.iterdir()) == ["data", "output", "tiny_bs1_dynamic.onnx"]


@pytest.mark.parametrize("limit", [3, 12])
def test_few_processes(place: Path, limit: int):
    before = (*possible(*USER), *possible("prlimit", f"--nproc={limit}"))
    reachable(place / "data")
    said = error(start("preprocess", place, "--workers", 8, before=before))
    assert f"the limit of processes and threads (ulimit -u) is {limit}" in said


@pytest.mark.parametrize("limit", [12, 20])
def test_few_open_files(place: Path, limit: int):
    said = error(start("preprocess", place, "--workers", 2, before=possible("prlimit", f"--nofile={limit}")))
    assert "the limit of open files (ulimit -n) is too low here" in said


@pytest.mark.parametrize("megabytes", [450, 4000])
def test_little_memory(place: Path, megabytes: int):
    outcome = start("run", place, before=possible("prlimit", f"--as={megabytes * 10**6}"))
    if outcome.status == 0:
        assert (place / TINY_RESULTS).is_file()
        assert megabytes == 4000
        return
    said = outcome.err.splitlines()[-1]
    assert said.startswith("error: ")
    assert "memory" in said
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("mount", ["size=64k", "ro"])
def test_little_shared_memory(place: Path, mount: str):
    before = with_shm(f"mount -t tmpfs -o {mount} tmpfs /dev/shm")
    outcome = start("preprocess", place, "--workers", 2, before=before)
    assert outcome.status == 0, outcome
    assert "2 images in bins and flip" in outcome.out
    note = "note: no worker processes (Read-only file system, of /dev/shm): one does it all, more slowly"
    assert (note in outcome.out) == (mount == "ro")


def test_a_vendor_s_libraries_that_clash(place: Path):
    (place / "lib").mkdir()
    (place / "lib/libstdc++.so.6").write_text("of another release")
    for command in ("preprocess", "run"):
        outcome = start(command, place, env={"LD_LIBRARY_PATH": str(place / "lib")})
        said = error(outcome)
        assert "package numpy is installed but does not load" in said
        assert "libstdc++.so.6: file too short); check LD_LIBRARY_PATH and what set_env.sh put on it" in said
        assert outcome.out == ""


def test_a_variable_that_turns_compilation_off(place: Path):
    said = error(start("run", place, env={"NUMBA_DISABLE_JIT": "1"}))
    assert "NUMBA_DISABLE_JIT is set" in said


def test_this_process_has_no_low_limits():
    """Else the tests above would show nothing."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 256
