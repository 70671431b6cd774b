"""``run`` in chunks, for a tool that needs files: the same people, within the budget, resumed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from higherhrnet.stages import infer
from tests.support.ascend_host import SIZE, Host
from tests.support.datasets import TINY_CONFIG
from tests.support.programs import Outcome, error

pytestmark = pytest.mark.slow

LEAST = "4MB"  # one chunk of the largest of these images alone


@pytest.fixture
def run(host: Host, small_inputs: Path):
    """``run`` on four images, by a backend whose name results are under."""

    def call(*more: object, backend: str = "benchmark") -> Outcome:
        where = ("DATASET.ROOT", small_inputs / "data/coco", "OUTPUT_DIR", backend, *SIZE)
        network = ("--backend", backend, "--limit", 4, "--workers", 1, "--no_eval", "--cfg", TINY_CONFIG)
        return host.script("higherhrnet.__main__", "run", *network, *more, *where)

    return call


def results(backend: str) -> bytes:
    (file,) = Path(backend).rglob("keypoints_val2017_results.json")
    return file.read_bytes()


def peak(outcome: Outcome) -> float:
    """Megabytes on disk, which the budget allows."""
    assert outcome.status == 0, outcome.err
    most, allowed = map(float, re.findall(r"peak on disk (\S+) MB of (\S+) MB allowed", outcome.out)[0])
    assert 0 < most <= allowed
    return most


def test_a_stopped_run_goes_on_within_its_budget(run, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    real = infer.run

    def counting(backend, passes, job):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.extend(passes[0].indices)
        return real(backend, passes, job)

    monkeypatch.setattr(infer, "run", counting)
    assert run("--disk_budget", LEAST).status == 130

    def noting(backend, passes, job):
        seen.extend(passes[0].indices)
        return real(backend, passes, job)

    monkeypatch.setattr(infer, "run", noting)
    outcome = run("--disk_budget", LEAST)
    assert peak(outcome) > 1
    assert re.search(r"resuming: [12] of 4 images are done", outcome.out)
    assert sorted(seen) == [0, 1, 2, 3], "each image exactly once"
    assert not Path("run_work").exists()
    monkeypatch.setattr(infer, "run", real)
    in_memory = run("--model", "models/tiny_bs1_dynamic.onnx", backend="onnxruntime")
    assert peak(in_memory) < 0.2
    assert results("benchmark") == results("onnxruntime")


def test_a_budget_that_holds_no_chunk_is_refused(run):
    assert "one batch of shape 128x256 takes" in error(run("--disk_budget", "1MB"))


def test_a_dry_run_says_what_lies_on_disk(run, host: Host):
    outcome = run("--dry_run", "--disk_budget", "100MB")
    assert outcome.status == 0, outcome.err
    lines = {cells[0]: cells[-1] for cells in (re.split(r" {2,}", line) for line in outcome.out.splitlines())}
    assert lines["disk, run"] == "100 MB"
    assert not Path("benchmark").exists()
