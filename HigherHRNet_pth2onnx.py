#!/usr/bin/env python3
"""Stage 3, a checkpoint to ONNX: higherhrnet.cli.pth2onnx, whose flags --help lists."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.run("pth2onnx"))
