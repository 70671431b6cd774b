#!/usr/bin/env python3
"""Stage 3: export a PyTorch checkpoint to a dynamic ONNX file (opset 11), and check it against PyTorch.

    python3 HigherHRNet_pth2onnx.py --weights models/pose_higher_hrnet_w32_512.pth

Writes models/{name}_bs{N}_dynamic.onnx: input `input`, outputs `output1` and `output2`, height and width dynamic.
"""

from __future__ import annotations

if __name__ == "__main__":  # the imports below take seconds, in which a signal must not end in a traceback
    from higherhrnet import terminal

    terminal.prepare()

import sys
from collections.abc import Sequence
from pathlib import Path

from higherhrnet import __version__, cli
from higherhrnet.errors import UserError
from higherhrnet.files import atomic, models


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print how near the file comes to PyTorch."""
    parser = cli.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, metavar="F", help="checkpoint (.pth)")
    parser.add_argument(
        "--bs", type=_sizes, default=(1,), metavar="N[,N...]", help="batch sizes, a file each; -1 leaves it dynamic"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="models/{name}_bs{N}_dynamic.onnx without it")
    cli.add_config(parser)
    args, cfg = cli.parse(parser, argv)

    if args.output and len(args.bs) > 1:
        raise UserError(f"--output names one file, --bs {len(args.bs)} batch sizes; leave one of them away")

    if args.output and args.output.exists() and args.output.samefile(args.weights):
        raise UserError(f"--output {args.output} is the checkpoint itself; give the .onnx another name")

    # Imported here: torch takes seconds, and a wrong argument should be answered at once.
    from higherhrnet import network, onnx_export  # noqa: PLC0415

    architecture = network.Architecture.from_extra(
        cfg.MODEL.EXTRA, joints=cfg.MODEL.NUM_JOINTS, tag_per_joint=cfg.MODEL.TAG_PER_JOINT
    )
    net = network.HigherHRNet(architecture)
    network.load_checkpoint(args.weights, net)
    metadata = {"made_by": f"higherhrnet {__version__}", "weights_sha256": atomic.sha256(args.weights)}
    for batch in args.bs:
        path = args.output or Path("models") / models.onnx_name(args.weights, batch)
        report = onnx_export.export(net, path, batch=batch, metadata=metadata)
        print(f"{report.path}: {report.nodes} nodes, opset {onnx_export.OPSET}")
        print(f"largest difference from PyTorch, relative to the largest output value: {report.difference:.2g}")


def _sizes(text: str) -> tuple[int, ...]:
    return (-1,) if text.strip() == "-1" else cli.batch_sizes(text)


if __name__ == "__main__":
    sys.exit(cli.run(main))
