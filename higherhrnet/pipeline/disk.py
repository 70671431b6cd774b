"""Disk space: what may be used, and what is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from higherhrnet.errors import UserError


class Budget:
    """Bytes that chunks may take, shared by the stages' threads."""

    def __init__(self, limit: int, kept: Callable[[], int]) -> None:
        """``kept``: bytes that stay for good, the journal's, which grow and count as well."""
        self._limit, self._kept = limit, kept
        self._used = 0
        self._changed = threading.Condition()

    def take(self, count: int, stopped: Callable[[], bool]) -> bool:
        """Wait until ``count`` bytes are free, and take them; False where ``stopped`` says so first.

        Raises
        ------
        UserError : they never will be, because what is kept has grown too large
        """
        with self._changed:
            while self._used + self._kept() + count > self._limit:
                if self._used == 0:
                    raise UserError(
                        f"--disk_budget is {_mb(self._limit)}, of which the people found take "
                        f"{_mb(self._kept())} and the next chunk {_mb(count)}; give more"
                    )
                if stopped():
                    return False
                self._changed.wait(0.2)
            self._used += count
            return True

    def check(self) -> None:
        """Raise UserError where what is kept has grown too large."""
        if self._kept() > self._limit:
            raise UserError(
                f"--disk_budget is {_mb(self._limit)}, the people found take {_mb(self._kept())}; give more"
            )

    def add(self, count: int) -> None:
        """Count bytes that are there already: a stopped run's chunks."""
        with self._changed:
            self._used += count

    def give_back(self, count: int) -> None:
        """Free bytes again."""
        with self._changed:
            self._used -= count
            self._changed.notify_all()


class Usage:
    """The bytes that files below a folder take on disk, measured; ``peak`` is the most that was seen.

    Only deletions make them less: measured before each, no peak is missed.
    """

    def __init__(self, folder: Path) -> None:
        """Watch ``folder``."""
        self._folder = folder
        self.peak = 0

    def measure(self) -> int:
        """Walk the folder."""
        used = sum(_blocks(os.path.join(folder, name)) for folder, _, names in os.walk(self._folder) for name in names)
        self.peak = max(self.peak, used)
        return used


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 10e6 else f"{count / 1e6:.3f} MB"


def _blocks(file: str) -> int:
    try:
        return os.lstat(file).st_blocks * 512  # POSIX counts in these, whatever the file system's blocks
    except OSError:  # renamed or deleted by another thread
        return 0
