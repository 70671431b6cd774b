"""How every command starts and ends: signals, exit statuses, error lines."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from higherhrnet.cli import terminal
from higherhrnet.errors import UserError
from higherhrnet.system import memory, packages

_LIMITS = {
    errno.EAGAIN: "processes and threads (ulimit -u)",
    errno.EMFILE: "open files (ulimit -n)",
    errno.ENFILE: "open files of this machine",
    errno.EFBIG: "the size of files (ulimit -f)",
}


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Call a script's main with its arguments (None: the command line's); return its exit status.

    0 done; 1 the user's error, as one line ``error: ...`` on stderr, or a standard output that cannot be written; 2
    wrong usage (argparse); 130 Ctrl-C; 143 SIGTERM; 129 SIGHUP, a terminal that closed: unhandled, the programs we
    started would go on alone. Any other exception is our bug and passes through.
    """
    interruption = terminal.Interruption()
    error: BaseException | None = None
    if unfit := packages.python_problem():
        terminal.say(f"error: {unfit}")
        return 1
    try:
        with interruption.watched():
            try:
                main(argv)
            except SystemExit as e:  # of --help, which somebody waits for as well
                error = e
            sys.stdout.flush()
    except BaseException as e:
        error = e
        with contextlib.suppress(UserError, SystemExit):  # the exception under way says more
            sys.stdout.flush()
    signal_number = interruption.number or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
    if signal_number is not None:  # whatever the exception became on its way up
        terminal.end_line()
        terminal.say(terminal.INTERRUPTED)
        return 128 + signal_number
    if error is not None and (said := _said(error)) is not None:
        terminal.say(f"error: {terminal.one_line(said)}")
        return 1
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        return error.code or 0
    if error is not None:
        raise error
    return 0


def _said(error: BaseException) -> str | None:
    """What an exception means to a user; None for one that is our bug."""
    if limit := next(filter(None, map(_limit, _causes(error))), ""):  # whatever a stage took it for
        what = error.args[0].partition(";")[0] if isinstance(error, UserError) else str(error)
        fewer = "" if limit == _LIMITS[errno.EFBIG] else ", or give fewer --workers and --threads"
        return f"{what}: the limit of {limit} is too low here; raise it{fewer}"
    if isinstance(error, UserError):
        return str(error)
    # Python, too, loses what it was to say where memory is short, and so do loaders of libraries (no number of error).
    is_vague = isinstance(error, SystemError) or (isinstance(error, OSError) and error.errno is None)
    is_lost = is_vague and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    if is_lost or any(map(memory.is_lack, _causes(error))):
        return f"not enough memory ({str(error)[:160] or 'amount unknown'}); give smaller or fewer things at once"
    if said := packages.problem(error):
        return said
    if isinstance(error, OSError) and error.filename is not None:  # one that no stage has a better word for
        return f"{error.strerror}: {error.filename!r}; check that path and its permissions"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that led to it."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _limit(error: BaseException) -> str:
    """The limit of the system that an exception comes from, '' for others."""
    if isinstance(error, OSError) and error.errno == errno.EFBIG and error.strerror != os.strerror(errno.EFBIG):
        return ""  # ours, of what is too large to be read
    if isinstance(error, OSError):
        return _LIMITS.get(error.errno or 0, "")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):  # which has no number
        is_bounded = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        return "memory (ulimit -v), or that of " * is_bounded + _LIMITS[errno.EAGAIN]
    return ""
