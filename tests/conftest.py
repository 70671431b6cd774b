"""Fixtures that several test modules share."""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from higherhrnet.cli import main as commands
from higherhrnet.cli import program
from higherhrnet.config import loader
from higherhrnet.dataset import joints

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # of the stand-ins, which run outside this project

ROOT = Path(__file__).resolve().parent.parent
TINY_CONFIG = ROOT / "tests/data/tiny.yaml"

# Sizes that reach all five of TINY_CONFIG's shapes: square, wide, tall, the longest, and one whose ends are cut off.
TINY_IMAGES = ((640, 480), (480, 640), (500, 500), (900, 450), (300, 600), (990, 300), (640, 480))


# What a command line calls a program, and where its main is.
MODULES = {
    "HigherHRNet_preprocess": "preprocess",
    "gen_dataset_info": "dataset_info",
    "HigherHRNet_pth2onnx": "pth2onnx",
    "HigherHRNet_benchmark": "benchmark",
    "HigherHRNet_postprocess": "postprocess",
    "HigherHRNet_performance": "performance",
}


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


# Under nohup our programs inherit an ignored SIGHUP, which then ends nothing.
NO_HANG_UP = pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored here")

TRIED = pytest.StashKey[Counter[str]]()
KINDS = "input", "fault", "kill", "interruption", "fuzz execution"  # hostile or damaged inputs, faults injected


def pytest_configure(config: pytest.Config) -> None:
    """Begin the count of what the suite tries."""
    config.addinivalue_line("markers", "tries(kind): the test tries one thing of a kind; others call the fixture tried")
    config.stash[TRIED] = Counter()
    # A shell ignores Ctrl-C for what it runs in the background, and our programs then do as well.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Count a test that is marked with what it tries, unless it skips itself."""
    yield
    for mark in item.iter_markers("tries"):
        _count(item.config, mark.args[0], 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was tried."""
    count = config.stash[TRIED]
    if count:
        terminalreporter.write_line("tried: " + ", ".join(f"{count[kind]:,} {kind}s" for kind in KINDS))


def _count(config: pytest.Config, kind: str, times: int) -> None:
    assert kind in KINDS
    config.stash[TRIED][kind] += times


@pytest.fixture
def tried(pytestconfig: pytest.Config) -> Callable[[str, int], None]:
    """Count what a test tries: ``tried("kill", 52)``. The suite says the sums at its end."""
    return functools.partial(_count, pytestconfig)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden data and COCO images beside the repository; tests that need it skip where it is absent."""
    path = ROOT.parent / "shared"
    if not (path / "golden").is_dir():
        pytest.skip(f"needs the golden data in {path}")
    return path


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call a top-level script in this process as the command line would: ``script("gen_dataset_info", "bin", ...)``."""

    def call(name: str, *args: object) -> Outcome:
        capsys.readouterr()
        status = program.run(main_of(name), [str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def command() -> Callable[..., Outcome]:
    """Run a top-level script as a process of its own: ``command("gen_dataset_info.py", "bin", ..., cwd=directory)``."""

    def call(name: str, *args: object, cwd: Path, env: dict[str, str] | None = None) -> Outcome:
        done = subprocess.run(
            [sys.executable, str(ROOT / name), *map(str, args)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


def write_dataset(root: Path, sizes: tuple[tuple[int, int], ...] = TINY_IMAGES, seed: int = 0) -> Path:
    """Write images of (width, height) in ``sizes``, with one annotated person each, in COCO layout; return ``root``."""
    rng = np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True)
    (root / "images/val2017").mkdir(parents=True)
    images, annotations = [], []
    for index, (width, height) in enumerate(sizes):
        image_id = 1000 + 7 * index  # ids are not indices
        noise = rng.integers(0, 256, (height // 20, width // 20, 3), np.uint8)
        pixels = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        file_name = f"{image_id:012d}.jpg"
        cv2.imwrite(str(root / "images/val2017" / file_name), pixels)
        images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        x = rng.uniform(0.3, 0.7, 17) * width
        y = rng.uniform(0.2, 0.8, 17) * height
        box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
        annotations.append(
            {
                "id": index + 1,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": 17,
                "keypoints": np.stack((x.round(), y.round(), np.full(17, 2)), axis=1).ravel().tolist(),
                "bbox": [float(v) for v in box],
                "area": float(box[2] * box[3]),
                "segmentation": [],
            }
        )
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": joints.NAMES, "skeleton": []}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (root / "annotations/person_keypoints_val2017.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of seven small images in COCO layout; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded checkpoint of TINY_CONFIG's network whose heatmaps have peaks above the detection threshold."""
    import torch  # noqa: PLC0415

    from higherhrnet.model import architecture, network  # noqa: PLC0415

    config = loader.load(TINY_CONFIG)
    torch.manual_seed(0)
    net = network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads))
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tiny_onnx(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of ``tiny_weights`` at batch size 1."""
    path = tmp_path_factory.mktemp("models") / "tiny_bs1_dynamic.onnx"
    main_of("HigherHRNet_pth2onnx")(["--weights", str(tiny_weights), "--cfg", str(TINY_CONFIG), "--output", str(path)])
    return path


@pytest.fixture(scope="session")
def tiny_inputs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the inputs of ``tiny_data`` in ``bins`` and ``bins_flip`` and their lists; not to be changed."""
    work = tmp_path_factory.mktemp("inputs")
    preprocess, info = main_of("HigherHRNet_preprocess"), main_of("gen_dataset_info")
    trees = work / "bins", work / "bins_flip"
    where = ["--output", str(trees[0]), "--output_flip", str(trees[1])]
    preprocess([*where, "--workers", "1", "--cfg", str(TINY_CONFIG), "DATASET.ROOT", str(tiny_data)])
    info(["bin", str(trees[0]), str(work / "prep_bin")])
    info(["bin", str(trees[1]), str(work / "prep_bin_flip")])
    return work


@pytest.fixture(scope="session")
def tiny_results(
    tiny_data: Path, tiny_inputs: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The results file that the six scripts write of ``tiny_data``: what every other way must give."""
    work = tmp_path_factory.mktemp("six_scripts")
    benchmark, postprocess = main_of("HigherHRNet_benchmark"), main_of("HigherHRNet_postprocess")
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    benchmark([*lists, "--backend", "onnxruntime", "--model", str(tiny_onnx), "--result", str(work)])
    dumps = [str(work / f"dumpOutput_device0_bs1{flip}") for flip in ("", "_flip")]
    where = ["--dump_dir", dumps[0], "--dump_dir_flip", dumps[1], "--workers", "1", "--cfg", str(TINY_CONFIG)]
    postprocess([*where, "DATASET.ROOT", str(tiny_data), "OUTPUT_DIR", str(work)])
    (results,) = work.rglob("keypoints_val2017_results.json")
    return results.read_bytes()
