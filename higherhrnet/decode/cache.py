"""Compiled functions, and their place in Numba's cache.

An entry is compiled and cached; the functions that it calls become part of it. Numba tells whether a cached entry is
stale by the file and the constants that belong to it alone, so the fingerprint of all the package's sources is made one
of those constants: an entry's maker takes it as argument.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import caching, dispatcher

from higherhrnet.errors import UserError

# Without what Python would call them by: that is a third of compiling.
_ALONE: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner: Any = njit(**_ALONE)
"""Compiles a function that only compiled functions call."""
reordered: Any = njit(fastmath={"reassoc", "nsz", "contract"}, **_ALONE)
"""The same for one whose sums may be made in any order, by vectors: their last bits are not known."""
inlined: Any = njit(inline="always", **_ALONE)
"""The same for a long one that is called in one place: it is not compiled by itself, which would be for nothing."""


def _fingerprint() -> int:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return int.from_bytes(hashlib.sha256(b"".join(path.read_bytes() for path in sources)).digest()[:7], "little")


_InTree: Any = vars(caching).get("InTreeCacheLocator") or vars(caching)["_InTreeCacheLocator"]  # before Numba 0.61


class _Beside(_InTree):
    """__pycache__ beside the sources where it cannot be written, which Numba would not even read."""

    def ensure_cache_path(self) -> None:
        """Be content with any."""


class _Stored(caching.CompileResultCacheImpl):
    _locator_classes = [_Beside]  # noqa: RUF012, as its base has it


class _ReadOnly(caching.FunctionCache):
    _impl_class = _Stored

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep nothing."""


def _dispatcher(function: Callable, signature: tuple) -> Any:
    """A function as Numba calls it, with the cache that is there, the one that can be written, or none."""
    folder = Path(function.__code__.co_filename).parent
    place = folder / "__pycache__"
    made = njit(nogil=True)(function)
    if not isinstance(made, dispatcher.Dispatcher):
        raise UserError("NUMBA_DISABLE_JIT is set, with which an image takes minutes to decode; unset it")
    is_own = not vars(config)["CACHE_DIR"] and not os.access(place if place.is_dir() else folder, os.W_OK)
    stored = _ReadOnly(function) if is_own else None
    if stored is not None and stored.load_overload(signature, made.targetctx) is not None:
        made._cache = stored  # type: ignore[attr-defined]
    elif stored is None or os.path.isabs(os.path.expanduser("~")):  # else Numba would make a folder called ~
        with contextlib.suppress(RuntimeError):  # no place can be written
            made.enable_caching()
    return made


class Entry:
    """A function compiled for one signature when it is first called, by whichever thread; it runs without the GIL."""

    def __init__(self, make: Callable[[int], Callable], signature: tuple) -> None:
        """``make`` returns the function; its argument, never negative, must be named in it."""
        self._make = make
        self._signature = signature
        self._lock = threading.Lock()
        self._is_loaded = False

    @cached_property
    def _dispatcher(self) -> Any:
        return _dispatcher(self._make(_fingerprint()), self._signature)

    def is_compiled(self) -> bool:
        """True where the next call starts at once: this process or the cache has it for these sources and this CPU."""
        entry = self._dispatcher
        with self._lock:
            if not entry.signatures:
                # Numba has no public way to look into a cache without compiling what is not there.
                found = entry._cache.load_overload(self._signature, entry.targetctx)
                if found is not None:  # taken as its own compile() takes it, which would load it again
                    entry.targetctx.insert_user_function(found.entry_point, found.fndesc, [found.library])
                    entry.add_overload(found)
                    entry.disable_compile()
        return bool(entry.signatures)

    def is_kept(self) -> bool:
        """Whether what is compiled now need not be the next time."""
        return not isinstance(self._dispatcher._cache, caching.NullCache)

    def compile(self) -> None:
        """Load the function from the cache, or compile it and leave it there.

        The cache is __pycache__ beside the sources, or where that cannot be written a folder of the user's; where there
        is none either, nothing is left.

        Raises
        ------
        UserError : Numba is told not to compile
        """
        with self._lock:
            if not self._dispatcher.signatures:
                self._dispatcher.compile(self._signature)
                self._dispatcher.disable_compile()  # arguments of another type are a mistake of ours
        self._is_loaded = True

    def __call__(self, *arguments: Any) -> Any:
        if not self._is_loaded:
            self.compile()
        return self._dispatcher(*arguments)
