"""SIGKILL at random moments: started again, every script and ``run`` ends with the bytes of one that was never killed.

The seed is printed and can be given in KILL_SEED.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import ROOT, TINY_CONFIG, TINY_IMAGES, write_dataset

LEAST = 50  # kills
SEED = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1, 10**6)
_OF_TIMES = "record.json"  # ends of names of files that hold fingerprints of others' times

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough images that work takes longer than starting."""
    return write_dataset(tmp_path_factory.mktemp("kills") / "coco", sizes=TINY_IMAGES * 5)


def start(arguments: Sequence[object], cwd: Path) -> subprocess.Popen:
    with (cwd.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(arguments: Sequence[object], cwd: Path) -> float:
    """Run to the end; return the seconds it took."""
    began = time.monotonic()
    assert start(arguments, cwd).wait(300) == 0, (cwd.parent / "log").read_text()
    return time.monotonic() - began


def kill_and_complete(arguments: Sequence[object], cwd: Path, *, kills: int, seconds: float, seed: int) -> int:
    """Kill it ``kills`` times, then let it end; return the kills.

    A run takes ``seconds`` undisturbed, of which the first third is mostly imports. One that has ended before its kill
    is started once more. The next run starts at once, while workers of the killed one may still be ending.
    """
    rng = random.Random(f"{SEED} {seed}")
    done = 0
    while done < kills:
        process = start(arguments, cwd)
        try:
            assert process.wait(seconds * rng.uniform(0.3, 1.0)) == 0, (cwd.parent / "log").read_text()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
    finish(arguments, cwd)
    return done


def files(root: Path) -> Files:
    """Every file by name; temporary ones included, so that none may be left."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith("_valid.log"))
    return {str(p.relative_to(root)): b"" if p.name.endswith(_OF_TIMES) else p.read_bytes() for p in found}


def scripts(data: Path, weights: Path) -> list[tuple[int, list[object]]]:
    """The guide's commands in its order, with how often each is killed."""
    cfg = ["--cfg", TINY_CONFIG]
    root = ["DATASET.ROOT", data]
    dump_dirs = ["--dump_dir", "result/dumpOutput_device0_bs1"]
    dump_dirs += ["--dump_dir_flip", "result/dumpOutput_device0_bs1_flip"]
    trees = ["--output", "prep_bin", "--output_flip", "prep_bin_flip"]
    return [
        (8, [ROOT / "HigherHRNet_preprocess.py", *trees, *cfg, *root]),
        (3, [ROOT / "gen_dataset_info.py", "bin", "prep_bin", "./prep_bin"]),
        (2, [ROOT / "gen_dataset_info.py", "bin", "prep_bin_flip", "./prep_bin_flip"]),
        (3, [ROOT / "HigherHRNet_pth2onnx.py", "--weights", weights, *cfg]),
        (12, [ROOT / "HigherHRNet_benchmark.py", "--backend", "onnxruntime", *cfg]),
        (8, [ROOT / "HigherHRNet_postprocess.py", *dump_dirs, *cfg, *root]),
        (2, [ROOT / "HigherHRNet_performance.py"]),
    ]


def test_every_script_and_the_run_end_as_if_never_killed(
    data: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    durations = []
    for work in (whole, killed):
        work.mkdir()
        (work / "models").mkdir()
        shutil.copy(tiny_weights, work / "models/tiny.pth")
    commands = scripts(data, Path("models/tiny.pth"))
    for _, arguments in commands:
        durations.append(finish(arguments, whole))
    kills = 0
    for number, ((wanted, arguments), seconds) in enumerate(zip(commands, durations, strict=True)):
        kills += kill_and_complete(arguments, killed, kills=wanted, seconds=seconds, seed=number)
    figures = [name for name in files(whole) if "perf_vision" in name]  # measured: times differ
    expected, found = files(whole), files(killed)
    assert found.keys() == expected.keys()
    assert [name for name in expected if name not in figures and found[name] != expected[name]] == []

    # The whole chain in one command.
    run = ["-m", "higherhrnet", "run", "--disk_budget", "12MB", "--cfg", TINY_CONFIG, "--backend", "onnxruntime"]
    run += ["DATASET.ROOT", data, "OUTPUT_DIR", "from_run"]
    shutil.rmtree(killed / "result")
    before = files(killed)
    seconds = finish([*run, "--work", "undisturbed"], killed)
    shutil.rmtree(killed / "from_run")
    kills += kill_and_complete(run, killed, kills=14, seconds=seconds, seed=99)
    after = files(killed)
    made = {name: after[name] for name in after.keys() - before.keys()}
    results = "from_run/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"
    assert sorted(made) == [results, results.replace(".json", ".record.json")], "nothing else stays behind"
    assert made[results] == expected[results.replace("from_run", "output")], "the six scripts' bytes"
    with capsys.disabled():
        print(f"\n{kills} SIGKILLs, KILL_SEED={SEED}")
    assert kills >= LEAST
