"""``run --dask``: chunks on the workers of a Dask scheduler."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from higherhrnet.artifacts.journal import Journal
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint
from higherhrnet.pipeline.agreement import Agreement, Compared
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


def test_what_goes_wrong_on_a_worker_is_one_line(
    run: Script, cluster, tiny_data: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
):
    from higherhrnet.pipeline import cluster as pipeline_cluster  # noqa: PLC0415

    outcome = run(cluster.scheduler_address, "--limit", 3, "--threads", 1, "DATASET.TEST", "val2017")
    assert outcome.status == 0, outcome.err
    made = pipeline_cluster._Plugin.__init__
    model = Path(shutil.copy(tiny_onnx, "here.onnx")).absolute()

    def make_and_take_away(plugin: Any, *given: Any) -> None:
        made(plugin, *given)
        model.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(pipeline_cluster._Plugin, "__init__", make_and_take_away)
        said = error(run(cluster.scheduler_address, "--overwrite", model=model))
    assert "a Dask worker cannot run the network (" in said
    assert "here.onnx" in said
    assert "the model under the same path" in said

    def make_and_exchange(plugin: Any, *given: Any) -> None:
        made(plugin, *given)
        other = onnx.load(tiny_onnx)
        other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
        onnx.save(other, model)

    shutil.copy(tiny_onnx, model)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline_cluster._Plugin, "__init__", make_and_exchange)
        said = error(run(cluster.scheduler_address, "--overwrite", model=model))
    here, there = fingerprint.sha256(tiny_onnx)[:12], fingerprint.sha256(model)[:12]
    assert f"has another {model} (of digest {there}, here {here})" in said
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


@pytest.mark.parametrize("other", ["higherhrnet", "version of preprocessing", "version of the decode", "OpenCV"])
def test_workers_of_other_versions_are_refused_by_name(other: str):
    from higherhrnet.pipeline import cluster  # noqa: PLC0415

    def answers(versions: Callable[[], dict[str, str]]) -> dict[str, dict[str, str]]:
        return {"tcp://a:1": versions(), "tcp://b:2": {**versions(), other: "0.0"}}

    client: Any = SimpleNamespace(run=answers)
    with pytest.raises(UserError, match=rf"the Dask worker tcp://b:2 has another {other} \(0.0, here "):
        cluster.check_versions(client)


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


def test_what_workers_compared_is_put_together():
    """A shape of which one worker found other people is named; one that gave up, and one of programs, say nothing."""
    from higherhrnet.pipeline import cluster  # noqa: PLC0415

    same, other = Compared(2, 2, 2, shift=0.5, score=0.01), Compared(2, 1, 1, shift=3, score=0.2)

    def worker(left: int, shapes: dict[tuple[int, int], Compared]) -> Any:
        made = object.__new__(cluster.InMemory)
        made._streams = [SimpleNamespace(left_to_host=left)]  # type: ignore[list-item]
        made.agreement = Agreement("torch cuda float16")
        made.agreement.shapes = shapes
        return SimpleNamespace(plugins={"plugin": SimpleNamespace(made=made)})

    workers = {
        "a": worker(3, {(64, 64): other, (64, 128): same}),
        "b": worker(4, {(64, 64): same}),
        "c": SimpleNamespace(plugins={"plugin": SimpleNamespace(made=None)}),
    }

    def answers(function: Callable, *arguments: object, on_error: str) -> dict[str, Any]:
        assert on_error == "ignore"
        return {name: function(*arguments, dask_worker=worker) for name, worker in workers.items()}

    client: Any = SimpleNamespace(run=answers)
    left, agreement = cluster.told(cluster.Cluster(client, "plugin", 2), "torch cuda float16")
    assert left == 7
    assert agreement.shapes == {(64, 64): other, (64, 128): same}
    assert agreement.text().startswith("note: torch cuda float16 against float32, the first picture of 2 shapes: other")

    def is_gone(*_: object, **__: object) -> None:
        raise OSError

    client.run = is_gone
    left, agreement = cluster.told(cluster.Cluster(client, "plugin", 2), "torch cuda float16")
    assert (left, agreement.text()) == (0, "")


@contextlib.contextmanager
def scheduler(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler with one worker of one thread, as the `dask` command starts them, in processes of their own."""
    address = f"tcp://127.0.0.1:{port}"
    commands = (
        ["dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"],
        ["dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)],
    )
    with contextlib.ExitStack() as stack, (folder / "dask.log").open("ab") as log:
        started = []
        for name, *arguments in commands:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{name}", *arguments],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        with distributed.Client(address, timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
        yield started[0]


def test_a_scheduler_that_is_killed_loses_nothing_that_is_done(
    run: Script,
    cluster: Any,
    tiny_results: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
):
    """Of one worker, which gets a chunk, here a shape, after the other; another scheduler takes over."""
    from higherhrnet.pipeline import cluster as pipeline_cluster  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("dask")
    add, added = Journal.add, []
    with scheduler(port, folder) as process:

        def add_and_kill(journal: Any, index: int, *more: Any) -> None:
            add(journal, index, *more)
            added.append(index)
            if len(added) == 2:
                process.kill()

        with monkeypatch.context() as patch:
            patch.setattr(pipeline_cluster, "_CONNECT", 5)  # seconds, also until a lost one is given up
            patch.setattr(Journal, "add", add_and_kill)
            outcome = run(f"tcp://127.0.0.1:{port}")
    assert "error: the Dask scheduler or its workers are gone" in outcome.err
    assert "what is done is kept" in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert 2 <= len(added) < 7
    outcome = run(cluster.scheduler_address)
    assert outcome.status == 0, outcome.err
    assert f"resuming: {len(added)} of 7 images are done" in outcome.out
    assert results().read_bytes() == tiny_results
    assert not Path("run_work").exists()


def test_no_scheduler_is_said(run: Script, monkeypatch: pytest.MonkeyPatch):
    from higherhrnet.pipeline import cluster  # noqa: PLC0415

    monkeypatch.setattr(cluster, "_CONNECT", 1)
    outcome = run("tcp://127.0.0.1:1")
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in error(outcome)
