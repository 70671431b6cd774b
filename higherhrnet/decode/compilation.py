"""All compiled functions of the decode, and compiling them once, side by side."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from higherhrnet.decode import kernel, whole
from higherhrnet.decode.cache import Entry
from higherhrnet.decode.resize import resize
from higherhrnet.system import signals, workers

_PARTS: tuple[tuple[Entry, ...], ...] = (
    (kernel.PLACES,),
    (kernel.FIND, kernel.LIMITS),
    (kernel.GROUP, kernel.POINTS, whole.FIND, whole.FINISH, resize),
)
"""What a process compiles one after another. The first takes longest, so there would be nothing in more of them."""

COUNT = sum(len(part) for part in _PARTS)
"""How many functions there are."""


def is_compiled() -> bool:
    """True where every decode starts at once: this process or the cache has all for these sources and this CPU."""
    return all(entry.is_compiled() for part in _PARTS for entry in part)


def is_kept() -> bool:
    """Whether what is compiled now need not be the next time; False where no folder can be written that keeps it."""
    return all(entry.is_kept() for part in _PARTS for entry in part)


def compile(done: Callable[[int], object] = lambda _: None) -> None:
    """Compile what is not in the cache, which takes about half a minute, and leave it there.

    ``done`` is called with 1 after each function, by any thread. Where the machine has more than one core, other
    processes fill the cache meanwhile; whatever becomes of them, what is not in it then is compiled here.
    """
    processes = 1 if is_compiled() or not is_kept() else min(workers.cores(), len(_PARTS))
    numbers = range(len(_PARTS))
    shares = [*([number] for number in numbers[: processes - 1]), numbers[processes - 1 :]]  # the last has the rest
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(_process(share, done)) for share in shares[1:]]
        compile_parts(shares[0], done)
        for thread in others:
            thread.join()
        compile_parts(numbers)


def compile_parts(numbers: Sequence[int], done: Callable[[int], object] = lambda _: None) -> None:
    """Compile some of the parts."""
    for number in numbers:
        for entry in _PARTS[number]:
            entry.compile()
            done(1)


@contextlib.contextmanager
def _process(numbers: Sequence[int], done: Callable[[int], object]) -> Iterator[threading.Thread]:
    """Another process that compiles parts; the thread waits for it. It is ended with the block."""
    root = Path(__file__).resolve().parents[2]  # the folder that Python finds this package in, and the child first
    command = [sys.executable, "-m", "higherhrnet.decode", *map(str, numbers)]
    process = None
    with contextlib.suppress(OSError), signals.held():  # no Python to start, as in a program that embeds it
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C ends it through us
        )
    thread = threading.Thread(target=_follow, args=(process, done), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        if process is not None:
            process.kill()
            process.wait()
        thread.join()


def _follow(process: subprocess.Popen[bytes] | None, done: Callable[[int], object]) -> None:
    """Read a process's output: it writes a line for each function."""
    if process is not None and process.stdout is not None:
        with process.stdout as lines:
            for _ in lines:
                done(1)


def serve(numbers: Sequence[int]) -> None:
    """Be such a process."""
    parent = os.getppid()

    def tell(_: int) -> None:
        if os.getppid() != parent:  # who wanted it is gone
            sys.exit(1)
        print(flush=True)

    compile_parts(numbers, tell)
