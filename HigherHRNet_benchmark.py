#!/usr/bin/env python3
"""Stage 4, inputs to dumps and performance files: higherhrnet.cli.benchmark, whose flags --help lists."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.run("benchmark"))
