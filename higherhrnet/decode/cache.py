"""Compiled functions, and their place in Numba's cache.

An entry is compiled and cached; the functions that it calls become part of it. Numba tells whether a cached entry is
stale by the file and the constants that belong to it alone, so the fingerprint of all the package's sources is made one
of those constants: an entry's maker takes it as argument.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from numba import njit

# Without what Python would call them by: that is a third of compiling.
_ALONE: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner: Any = njit(**_ALONE)
"""Compiles a function that only compiled functions call."""
inlined: Any = njit(inline="always", **_ALONE)
"""The same for a long one that is called in one place: it is not compiled by itself, which would be for nothing."""


def _fingerprint() -> int:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return int.from_bytes(hashlib.sha256(b"".join(path.read_bytes() for path in sources)).digest()[:7], "little")


class Entry:
    """A function compiled for one signature when it is first called, by whichever thread; it runs without the GIL."""

    def __init__(self, make: Callable[[int], Callable], signature: tuple) -> None:
        """``make`` returns the function; its argument, never negative, must be named in it."""
        self._make = make
        self._signature = signature
        self._lock = threading.Lock()

    @cached_property
    def _dispatcher(self) -> Any:
        return njit(cache=True, nogil=True)(self._make(_fingerprint()))

    def is_compiled(self) -> bool:
        """True where the next call starts at once: this process or the cache has it for these sources and this CPU."""
        entry = self._dispatcher
        # Numba has no public way to look into a cache without compiling what is not there.
        return bool(entry.signatures) or entry._cache.load_overload(self._signature, entry.targetctx) is not None

    def compile(self) -> None:
        """Load the function from the cache, or compile it and leave it there.

        The cache is __pycache__ beside the sources, or where that cannot be written a folder of the user's.
        """
        with self._lock:
            if not self._dispatcher.signatures:
                self._dispatcher.compile(self._signature)
                self._dispatcher.disable_compile()  # arguments of another type are a mistake of ours

    def __call__(self, *arguments: Any) -> Any:
        self.compile()
        return self._dispatcher(*arguments)
