"""workers: order, bounds and ends of processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from higherhrnet.errors import UserError
from higherhrnet.system import workers
from tests.support.datasets import ROOT
from tests.support.processes import process_id


def square_slowly(value: int) -> int:
    time.sleep(0.02 * (value % 3))  # later items are ready before earlier ones
    return value * value


def fail_at_5(value: int) -> int:
    if value == 5:
        raise UserError("item 5 is wrong")
    return value


def die_at_5(value: int) -> int:
    if value == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def ordered_map(function, items, count: int):
    with workers.Pool(count) as pool:
        yield from pool.map(function, items)


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_the_items_order(count: int):
    assert list(ordered_map(square_slowly, range(30), count)) == [v * v for v in range(30)]


def test_nothing_to_do():
    assert list(ordered_map(square_slowly, [], 2)) == []


def test_one_worker_is_this_process():
    assert set(ordered_map(process_id, range(3), 1)) == {os.getpid()}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.slow
def test_an_item_s_error_is_raised_as_it_is(count: int):
    with pytest.raises(UserError, match="item 5 is wrong"):
        list(ordered_map(fail_at_5, range(30), count))


@pytest.mark.slow
def test_a_killed_worker_is_a_user_error():
    with pytest.raises(UserError, match="a worker process was killed"):
        list(ordered_map(die_at_5, range(30), 2))


@pytest.mark.slow
def test_a_pool_serves_several_threads_and_survives_one_s_error():
    with workers.Pool(2) as pool:
        first = pool.map(square_slowly, range(20))
        assert next(first) == 0
        with pytest.raises(UserError, match="item 5 is wrong"):
            list(pool.map(fail_at_5, range(30)))
        assert list(first) == [v * v for v in range(1, 20)]


@pytest.mark.slow
def test_items_are_not_taken_far_ahead_of_results():
    taken = 0

    def items():
        nonlocal taken
        for value in range(1000):
            taken += 1
            yield value

    results = ordered_map(square_slowly, items(), 2)
    next(results)
    assert taken <= 100
    results.close()


PARENT = """
import sys
from pathlib import Path
from higherhrnet.system import workers
from tests.support.processes import process_id
if __name__ == "__main__":
    with workers.Pool(2) as pool:
        for pid in pool.map(process_id, range(10**6)):
            print(pid, flush=True)
"""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSYS])
def test_without_shared_memory_one_process_does_it_all(number: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "ProcessPoolExecutor", failing(number))
    with workers.Pool(2) as pool:
        assert "/dev/shm): one does it all, more slowly" in pool.remark
        assert list(pool.map(process_id, range(3))) == [os.getpid()] * 3


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE])
def test_limits_that_can_be_raised_are_refused(number: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "ProcessPoolExecutor", failing(number))
    with pytest.raises(UserError, match="cannot start worker processes"):
        workers.Pool(2)


def failing(number: int):
    def start(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return start


def test_more_workers_than_the_user_may_have_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch):
    """Where one of its threads cannot be started, Python's pool waits for ever."""
    monkeypatch.setattr(os, "geteuid", lambda: os.stat("/proc/self").st_uid + 10**6)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 20))
    with pytest.raises(UserError, match=r"8 worker processes cannot be started: .* \(ulimit -u\) is 20; raise it"):
        workers.Pool(8)
    with workers.Pool(2) as pool:
        assert not pool.remark


def test_workers_end_with_a_killed_parent(tmp_path: Path):
    (tmp_path / "parent.py").write_text(PARENT)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=env, text=True)
    assert parent.stdout is not None
    pids = {int(parent.stdout.readline()) for _ in range(200)}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
