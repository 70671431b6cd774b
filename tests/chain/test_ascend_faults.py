"""What goes wrong on a device: a clear error, nothing lost, and the same bytes after another run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.ascend_host import Host, dump_bytes
from tests.support.processes import wait_until_gone
from tests.support.programs import FLIP, NO_HANG_UP, PLAIN, error

WIDE = "128x192"
HANG_UP = pytest.param(signal.SIGHUP, 129, marks=NO_HANG_UP)


@pytest.fixture
def wide(host: Host) -> Host:
    """One shape of three images."""
    host.only(WIDE)
    return host


def times(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in directory.glob("*.bin")}


@pytest.mark.parametrize(
    ("fault", "made", "message"),
    [
        ("crash:1", 1, "benchmark ended with status 3, 1 of 3 images made and kept; 000000000005_1.bin is missing; "),
        ("signal:2", 2, "benchmark was killed by SIGSEGV, 2 of 3 images made and kept; 000000000006_1.bin is missing"),
        ("short:1", 2, "benchmark ended with status 0, 2 of 3 images made and kept; 000000000005_1.bin has "),
        ("full:1", 1, "benchmark ended with status 0, 1 of 3 images made and kept; 000000000005_1.bin has 4096 bytes"),
        ("hang:1", 1, "1 of 3 images made and kept; benchmark.x86_64 was ended because it took longer than 3 s"),
    ],
)
def test_a_failing_run_keeps_what_is_whole_and_another_completes_it(
    wide: Host,
    expected: Path,
    fault: str,
    made: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("STAND_IN_PIDS", str(wide.directory / "pids"))
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    outcome = wide.benchmark("--timeout", 3 if "hang" in fault else 60)
    error(outcome)
    assert outcome.err.startswith("error: device 0, shape 128x192: ")
    assert outcome.err.count("\n") == 1
    assert message.replace("x86_64", os.uname().machine) in outcome.err
    if fault.startswith("full"):
        assert "No space left on device" in outcome.err
    if fault.startswith("hang"):
        assert wide.pids
        assert wait_until_gone(wide.pids)
    kept = times(wide.result / PLAIN)
    assert len(kept) == 2 * made
    assert (wide.result / f"logs/benchmark_bs1_device_0_{WIDE}.log").exists()

    monkeypatch.delenv("STAND_IN_FAULT")
    wide.forget_calls()
    outcome = wide.benchmark()
    assert outcome.status == 0, outcome.err
    assert f"{made} of 6 dumps were there" in outcome.out
    assert kept.items() <= times(wide.result / PLAIN).items()
    wide.same_as(expected)
    assert len(dump_bytes(wide.result / PLAIN)) == 6


def test_a_fault_in_the_flipped_pass_leaves_the_plain_one_done(
    wide: Host,
    monkeypatch: pytest.MonkeyPatch,
    expected: Path,
):
    assert wide.benchmark().status == 0
    for file in (wide.result / FLIP).glob("*.bin"):
        file.unlink()
    monkeypatch.setenv("STAND_IN_FAULT", "crash:0")
    outcome = wide.benchmark()
    assert outcome.err.startswith("error: device 0, shape 128x192 flipped: ")
    monkeypatch.delenv("STAND_IN_FAULT")
    assert "3 of 6 dumps were there" in wide.benchmark().out
    wide.same_as(expected)


def test_a_device_that_does_not_exist(wide: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_DEVICES", "0,1")
    outcome = wide.benchmark("--device_id", 9)
    assert "error: device 9, shape 128x192: benchmark ended with status 1" in error(outcome)
    assert "aclrtSetDevice failed, device_id 9" in outcome.err
    assert "check the device with npu-smi info" in outcome.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), HANG_UP])
def test_ctrl_c_ends_the_tool_and_keeps_what_is_whole(wide: Host, number: signal.Signals, status: int, expected: Path):
    process = wide.hanging("hang:2", pids=1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "interrupted; finished files are kept" in err
    assert wait_until_gone(wide.pids)
    assert len(dump_bytes(wide.result / PLAIN)) == 4
    assert "2 of 6 dumps were there" in wide.benchmark().out
    wide.same_as(expected)


def test_what_a_killed_run_left_is_taken_over(wide: Host, expected: Path):
    """Kill the script itself, as a reboot would: its tool's whole dumps are in the private folder."""
    process = wide.hanging("hang:2", pids=1)
    second = wide.benchmark()  # two runs never work in one directory
    assert "another run is working in result/dumpOutput_device0_bs1" in second.err
    process.kill()
    process.wait()
    for pid in set(wide.pids):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert not dump_bytes(wide.result / PLAIN)
    outcome = wide.benchmark()
    assert outcome.status == 0, outcome.err
    assert "2 of 6 dumps were there" in outcome.out
    wide.same_as(expected)


def test_too_little_space_is_said_before_anything_starts(wide: Host, monkeypatch: pytest.MonkeyPatch):
    from higherhrnet.stages import infer  # noqa: PLC0415

    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(infer.shutil, "disk_usage", lambda _: usage)
    outcome = wide.benchmark()
    assert "0.00 GB free; free space, or give another --result" in outcome.err
    assert wide.calls() == []


def test_ctrl_c_ends_the_tools_of_all_devices(host: Host, expected: Path):
    host.only(WIDE, "128x128")
    process = host.hanging("hang:1", "--device_ids", "0,1", pids=4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert wait_until_gone(host.pids)
    assert len(dump_bytes(host.result / PLAIN)) == 4
    assert "2 of 10 dumps were there" in host.benchmark().out
    host.same_as(expected)
