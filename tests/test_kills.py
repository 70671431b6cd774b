"""SIGKILL, SIGINT and SIGTERM at random moments: started again, every script and ``run`` ends as if never stopped.

The seed is said where a test fails, and can be given in KILL_SEED.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from conftest import ROOT, TINY_CONFIG, TINY_IMAGES, write_dataset
from test_ascend_processes import wait_until_gone

POLITE = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = "interrupted; finished files are kept, the same command resumes from them"
SEED = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1, 10**6)
_OF_TIMES = "record.json"  # ends of names of files that hold fingerprints of others' times

Command = tuple[str, list[object]]


class Launcher:
    """tests/launcher.py: one job at a time."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, ROOT / "tests/launcher.py"],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._answer() == "ready"

    def run(self, command: Command, cwd: Path, *, after: float = 0, number: int = 0) -> bool:
        """Run a command to its end, or send it signal ``number`` after so many seconds; return whether that ended it.

        SIGINT and SIGTERM must end it with their status, one line, no unfinished file and none of its processes.
        """
        module, arguments = command
        job = {"module": module, "argv": [str(a) for a in arguments], "cwd": str(cwd), "log": str(self._log)}
        self._log.unlink(missing_ok=True)  # what a killed one started may still write to the old file
        self._log.touch()
        unfinished = set(cwd.rglob(".*.part"))  # of killed runs before
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        pid = int(self._answer())
        if number:
            ended, _, _ = select.select([self._process.stdout], [], [], after)
            if not ended:
                with contextlib.suppress(ProcessLookupError):  # ended this moment
                    os.kill(pid, number)
        status = int(self._answer())
        said = self._log.read_text()
        if number in POLITE and status == 128 + number:
            assert said.splitlines()[-1] == INTERRUPTED, said
            assert said.count(INTERRUPTED) == 1, said
            assert "Traceback" not in said, said
            assert "Exception ignored" not in said, said
            assert wait_until_gone(session(pid)), said
            assert set(cwd.rglob(".*.part")) <= unfinished, said
            return True
        assert status in (0, -signal.SIGKILL), said
        return status != 0

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path / "log")
    yield launcher
    launcher.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("kills") / "coco", sizes=TINY_IMAGES * 3)


def duration(launcher: Launcher, command: Command, cwd: Path) -> float:
    """Run to the end; return the seconds it took."""
    began = time.monotonic()
    launcher.run(command, cwd)
    return time.monotonic() - began


def session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended this moment
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.append(int(stat.parent.name))
    return found


def stop_and_complete(
    launcher: Launcher, command: Command, cwd: Path, *, kills: int, seconds: float, seed: int
) -> None:
    """Kill it ``kills`` times, and as often interrupt it, at random moments of the ``seconds`` that it takes.

    One that has ended before its signal had little left to do: then signals come sooner. The next run starts at once,
    while workers of a killed one may still be ending.
    """
    rng = random.Random(f"{SEED} {seed}")
    signals = [*[signal.SIGKILL] * kills, *(POLITE[i % 2] for i in range(kills))]
    rng.shuffle(signals)
    while signals:
        if launcher.run(command, cwd, after=seconds * rng.random(), number=signals[-1]):
            signals.pop()
        else:
            seconds *= 0.7
            assert seconds > 1e-6, f"nothing ends on {signals[-1].name}"
    launcher.run(command, cwd)


def files(root: Path) -> dict[str, bytes]:
    """Every file by name; temporary ones included, so that none may be left."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith("_valid.log"))
    return {str(p.relative_to(root)): b"" if p.name.endswith(_OF_TIMES) else p.read_bytes() for p in found}


def scripts(data: Path) -> list[tuple[int, Command]]:
    """The guide's commands in its order, with how often each is killed."""
    cfg: Sequence[object] = ["--cfg", TINY_CONFIG]
    root = ["DATASET.ROOT", data]
    trees = ["--output", "prep_bin", "--output_flip", "prep_bin_flip"]
    dump_dirs = ["--dump_dir", "result/dumpOutput_device0_bs1"]
    dump_dirs += ["--dump_dir_flip", "result/dumpOutput_device0_bs1_flip"]
    return [
        (8, ("HigherHRNet_preprocess", [*trees, *cfg, *root])),
        (2, ("gen_dataset_info", ["bin", "prep_bin", "./prep_bin"])),
        (2, ("gen_dataset_info", ["bin", "prep_bin_flip", "./prep_bin_flip"])),
        (2, ("HigherHRNet_pth2onnx", ["--weights", "models/tiny.pth", *cfg])),
        (12, ("HigherHRNet_benchmark", ["--backend", "onnxruntime", *cfg])),
        (8, ("HigherHRNet_postprocess", ["--workers", 1, *dump_dirs, *cfg, *root])),
        (2, ("HigherHRNet_performance", [])),
    ]


def test_every_script_and_the_run_end_as_if_never_stopped(
    launcher: Launcher, data: Path, tiny_weights: Path, tmp_path: Path, tried: Callable[[str, int], None]
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for work in (whole, killed):
        (work / "models").mkdir(parents=True)
        shutil.copy(tiny_weights, work / "models/tiny.pth")
    print(f"KILL_SEED={SEED}")
    total = 0
    for seed, (kills, command) in enumerate(scripts(data)):
        seconds = duration(launcher, command, whole)
        stop_and_complete(launcher, command, killed, kills=kills, seconds=seconds, seed=seed)
        total += kills
    expected, found = files(whole), files(killed)
    assert found.keys() == expected.keys()
    measured = [name for name in expected if "perf_vision" in name]  # times differ
    assert [name for name in expected if name not in measured and found[name] != expected[name]] == []

    chain = ["run", "--disk_budget", "8MB", "--workers", 1, "--cfg", TINY_CONFIG, "--backend", "onnxruntime"]
    chain += ["DATASET.ROOT", data, "OUTPUT_DIR", "from_run"]
    shutil.rmtree(killed / "result")
    before = files(killed)
    seconds = duration(launcher, ("higherhrnet.__main__", [*chain, "--work", "undisturbed"]), killed)
    shutil.rmtree(killed / "from_run")
    stop_and_complete(launcher, ("higherhrnet.__main__", chain), killed, kills=16, seconds=seconds, seed=99)
    total += 16
    after = files(killed)
    made = {name: after[name] for name in after.keys() - before.keys()}
    results = "from_run/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"
    assert sorted(made) == [results, results.replace(".json", ".record.json")], "nothing else stays behind"
    assert made[results] == expected[results.replace("from_run", "output")], "the six scripts' bytes"
    tried("kill", total)
    tried("interruption", total)
