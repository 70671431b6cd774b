"""Performance files of all builds of the tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.artifacts import perf
from higherhrnet.errors import UserError
from tests.support.programs import Outcome

# The samples of two builds of the tool, as users published them.
SAMPLES = {
    317.707: """[e2e] throughputRate: 211.301, latency: 236629
[data read] throughputRate: 225.214, moduleLatency: 4.44023
[preprocess] throughputRate: 224.859, moduleLatency: 4.44723
[infer] throughputRate: 212.679, Interface throughputRate: 317.707, moduleLatency: 4.03848
[post] throughputRate: 212.678, moduleLatency: 4.70194
""",
    29.3584: """-----------------Performance Summary------------------
[e2e] throughputRate: 19.8971, latency: 3417.58
[data read] throughputRate: 2382.7, moduleLatency: 0.419691
[preprocess] throughputRate: 405.505, moduleLatency: 2.46606
[inference] throughputRate: 27.4387, Interface throughputRate: 29.3584, moduleLatency: 35.5952
[postprocess] throughputRate: 2.40737, moduleLatency: 415.392

-----------------------------------------------------------
""",
    1.45105e06: "[infer] throughputRate: 1, Interface throughputRate: 1.45105e+06, moduleLatency: 1\n",
}


@pytest.mark.parametrize("rate", SAMPLES)
def test_perf_texts_of_all_builds_are_read(rate: float):
    assert perf.parse(SAMPLES[rate], Path("perf.txt")) == rate


def test_perf_text_by_hand():
    timings = perf.Timings(images=10, batches=5, total=2.0, read=0.1, infer=1.5, execute=1.25, write=0.2)
    assert timings.text() == (
        "[e2e] throughputRate: 5, latency: 2000\n"
        "[data read] throughputRate: 100, moduleLatency: 10\n"
        "[preprocess] throughputRate: nan, moduleLatency: nan\n"
        "[infer] throughputRate: 6.66667, Interface throughputRate: 8, moduleLatency: 150\n"
        "[post] throughputRate: 25, moduleLatency: 40\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[infer] Interface throughputRate: ",
        "[infer] Interface throughputRate: 0",
        "[infer] throughputRate: 11,3, Interface throughputRate: 12,5, moduleLatency: 80,1",
        "[infer] throughputRate: 1,1, Interface throughputRate: 1,234.5, moduleLatency: 1",
        "[infer] Interface throughputRate: 12,5",
    ],
)
def test_perf_text_without_its_figure_is_refused(text: str):
    with pytest.raises(UserError, match="Interface throughputRate: N"):
        perf.parse(text, Path("perf.txt"))


def test_perf_files_are_found_by_batch(tmp_path: Path):
    for batch, shape in ((1, (512, 704)), (1, (512, 512)), (4, (512, 512))):
        perf.path(tmp_path, batch, 0, shape).write_text(SAMPLES[317.707])
    (tmp_path / "perf_vision_batchsize_1_device_0.txt").write_text("not one of a shape")
    assert perf.path(tmp_path, 1, 0, (512, 704)).name == "perf_vision_batchsize_1_device_0_512x704.txt"
    assert [(p.batch, p.shape) for p in perf.find(tmp_path, batch=[1])] == [(1, (512, 512)), (1, (512, 704))]
    assert len(perf.find(tmp_path)) == 3
    with pytest.raises(UserError, match="no performance files of batch size 2"):
        perf.find(tmp_path, batch=[2])


Script = Callable[..., Outcome]


@pytest.mark.parametrize("value", ["1e999", "-5", "0"])
def test_times_that_are_none_are_refused(tmp_path: Path, value: str):
    log = f"GPU Compute Time: mean = 2 ms, median = {value} ms, percentile(99%) = 3 ms\n&&&& PASSED"
    (tmp_path / "trtexec_batchsize_1_device_0_512x512.log").write_text(log)
    with pytest.raises(UserError, match=r"512x512\.log"):
        perf.find(tmp_path)
