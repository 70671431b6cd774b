"""trtexec's logs of several releases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.artifacts import trtexec_log
from higherhrnet.errors import UserError
from tests.support.programs import Outcome

Script = Callable[..., Outcome]


PASSED = "\n&&&& PASSED TensorRT.trtexec # trtexec"
NEW = """[07/12/2023-10:11:12] [I] Throughput: 120.699 qps
[07/12/2023-10:11:12] [I] Latency: min = 7.9 ms, max = 10.7 ms, mean = 8.6 ms, median = 8.6 ms, percentile(99%) = 9 ms
[07/12/2023-10:11:12] [I] GPU Compute Time: min = 7.5 ms, max = 10.1 ms, mean = 8.23978 ms, median = 8.125 ms, \
percentile(90%) = 8.5 ms, percentile(95%) = 8.75 ms, percentile(99%) = 9.75 ms"""
OLD = """[04/01/2021-10:11:12] [I] Host Latency
[04/01/2021-10:11:12] [I] mean: 1.68 ms (end to end 1.7 ms)
[04/01/2021-10:11:12] [I] median: 1.69 ms (end to end 1.7 ms)
[04/01/2021-10:11:12] [I] percentile: 1.9 ms at 99% (end to end 2 ms at 99%)
[04/01/2021-10:11:12] [I] throughput: 0 qps
[04/01/2021-10:11:12] [I] GPU Compute
[04/01/2021-10:11:12] [I] min: 1.48444 ms
[04/01/2021-10:11:12] [I] max: 1.7 ms
[04/01/2021-10:11:12] [I] mean: 1.52162 ms
[04/01/2021-10:11:12] [I] median: 1.5 ms
[04/01/2021-10:11:12] [I] percentile: 1.68805 ms at 99%"""


def test_logs_of_all_releases_are_read():
    log = Path("x.log")
    assert trtexec_log.parse(NEW + PASSED, log) == trtexec_log.Times(8.23978, {50: 8.125, 90: 8.5, 95: 8.75, 99: 9.75})
    assert trtexec_log.parse(OLD + PASSED, log) == trtexec_log.Times(1.52162, {50: 1.5, 99: 1.68805})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NEW, "found no '&&&& PASSED'"),
        (PASSED, "found no mean of GPU Compute"),
        (NEW.replace("8.23978", "0") + PASSED, "found no mean of GPU Compute"),
        (f"Automatically overriding shape to: 1x3x1x1\n{NEW}{PASSED}", "this model's is called input"),
    ],
)
def test_logs_of_runs_that_mean_nothing_are_refused(text: str, message: str):
    with pytest.raises(UserError, match=f"x.log: .*{message}"):
        trtexec_log.parse(text, Path("x.log"))
