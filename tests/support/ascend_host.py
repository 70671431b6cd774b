"""A host with the stand-ins of Ascend's tools, a small network and a small data set, for the tests of that path.

Everything is at DATASET.INPUT_SIZE 128, five shapes, so that a whole run takes seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.backends.ascend import cann_benchmark, convert
from higherhrnet.image import geometry
from tests.support.datasets import ROOT, TINY_CONFIG, write_dataset
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, call, main_of

STAND_INS = Path(__file__).resolve().parent / "stand_ins"
SIZE = ("DATASET.INPUT_SIZE", "128")
# Three of one shape, so that batches and devices have something to share.
IMAGES = ((160, 120), (120, 160), (128, 128), (260, 130), (130, 260), (161, 121), (162, 122), (131, 131))
SHAPES = ["128x128", "128x192", "128x256", "192x128", "256x128"]


def search_path() -> str:
    """PATH with the stand-ins, and with this Python, which runs them."""
    return os.pathsep.join([str(STAND_INS), str(Path(sys.executable).parent), os.environ["PATH"]])


def install(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Put the benchmark tool into a folder, and its fellows on the PATH of programs to be started."""
    patch.setenv("PATH", search_path())
    patch.setenv("STAND_IN_HOME", str(STAND_INS))
    return Path(shutil.copy(STAND_INS / "benchmark", folder / cann_benchmark.file_name()))


@dataclass
class Host:
    """The current folder of a user: stand-ins on PATH, inputs listed, a model in models/."""

    directory: Path
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    calls_file: Path = field(init=False)

    def __post_init__(self) -> None:
        """Set up the environment that the tools are found in."""
        self.calls_file = self.directory / "calls.jsonl"
        self.patch.chdir(self.directory)
        self.patch.syspath_prepend(str(STAND_INS))
        for key, value in self.environment().items():
            self.patch.setenv(key, value)

    def environment(self) -> dict[str, str]:
        """What a process needs to find the stand-ins."""
        return {
            "PATH": search_path(),
            "PYTHONPATH": str(STAND_INS),
            "STAND_IN_HOME": str(STAND_INS),
            "STAND_IN_CALLS": str(self.calls_file),
        }

    def install_benchmark(self) -> Path:
        """Put the benchmark tool into the current folder."""
        return install(self.directory, self.patch)

    def only(self, *shapes: str) -> None:
        """Leave the lists of these shapes only, so that few programs run."""
        for file in self.directory.glob("prep_bin*_*x*.info"):
            if file.stem.rpartition("_")[2] not in shapes:
                file.unlink()

    @property
    def result(self) -> Path:
        """Where the benchmark stage leaves its results."""
        return self.directory / "result"

    def same_as(self, expected: Path) -> None:
        """Assert that all dumps there are ``expected``'s, byte for byte, and that there are some."""
        for name in (PLAIN, FLIP):
            made, wanted = dump_bytes(self.result / name), dump_bytes(expected / name)
            assert made
            assert made == {file: content for file, content in wanted.items() if file in made}

    def benchmark(self, *args: object) -> Outcome:
        """Call HigherHRNet_benchmark.py as the command line would."""
        return self.script("HigherHRNet_benchmark", "--cfg", TINY_CONFIG, *args, *SIZE)

    def hanging(self, fault: str, *args: str, pids: int) -> subprocess.Popen[str]:
        """HigherHRNet_benchmark.py as a program of its own, with its stderr piped.

        It waits for stand-ins, with the STAND_IN_FAULT ``fault``, that have written that many ``pids``.
        """
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "HigherHRNet_benchmark.py"), "--cfg", str(TINY_CONFIG), *args, *SIZE],
            cwd=self.directory,
            env={**os.environ, "STAND_IN_FAULT": fault, "STAND_IN_PIDS": str(self.directory / "pids")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while len(self.pids) < pids and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(self.pids) >= pids, "the stand-ins did not start"
        return process

    @property
    def pids(self) -> list[int]:
        """Of the stand-ins that ``hanging`` waits for, and of their children."""
        file = self.directory / "pids"
        return [int(pid) for pid in file.read_text().split()] if file.exists() else []

    def script(self, name: str, *args: object) -> Outcome:
        """Call a top-level script."""
        return call(name, args, self.capture)

    def calls(self, program: str = "") -> list[list[str]]:
        """The arguments of the stand-ins' calls so far, of one program or all."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        argvs = [json.loads(line)["argv"] for line in lines]
        return [argv for argv in argvs if argv[0].startswith(program)]

    def forget_calls(self) -> None:
        """Count from here."""
        self.calls_file.unlink(missing_ok=True)


def dump_bytes(directory: Path) -> dict[str, bytes]:
    """All dumps of a directory by name."""
    return {file.name: file.read_bytes() for file in sorted(directory.glob("*.bin"))}


def prepare(work: Path, *more: str) -> None:
    """Make a data set and its lists prep_bin, prep_bin_flip in ``work``."""
    data = write_dataset(work / "data/coco", IMAGES)
    preprocess, info = main_of("HigherHRNet_preprocess"), main_of("gen_dataset_info")
    trees = str(work / "bins"), str(work / "bins_flip")
    where = ["--output", trees[0], "--output_flip", trees[1], "--workers", "1"]
    preprocess([*where, *more, "DATASET.ROOT", str(data), *SIZE])
    for tree, name in zip(trees, ("prep_bin", "prep_bin_flip"), strict=True):
        info(["bin", tree, str(work / name)])


@pytest.fixture(scope="session")
def small_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/coco, input trees and lists; not to be changed."""
    work = tmp_path_factory.mktemp("small")
    prepare(work)
    return work


@pytest.fixture(scope="session")
def small_models(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder models/ with the .onnx, the .om that the stand-in of ATC makes of it, and its record."""
    folder = tmp_path_factory.mktemp("converted") / "models"
    folder.mkdir()
    onnx = folder / "tiny_bs1_dynamic.onnx"
    shutil.copy(tiny_onnx, onnx)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", search_path())
        shapes = tuple(geometry.shape_grid(128))
        convert.run(convert.Request(onnx, 1, shapes, Heads(17, 17), soc_version="310P3"), why="a test")
    return folder


@pytest.fixture
def bare_host(
    small_inputs: Path,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Host:
    """A host with lists and an .onnx, but neither an .om nor the benchmark tool."""
    for file in small_inputs.glob("*.info"):
        shutil.copy(file, tmp_path)
    (tmp_path / "models").mkdir()
    shutil.copy(tiny_onnx, tmp_path / "models/tiny_bs1_dynamic.onnx")
    return Host(tmp_path, monkeypatch, capsys)


@pytest.fixture
def host(bare_host: Host, small_models: Path) -> Host:
    """A host that has the .om and the benchmark tool too."""
    shutil.rmtree(bare_host.directory / "models")
    shutil.copytree(small_models, bare_host.directory / "models")
    bare_host.install_benchmark()
    return bare_host


@pytest.fixture(scope="session")
def expected(small_inputs: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result directory of the onnxruntime backend over ``small_inputs``; not to be changed."""
    result = tmp_path_factory.mktemp("expected")
    lists = ["--info", str(small_inputs / "prep_bin"), "--info_flip", str(small_inputs / "prep_bin_flip")]
    main = main_of("HigherHRNet_benchmark")
    model = [*CPU, "--model", str(tiny_onnx), "--cfg", str(TINY_CONFIG)]
    main([*lists, *model, "--result", str(result), *SIZE])
    return result
