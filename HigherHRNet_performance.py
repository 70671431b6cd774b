#!/usr/bin/env python3
"""Stage 6: the guide's performance table from the benchmark stage's figures.

    python3 HigherHRNet_performance.py

Images a second of the network call alone, for every input shape (H,W) that was measured.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from higherhrnet import cli, report
from higherhrnet.files import perf


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--result", type=Path, default=Path("result"), metavar="DIR", help="where the figures are")
    parser.add_argument("--bs", type=cli.positive, metavar="N", help="only this batch size; all without it")
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="of the table")
    args = parser.parse_args(argv)

    columns: dict[str, dict[tuple[int, int], float]] = {}
    for figure in perf.find(args.result, batch=args.bs):
        label = f"bs{figure.batch} device {figure.device}"
        columns.setdefault(label, {})[figure.shape] = figure.images_per_second
    rows = report.table(columns)
    print(report.as_text(rows) if args.format == "text" else report.as_markdown(rows))


if __name__ == "__main__":
    sys.exit(cli.run(main))
