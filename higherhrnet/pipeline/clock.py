"""What each stage has taken."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

STAGES = ("preprocess", "infer", "decode")


class Clock:
    """Seconds that each stage worked, over all of its threads, waits not counted."""

    def __init__(self) -> None:
        """Nothing has been measured yet."""
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Count the block's time for ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            with self._lock:
                self.seconds[stage] += taken

    @property
    def limit(self) -> str:
        """The stage that has worked longest: the others wait for it."""
        return max(STAGES, key=self.seconds.__getitem__)
