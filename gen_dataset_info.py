#!/usr/bin/env python3
"""Stage 2, lists of the inputs: higherhrnet.cli.dataset_info, whose flags --help lists."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.run("dataset_info"))
