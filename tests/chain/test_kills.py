"""SIGKILL, SIGINT and SIGTERM at random moments: started again, every script, ``run`` and ``predict`` end as if never
stopped.

--seed repeats the moments.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES, write_dataset
from tests.support.launcher import POLITE, Command, Launcher
from tests.support.programs import CPU
from tests.support.videos import clip

_OF_TIMES = "record.json"  # ends of names of files that hold fingerprints of others' times


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("launcher") / "log")
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


def stop_and_complete(
    launcher: Launcher, command: Command, cwd: Path, *, kills: int, seconds: float, rng: random.Random
) -> None:
    """Kill it ``kills`` times, and as often interrupt it, at random moments of the ``seconds`` that it takes.

    One that has ended before its signal had little left to do: then signals come sooner. The next run starts at once,
    while workers of a killed one may still be ending.
    """
    signals = [*[signal.SIGKILL] * kills, *(POLITE[i % 2] for i in range(kills))]
    rng.shuffle(signals)
    while signals:
        if launcher.run(command, cwd, after=seconds * rng.random(), number=signals[-1]):
            signals.pop()
        else:
            seconds *= 0.7
            assert seconds > 1e-6, f"nothing ends on {signals[-1].name}"
    launcher.run(command, cwd)


def files(root: Path) -> dict[str, object]:
    """Every file by name; temporary ones included, so that none may be left."""
    found = {name: content for name, content in programs.files(root).items() if not name.endswith("_valid.log")}
    return {name: b"" if name.endswith(_OF_TIMES) else content for name, content in found.items()}


def scripts(data: Path) -> list[tuple[int, Command]]:
    """The guide's commands in its order, with how often each is killed."""
    cfg: Sequence[object] = ["--cfg", TINY_CONFIG]
    root = ["DATASET.ROOT", data]
    trees = ["--output", "prep_bin", "--output_flip", "prep_bin_flip"]
    dump_dirs = ["--dump_dir", "result/dumpOutput_device0_bs1"]
    dump_dirs += ["--dump_dir_flip", "result/dumpOutput_device0_bs1_flip"]
    return [
        (2, ("HigherHRNet_preprocess", [*trees, *cfg, *root])),
        (1, ("gen_dataset_info", ["bin", "prep_bin", "./prep_bin"])),
        (1, ("gen_dataset_info", ["bin", "prep_bin_flip", "./prep_bin_flip"])),
        (1, ("HigherHRNet_pth2onnx", ["--weights", "models/tiny.pth", *cfg])),
        (2, ("HigherHRNet_benchmark", [*CPU, *cfg])),
        (2, ("HigherHRNet_postprocess", ["--workers", 1, *dump_dirs, *cfg, *root])),
        (1, ("HigherHRNet_performance", [])),
    ]


def test_every_script_and_the_run_end_as_if_never_stopped(
    launcher: Launcher, data: Path, tiny_weights: Path, tmp_path: Path, seed: int
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for work in (whole, killed):
        (work / "models").mkdir(parents=True)
        shutil.copy(tiny_weights, work / "models/tiny.pth")
    rng = random.Random(seed)
    for kills, command in scripts(data):
        seconds = duration(launcher, command, whole)
        stop_and_complete(launcher, command, killed, kills=kills, seconds=seconds, rng=rng)
    expected, found = files(whole), files(killed)
    assert found.keys() == expected.keys()
    measured = [name for name in expected if "perf_vision" in name or "figures" in name]  # times differ
    assert [name for name in expected if name not in measured and found[name] != expected[name]] == []

    chain = ["run", "--disk_budget", "8MB", "--workers", 1, "--cfg", TINY_CONFIG, *CPU]
    chain += ["DATASET.ROOT", data, "OUTPUT_DIR", "from_run"]
    shutil.rmtree(killed / "result")
    before = files(killed)
    seconds = duration(launcher, ("higherhrnet.__main__", [*chain, "--work", "undisturbed"]), killed)
    shutil.rmtree(killed / "from_run")
    stop_and_complete(launcher, ("higherhrnet.__main__", chain), killed, kills=3, seconds=seconds, rng=rng)
    after = files(killed)
    made = {name: after[name] for name in after.keys() - before.keys()}
    results = "from_run/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"
    beside = [results.replace(".json", suffix) for suffix in (".pictures.json", ".record.json")]
    assert sorted(made) == sorted([results, *beside]), "nothing else stays behind"
    assert made[results] == expected[results.replace("from_run", "output")], "the six scripts' bytes"


def test_predict_ends_as_if_never_stopped(launcher: Launcher, data: Path, tiny_onnx: Path, tmp_path: Path, seed: int):
    """Pictures and a video with sound, drawn: at any moment files are whole or not there."""
    pytest.importorskip("av")
    work = tmp_path / "work"
    work.mkdir()
    clip(work / "clip.mp4", sound=True)
    network = ["--backend", "onnxruntime", "--threads", 1, "--model", tiny_onnx, "--cfg", TINY_CONFIG]
    sources = [data / "images/val2017", "clip.mp4", "--save", "json,csv,openpose,images,video", "--track"]
    command = ["predict", *sources, *network, "--output"]
    seconds = duration(launcher, ("higherhrnet.__main__", [*command, "whole"]), work)
    rng = random.Random(seed)
    stop_and_complete(launcher, ("higherhrnet.__main__", [*command, "killed"]), work, kills=3, seconds=seconds, rng=rng)
    expected, found = files(work / "whole"), files(work / "killed")
    assert found.keys() == expected.keys()
    assert {"poses.json", "poses.csv", "video/clip.mp4"} <= expected.keys()
    # In a journal rows lie in the order in which they were made, and those of killed runs are there too.
    assert [name for name in expected if name != "poses.jsonl" and found[name] != expected[name]] == []
