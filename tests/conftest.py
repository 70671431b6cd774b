"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from higherhrnet.system import workers
from tests.support.ascend_host import bare_host, expected, host, small_inputs, small_models  # noqa: F401
from tests.support.datasets import DEMO_CONFIG, DEMO_WEIGHTS, ROOT, TINY_CONFIG, write_dataset
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, call, main_of
from tests.support.shared import once

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # of the stand-ins, which run outside this project
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads wait busily, on cores that other tests need
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each program that a test starts would compile all modules again

# A busy machine makes neither a test nor the drawing of its data wrong.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("busy")

SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --seed."""
    parser.addoption("--seed", type=int, help="of the tests that draw at random; a new one without it")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, and answer Ctrl-C."""
    chosen = config.getoption("--seed")
    config.stash[SEED] = random.SystemRandom().randrange(1, 10**6) if chosen is None else chosen
    # A shell ignores Ctrl-C for what it runs in the background, and our programs then do as well.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to repeat what is drawn at random."""
    return f"random tests: --seed {config.stash[SEED]}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What a test that draws at random starts from: the session's --seed, which stands in the report's header too."""
    value = request.config.stash[SEED]
    print(f"repeat with --seed {value}")
    return value


@pytest.fixture(scope="session")
def coco_mini() -> Path:
    """79 annotated images of COCO val2017, beside the repository; tests that need them skip where they are not."""
    path = ROOT.parent / "shared/data/coco_mini"
    if not path.is_dir():
        pytest.skip(f"needs the images in {path}")
    return path


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    """Programs that are called in this process start workers where --workers says so: each imports for a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "cores", lambda: 1)
        yield


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their charts, whose drawing takes most of a page's time; test_writer.py and test_page.py draw."""
    from markupsafe import Markup  # noqa: PLC0415

    from higherhrnet.report.page import svg  # noqa: PLC0415

    monkeypatch.setattr(svg, "draw", lambda *_: Markup(""))


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call a top-level script in this process as the command line would: ``script("gen_dataset_info", "bin", ...)``."""
    return lambda name, *arguments: call(name, arguments, capsys)


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


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of seven small images in COCO layout; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded checkpoint of TINY_CONFIG's network whose heatmaps have peaks above the detection threshold."""

    def make(path: Path) -> None:
        import torch  # noqa: PLC0415

        from tests.support.networks import build  # noqa: PLC0415

        torch.save(build(TINY_CONFIG).state_dict(), path)

    return once(tmp_path_factory, "tiny.pth", make)


@pytest.fixture(scope="session")
def tiny_onnx(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of ``tiny_weights`` at batch size 1."""
    return _exported(tmp_path_factory, "tiny_bs1_dynamic.onnx", tiny_weights, TINY_CONFIG)


@pytest.fixture(scope="session")
def demo_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the demonstration's network at batch size 1."""
    return _exported(tmp_path_factory, "w16_512_bs1_dynamic.onnx", DEMO_WEIGHTS, DEMO_CONFIG)


@pytest.fixture(scope="session")
def demo_onnx_of_any_batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the demonstration's network with a dynamic batch size."""
    return _exported(tmp_path_factory, "w16_512_bs-1_dynamic.onnx", DEMO_WEIGHTS, DEMO_CONFIG, "--bs", "-1")


@pytest.fixture(scope="session")
def tiny_onnx_of_any_batch(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of ``tiny_weights`` with a dynamic batch size."""
    return _exported(tmp_path_factory, "tiny_bs-1_dynamic.onnx", tiny_weights, TINY_CONFIG, "--bs", "-1")


def _exported(factory: pytest.TempPathFactory, name: str, weights: Path, config: Path, *more: str) -> Path:
    def make(path: Path) -> None:
        named = ("--weights", str(weights), "--cfg", str(config), "--output", str(path))
        main_of("HigherHRNet_pth2onnx")([*named, *more])

    return once(factory, name, make)


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
def tiny_result(tiny_inputs: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark stage's result directory, of all of ``tiny_data``; not to be changed."""
    result = tmp_path_factory.mktemp("result")
    arguments = ["--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip"]
    arguments += [*CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG, "--result", result]
    main_of("HigherHRNet_benchmark")([str(argument) for argument in arguments])
    return result


@pytest.fixture(scope="session")
def tiny_results(tiny_data: Path, tiny_result: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The results file that the six scripts write of ``tiny_data``: what every other way must give."""
    work = tmp_path_factory.mktemp("six_scripts")
    where = ["--dump_dir", tiny_result / PLAIN, "--dump_dir_flip", tiny_result / FLIP, "--workers", 1]
    where += ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data, "OUTPUT_DIR", work]
    main_of("HigherHRNet_postprocess")([str(argument) for argument in where])
    (results,) = work.rglob("keypoints_val2017_results.json")
    return results.read_bytes()
