r"""One page that explains the AP of a results file: which joints, which pictures, which kind of mistake.

    higherhrnet report --results output/coco_kpt/.../keypoints_val2017_results.json
    higherhrnet report --results new.json --against old.json --dumps new/dumpOutput_device0_bs1

The page is a single file that needs no network. It has the official figures with intervals, precision over recall,
the errors of joints and people with the AP that mending each would give, joints, groups of pictures, scores, the worst
pictures, and with --against what changed. Needs the annotation file, and of the images those that it shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from higherhrnet.cli import flags
from higherhrnet.report import writer
from higherhrnet.report.analysis.numbers import Amount


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page, and print its path."""
    args, config = flags.parse(_parser(), argv)
    job = writer.ReportJob(
        config.location,
        args.results,
        args.output,
        config.protocol,
        json=args.json,
        against=args.against,
        dumps=args.dumps,
        amount=Amount(pictures=args.pictures),
        overwrite=args.overwrite,
    )
    say(writer.run(job))


def say(made: writer.Made) -> None:
    """Print the notes and the paths."""
    for note in made.notes:
        print(f"note: {note}")
    for file in made.files:
        print(f"=> {file}")


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "report")
    parser.add_argument("--results", type=Path, required=True, metavar="FILE", help="people in COCO's results format")
    parser.add_argument("--against", type=Path, metavar="FILE", help="other results over the same pictures")
    dumps = "dumps of --results, then of --against: speed is read from the performance files in their folders"
    parser.add_argument("--dumps", type=Path, nargs="+", default=[], metavar="DIR", help=dumps)
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers, too")
    parser.add_argument(
        "--pictures", type=flags.count_or_none, default=8, metavar="N", help="show at most N of each kind of error"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that this program did not make")
    flags.add_config(parser)
    return parser
