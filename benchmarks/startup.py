"""Time what a program, and a worker of preprocessing, takes until its work begins.

    python3 -m benchmarks.startup [--against CHECKOUT] [--runs 15]

Each is a process of its own, run in turn with the same of another checkout, so that a noisy machine slows both sides.
A worker is started as multiprocessing's spawn does it: the script as ``__mp_main__``, then the module of the function
that it is to call.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = "HigherHRNet_preprocess.py"
WORKER = f"import runpy; runpy.run_path({SCRIPT!r}, run_name='__mp_main__'); import higherhrnet.stages.preprocess"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Modules are compiled in the first run, which does not count, in every checkout: else one whose tests ran is ahead."""
PROGRAMS = {f"{SCRIPT} --help": [SCRIPT, "--help"], "a worker of it": ["-c", WORKER]}


def run(arguments: Sequence[str], checkout: Path) -> tuple[float, float]:
    """Run Python in a checkout; return seconds by the clock and seconds of the processors, the system's included."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=checkout, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return taken, usage.ru_utime + usage.ru_stime


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout, run in turn with this one")
    parser.add_argument("--runs", type=int, default=15, help="of each program, after one that does not count")
    args = parser.parse_args(argv)
    checkouts = [ROOT, *([args.against.resolve()] if args.against else [])]

    for name, arguments in PROGRAMS.items():
        taken: list[list[tuple[float, float]]] = [[] for _ in checkouts]
        for number in range(args.runs + 1):
            for checkout, times in zip(checkouts, taken, strict=True):
                measured = run(arguments, checkout)
                if number:
                    times.append(measured)
        print(name)
        for checkout, times in zip(checkouts, taken, strict=True):
            clock, processor = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"  {checkout.name:<20}{clock:8.3f} s by the clock,{processor:8.3f} s of the processors (medians)")
        if args.against:
            for kind, what in enumerate(("clock", "processors")):
                ratios = [ours[kind] / other[kind] for ours, other in zip(*taken, strict=True)]
                print(
                    f"  ratio, {what:<13}{statistics.median(ratios):8.3f}   from {min(ratios):.3f} to {max(ratios):.3f}"
                )


if __name__ == "__main__":
    main()
