"""Commands beside the guide's six scripts.

    python3 -m higherhrnet run --disk_budget 4GB    the whole chain in chunks, on little disk
    python3 -m higherhrnet merge                    join the results of shards

``python3 -m higherhrnet COMMAND --help`` explains each.
"""

from __future__ import annotations

if __name__ == "__main__":  # the imports below take seconds, in which a signal must not end in a traceback
    from higherhrnet import terminal

    terminal.prepare()

import sys
from collections.abc import Sequence

from higherhrnet import cli
from higherhrnet.commands import merge, run

_COMMANDS = {"run": run.main, "merge": merge.main}


def main(argv: Sequence[str] | None = None) -> None:
    """Call the command that the first argument names with the others."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = cli.parser(__doc__)
    parser.prog = "python3 -m higherhrnet"
    parser.add_argument("command", choices=_COMMANDS, help="what to do")
    args = parser.parse_args(arguments[:1])
    _COMMANDS[args.command](arguments[1:])


if __name__ == "__main__":
    sys.exit(cli.run(main))
