#!/usr/bin/env python3
"""Stage 6, the table of images per second: higherhrnet.cli.performance, whose flags --help lists."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.run("performance"))
