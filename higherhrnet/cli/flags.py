"""Flags that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from higherhrnet.backends.base import CPU, CUDA, DEVICES, NPU
from higherhrnet.config import loader
from higherhrnet.config.values import Config
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.errors import UserError


def parser(doc: str | None, command: str) -> argparse.ArgumentParser:
    """A parser whose help is a command's docstring and names every default; it calls itself as it was called."""
    called = Path(sys.argv[0]).name
    prog = called if called.endswith(".py") and called != "__main__.py" else f"higherhrnet {command}"
    return argparse.ArgumentParser(prog=prog, description=doc, formatter_class=_Formatter, allow_abbrev=False)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Names the defaults that say something: numbers, strings and paths, those of a list as they are typed."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if isinstance(default, list | tuple):
            default = ",".join(map(str, default))
        if default is None or isinstance(default, bool) or default in {"", argparse.SUPPRESS}:
            return action.help
        return f"{action.help} (default: {str(default).replace('%', '%%')})"


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


def add_exif(to: argparse.ArgumentParser) -> None:
    """Add ``--exif``."""
    to.add_argument(
        "--exif",
        action="store_true",
        help="turn images as their EXIF orientation says, which the official code ignores",
    )


def add_shard(to: argparse.ArgumentParser) -> None:
    """Add ``--shard I/N``."""
    to.add_argument("--shard", type=_shard, default=ALL, metavar="I/N", help="only part I, from 1, of N of the images")


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def say_cut(names: Sequence[str]) -> None:
    """List images whose ends the input shapes cut off; nothing without any."""
    if names:
        print(f"{len(names)} images are longer than the input shapes; their ends are cut off:")
        for name in names:
            print(f"  {name}")


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


def run_on(text: str) -> tuple[str, int | None]:
    """An argparse type: auto, cpu, cuda[:N], npu[:N] or OpenVINO's name; where to compute, and the device's number."""
    if re.fullmatch(r"(CPU|GPU|NPU|AUTO|HETERO|MULTI|BATCH)\b\S*", text):
        return text.lower() if text.lower() == CPU else text, None
    where, colon, number = text.partition(":")
    if where not in DEVICES or (colon and where not in {CUDA, NPU}):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is none of auto, cpu, cuda, cuda:N, npu and npu:N, nor one of OpenVINO's names, such as "
            f"GPU.1"
        )
    return where, device_id(number) if colon else None


def names(text: str) -> tuple[str, ...]:
    """An argparse type: names without blanks, as in CUDA,CPU."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_config(to: argparse.ArgumentParser) -> None:
    """Add ``--cfg FILE`` and the ``KEY VALUE`` overrides."""
    group = to.add_argument_group("configuration")
    group.add_argument("--cfg", type=Path, default=loader.DEFAULT, metavar="FILE", help="yaml of the official layout")
    group.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides, for example DATASET.ROOT data/coco")


VERBATIM = "--atc_args"
"""The flag whose value begins with dashes, which argparse takes for a flag where it stands alone."""


def joined(argv: Sequence[str]) -> list[str]:
    """Arguments with the value of VERBATIM in the same argument."""
    found = list(argv)
    for place in range(len(found) - 2, -1, -1):
        if found[place] == VERBATIM and "--" not in found[:place]:
            found[place : place + 2] = ["=".join(found[place : place + 2])]
    return found


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, Config]:
    """Parse arguments whose options may stand before, between or after the overrides; load the configuration."""
    args = parser.parse_intermixed_args(joined(sys.argv[1:] if argv is None else argv))
    config = loader.load(args.cfg, args.opts)
    if config.weights is not None and not config.weights.is_file():
        raise UserError(f"TEST.MODEL_FILE {config.weights} is no file; correct it, or give TEST.MODEL_FILE ''")
    return args, config
