"""Bytes on disk: waited for, given back, counted."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from higherhrnet.errors import UserError
from higherhrnet.pipeline.disk import Budget, Usage


def test_bytes_are_waited_for_until_they_are_given_back():
    budget = Budget(100, lambda: 20)
    assert budget.take(50, lambda: False)
    waiter = threading.Thread(target=budget.take, args=(50, lambda: False))
    waiter.start()
    time.sleep(0.05)
    assert waiter.is_alive()
    budget.give_back(50)
    waiter.join(5)
    assert not waiter.is_alive()
    assert not budget.take(50, lambda: True)


def test_a_journal_that_leaves_no_room_is_said():
    with pytest.raises(UserError, match=r"the people found take 0.060 MB and the next chunk 0.050 MB; give more"):
        Budget(100_000, lambda: 60_000).take(50_000, lambda: False)
    Budget(60_000, lambda: 60_000).check()
    with pytest.raises(UserError, match=r"--disk_budget is 0.050 MB, the people found take 0.060 MB; give more"):
        Budget(50_000, lambda: 60_000).check()


def test_usage_is_what_files_take(tmp_path: Path):
    usage = Usage(tmp_path)
    assert usage.measure() == 0
    (tmp_path / "below").mkdir()
    (tmp_path / "below/file").write_bytes(b"x" * 100_000)
    measured = usage.measure()
    assert 100_000 <= measured < 120_000
    (tmp_path / "below/file").unlink()
    assert usage.measure() == 0
    assert usage.peak == measured
