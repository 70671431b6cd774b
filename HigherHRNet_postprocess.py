#!/usr/bin/env python3
"""Stage 5, dumps to people and their average precision: higherhrnet.cli.postprocess, whose flags --help lists."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.run("postprocess"))
