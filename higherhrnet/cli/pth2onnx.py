"""Stage 3: export a PyTorch checkpoint to a dynamic ONNX file (opset 11), and check it against PyTorch.

    python3 HigherHRNet_pth2onnx.py --weights models/pose_higher_hrnet_w32_512.pth

Writes models/{name}_bs{N}_dynamic.onnx: input `input`, outputs `output1` and `output2`, height and width dynamic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from higherhrnet import __version__
from higherhrnet.artifacts import models, outputs
from higherhrnet.cli import flags, uses
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, origin


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print how near the file comes to PyTorch."""
    parser = flags.parser(__doc__, "pth2onnx")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="F",
        help="checkpoint: official, SWAHR, mmpose 0.x (.pth) or PaddleDetection (.pdparams); TEST.MODEL_FILE, or "
        "model_best.pth.tar, without it",
    )
    parser.add_argument(
        "--bs", type=_sizes, default=(1,), metavar="N[,N...]", help="batch sizes, a file each; -1 leaves it dynamic"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--output", type=Path, metavar="FILE", help="models/{name}_bs{N}_dynamic.onnx without it")
    output.add_argument(
        "--onnx_path", type=Path, metavar="FILE", help="the same, with the output nodes that ModelZoo's atc line names"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that this program did not export")
    flags.add_config(parser)
    args, config = flags.parse(parser, argv)
    uses.check("pth2onnx", argv)

    weights = args.weights or config.weights or Path("model_best.pth.tar")
    if config.weights is not None and not models.same_file(weights, config.weights):
        raise UserError(f"--weights {weights} and TEST.MODEL_FILE {config.weights} are two checkpoints; give one")
    flag, output = ("--onnx_path", args.onnx_path) if args.onnx_path else ("--output", args.output)
    if output and len(args.bs) > 1:
        raise UserError(f"{flag} names one file, --bs {len(args.bs)} batch sizes; omit one of them")

    paths = [output or Path("models") / models.onnx_name(weights, batch) for batch in args.bs]

    def check(path: Path) -> None:
        outputs.check(path, flag, ours=origin.is_ours, inputs=[weights, config.file], overwrite=args.overwrite)

    for path in paths:
        check(path)

    # Imported here: torch takes seconds, and a wrong argument should be answered at once.
    from higherhrnet.model import architecture, checkpoint, export, network  # noqa: PLC0415

    described = architecture.Architecture.from_extra(config.extra, config.heads)
    found = fingerprint.see(weights) if weights.is_file() else None  # what is not there is said by the next line
    config.check_joints(checkpoint.joints(weights), weights)
    net = network.HigherHRNet(described)
    loaded = checkpoint.load(weights, net)
    assert found is not None, "it was loaded"
    found.check()
    print(f"{weights}: {loaded}")
    metadata = {
        "made_by": f"higherhrnet {__version__}",
        "weights_sha256": found.sha256,
        "weights_family": loaded.family.name,
        "architecture": described.as_json(),
    }
    for batch, path in zip(args.bs, paths, strict=True):
        nodes = export.MODELZOO_NODES if args.onnx_path else export.GUIDE_NODES
        report = export.export(
            net, path, batch=batch, metadata=metadata, output_nodes=nodes, check=partial(check, path)
        )
        print(f"{report.path}: {report.nodes} nodes, opset {export.OPSET}")
        print(f"largest difference from PyTorch, relative to the largest output value: {report.difference:.2g}")


def _sizes(text: str) -> tuple[int, ...]:
    return (-1,) if text.strip() == "-1" else flags.batch_sizes(text)
