"""``run --dask``: chunks on the workers of a Dask scheduler."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.datasets import ROOT, TINY_CONFIG, TINY_RESULTS
from tests.support.programs import CPU, Outcome, error

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed")

Script = Callable[..., Outcome]


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Two worker processes of one thread, which can import the package."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=40) as cluster:
            yield cluster
    finally:
        os.environ.pop("PYTHONPATH")
        if path is not None:
            os.environ["PYTHONPATH"] = path


@pytest.fixture
def run(script: Script, tiny_data: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.chdir(tmp_path)

    def call(address: str, *more: object, model: Path = tiny_onnx) -> Outcome:
        where = ("--cfg", TINY_CONFIG, "--model", model, *CPU, "DATASET.ROOT", tiny_data)
        return script("higherhrnet.__main__", "run", "--dask", address, *where, *more)

    return call


def results() -> Path:
    return Path(TINY_RESULTS)


def test_two_workers_give_one_process_s_bytes(run: Script, cluster, tiny_results: bytes):
    outcome = run(cluster.scheduler_address, "--disk_budget", "6MB")
    assert outcome.status == 0, outcome.err
    assert "7 images in" in outcome.out
    assert "on 2 threads of Dask workers" in outcome.out
    assert results().read_bytes() == tiny_results
    assert not Path("run_work").exists()


def test_what_goes_wrong_on_a_worker_is_one_line(run: Script, cluster, tiny_data: Path, tmp_path: Path):
    outcome = run(cluster.scheduler_address, "--limit", 3, "--threads", 1, "DATASET.TEST", "val2017")
    assert outcome.status == 0, outcome.err
    image = tiny_data / "images/val2017/000000001007.jpg"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) * 2 // 3])
    try:
        outcome = run(cluster.scheduler_address)
        error(outcome)
        assert re.match(r"error: image .*000000001007.jpg: ", outcome.err.splitlines()[-1])
        outcome = run(cluster.scheduler_address, "--skip_bad")
        assert "=> 1 bad images were left out" in outcome.out
    finally:
        image.write_bytes(content)


@pytest.mark.parametrize(
    ("names", "devices", "dealt"),
    [
        (("a:1", "a:2", "b:1"), (0, 1), [(0,), (1,), (0, 1)]),
        (("a:1", "a:2"), (0, 1, 2), [(0, 2), (1,)]),
        (("a:1", "a:2", "a:3"), (4, 5), [(4,), (5,), (4,)]),
        (("a:1", "a:2"), (), [(), ()]),
    ],
)
def test_the_devices_of_a_host_are_dealt_to_its_workers(
    names: tuple[str, ...], devices: tuple[int, ...], dealt: list[tuple[int, ...]]
):
    from higherhrnet.pipeline import cluster  # noqa: PLC0415

    workers = [f"tcp://{name}" for name in names]
    assert cluster.deal(workers, devices) == dict(zip(workers, dealt, strict=True))


def test_no_scheduler_is_said(run: Script, monkeypatch: pytest.MonkeyPatch):
    from higherhrnet.pipeline import cluster  # noqa: PLC0415

    monkeypatch.setattr(cluster, "_CONNECT", 1)
    outcome = run("tcp://127.0.0.1:1")
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in error(outcome)
