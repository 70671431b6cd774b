"""How every command starts and ends: signals, exit statuses, error lines."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Callable, Sequence

from higherhrnet.cli import terminal
from higherhrnet.errors import UserError

_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # PyTorch's words


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Call a script's main with its arguments (None: the command line's); return its exit status.

    0 done; 1 the user's error, as one line ``error: ...`` on stderr, or a standard output that cannot be written; 2
    wrong usage (argparse); 130 Ctrl-C; 143 SIGTERM; 129 SIGHUP, a terminal that closed: unhandled, the programs we
    started would go on alone. Any other exception is our bug and passes through.
    """
    interruption = terminal.Interruption()
    error: BaseException | None = None
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
        terminal.say(terminal.INTERRUPTED)
        return 128 + signal_number
    if isinstance(error, UserError):
        terminal.say(f"error: {' '.join(str(error).split())}")
        return 1
    if isinstance(error, OSError) and error.filename is not None:  # one that no stage has a better word for
        terminal.say(f"error: {error.strerror}: {error.filename!r}; check that path and its permissions")
        return 1
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        amount = " ".join(str(error).split())[:160] or "amount unknown"
        terminal.say(f"error: not enough memory ({amount}); give smaller or fewer things at once")
        return 1
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        return error.code or 0
    if error is not None:
        raise error
    return 0
