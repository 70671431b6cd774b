"""The benchmark tool as a backend, against its stand-in."""

from __future__ import annotations

from pathlib import Path

from ascend_host import FLIP, PLAIN, SHAPES, Host, dump_bytes, expected, host, small_inputs  # noqa: F401


def test_the_guide_s_command_runs_everything(host: Host, expected: Path):  # noqa: F811
    host.install_benchmark()
    outcome = host.benchmark("--bs", 1)
    assert outcome.status == 0, outcome.err
    print(outcome.out)
    print(host.calls())
    for name in (PLAIN, FLIP):
        assert dump_bytes(host.directory / "result" / name) == dump_bytes(expected / name)
