#!/usr/bin/env python3
"""Stage 1, images to network inputs: higherhrnet.cli.preprocess, whose flags --help lists."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.run("preprocess"))
