"""What the scripts share: exit statuses, error lines, and the options of the configuration."""

from __future__ import annotations

import argparse
import math
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from yacs.config import CfgNode

from higherhrnet import config, terminal
from higherhrnet.backends import PRECISIONS
from higherhrnet.errors import UserError
from higherhrnet.shards import ALL, Shard


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Call a script's main with its arguments (None: the command line's); return its exit status.

    0 done; 1 the user's error, as one line ``error: ...`` on stderr, or a standard output that cannot be written; 2
    wrong usage (argparse); 130 Ctrl-C; 143 SIGTERM; 129 SIGHUP, a terminal that closed: unhandled, the programs we
    started would go on alone. Any other exception is our bug and passes through.
    """
    interruption = terminal.Interruption()
    error: BaseException | None = None
    try:
        with interruption.watched(), terminal.checked_output():
            main(argv)
    except BaseException as e:
        error = e
    signal_number = interruption.number or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
    if signal_number is not None:  # whatever the exception became on its way up
        terminal.say(terminal.INTERRUPTED)
        return 128 + signal_number
    if isinstance(error, UserError):
        terminal.say(f"error: {' '.join(str(error).split())}")
        return 1
    if isinstance(error, OSError) and error.filename is not None:  # one that no stage has a better word for
        terminal.say(f"error: {error.strerror}: {error.filename!r}; check that path and its rights")
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


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring and names every default."""
    return argparse.ArgumentParser(description=doc, formatter_class=_Formatter, allow_abbrev=False)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # PyTorch's words
_DECIMAL = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_LARGEST_COUNT = 10**9  # images, rounds: beyond any data set
_LARGEST_SMALL = 1024  # batch sizes, processes, devices: they size buffers, and name files


def _whole(least: int, most: int) -> Callable[[str], int]:
    """An argparse type: a whole number of ``least`` to ``most``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number of {least} to {most:,}")
        return int(text)

    return parse


count = _whole(1, _LARGEST_COUNT)
count_or_none = _whole(0, _LARGEST_COUNT)
batch_size = process_count = _whole(1, _LARGEST_SMALL)
device_id = thread_count = _whole(0, _LARGEST_SMALL)
"""Argparse types: whole numbers within bounds; a thread count of 0 leaves it to the library."""


def non_negative(text: str) -> float:
    """An argparse type: a finite number of at least 0."""
    if not _DECIMAL.fullmatch(text.strip()) or math.isinf(float(text)):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a finite number of at least 0")
    return float(text)


def add_shard(to: argparse.ArgumentParser) -> None:
    """Add ``--shard I/N``."""
    to.add_argument("--shard", type=_shard, default=ALL, metavar="I/N", help="only part I, from 1, of N of the images")


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def say_left_out(left_out: Mapping[int, str]) -> None:
    """List bad images that were skipped; nothing without any."""
    if left_out:
        print(f"{len(left_out)} bad images were left out (--skip_bad):")
        for _, why in sorted(left_out.items()):
            print(f"  {why}")


def batch_sizes(text: str) -> tuple[int, ...]:
    """An argparse type: whole numbers of at least 1, as in 1,2,4,8, none twice."""
    return _several(text, batch_size)


def device_ids(text: str) -> tuple[int, ...]:
    """An argparse type: numbers of devices, as in 0,1, none twice."""
    return _several(text, device_id)


def _several(text: str, parse: Callable[[str], int]) -> tuple[int, ...]:
    values = tuple(parse(part) for part in text.split(","))
    if len(set(values)) != len(values):
        raise argparse.ArgumentTypeError(f"{text[:40]} names a number twice")
    return values


def names(text: str) -> tuple[str, ...]:
    """An argparse type: names without blanks, as in CUDA,CPU."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_in_process(to: argparse._ActionsContainer) -> None:
    """Add the options of the backends that run in this process."""
    to.add_argument(
        "--providers",
        type=names,
        default=(),
        metavar="P,P",
        help="onnxruntime: CUDA, TensorRT, CANN, CPU, by preference",
    )
    to.add_argument(
        "--precision", choices=PRECISIONS, help="torch: float16 where there is a CUDA GPU, else float32 without it"
    )


def add_config(to: argparse.ArgumentParser) -> None:
    """Add ``--cfg FILE`` and the ``KEY VALUE`` overrides."""
    group = to.add_argument_group("configuration")
    group.add_argument("--cfg", type=Path, default=config.DEFAULT, metavar="FILE", help="yaml of the official layout")
    group.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides, for example DATASET.ROOT data/coco")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, CfgNode]:
    """Parse arguments whose options may stand before, between or after the overrides; load the configuration."""
    args = parser.parse_intermixed_args(argv)
    return args, config.load(args.cfg, args.opts)
