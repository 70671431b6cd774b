"""Commands for HigherHRNet, from a PyTorch checkpoint to an accelerator. The first six are the guide's steps.

``higherhrnet COMMAND --help`` explains each; in a checkout, ``python3 -m higherhrnet COMMAND`` is the same.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from functools import partial

from higherhrnet.cli import program, terminal

COMMANDS = {
    "preprocess": "images to network inputs",
    "dataset_info": "lists of the inputs",
    "pth2onnx": "a checkpoint to ONNX",
    "quantize": "an .onnx to INT8",
    "benchmark": "run the network: inputs to dumps and performance files",
    "postprocess": "dumps to people and their average precision",
    "performance": "the table of images per second",
    "predict": "people in pictures, folders, videos and cameras",
    "table": "AP against images per second, by backend and precision",
    "run": "the whole chain in chunks, on little disk",
    "merge": "join the results of shards",
    "report": "a page that explains the AP of results",
}
"""The modules of this folder that are commands, and what each does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names with the others; return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return run(arguments[0], arguments[1:])
    terminal.prepare()
    return program.run(_dispatch, arguments)  # only to say how it is used


def run(command: str, argv: Sequence[str] | None = None) -> int:
    """Run one command, as the guide's scripts do; return its exit status."""
    terminal.prepare()
    try:
        importlib.import_module("numpy")  # first: where it does not load, OpenCV advises to install it
        # Imported before signals raise: OpenCV's import, for one, prints advice when an exception goes through it.
        called = importlib.import_module(f"higherhrnet.cli.{command}").main
    except Exception as e:  # packages that are missing or do not load, or too little memory for them
        called = partial(_fail, e)
    return program.run(called, argv)


def _fail(error: Exception, _argv: Sequence[str] | None) -> None:
    """A command that could not be imported: that is then said as every other problem is."""
    raise error


def _dispatch(argv: Sequence[str] | None) -> None:
    lines = "\n".join(f"  {name:<13} {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="higherhrnet",
        description=f"{__doc__}\ncommands:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these")
    arguments = list(argv or ())
    command = parser.parse_args(arguments[:1]).command
    importlib.import_module(f"higherhrnet.cli.{command}").main(arguments[1:])
