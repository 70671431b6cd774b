#!/usr/bin/env python3
"""Stage 4: run the network over all inputs, shape by shape; leave dumps and performance files.

    python3 HigherHRNet_benchmark.py --bs 1

Reads prep_bin_{H}x{W}.info and prep_bin_flip_{H}x{W}.info, writes result/dumpOutput_device0_bs1, the same with _flip,
and result/perf_vision_batchsize_1_device_0_{H}x{W}.txt. Dumps that are there already are kept, those of another model
or data set are replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from higherhrnet import cli, joints
from higherhrnet.backends import choice
from higherhrnet.files import models
from higherhrnet.stages import infer


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print where the dumps are."""
    parser = cli.parser(__doc__)
    parser.add_argument("--bs", type=cli.positive, default=1, metavar="N", help="batch size")
    parser.add_argument("--backend", choices=choice.BACKENDS, default="auto", help="what runs the network")
    parser.add_argument("--model", type=Path, metavar="FILE", help=".onnx; models/*_bs{N}_dynamic.onnx without it")
    parser.add_argument("--info", default="./prep_bin", metavar="NAME", help="lists of the inputs, without _HxW.info")
    parser.add_argument("--info_flip", default="./prep_bin_flip", metavar="NAME", help="lists of the mirrored inputs")
    parser.add_argument("--result", type=Path, default=Path("result"), metavar="DIR", help="dumps and figures")
    parser.add_argument("--device_id", type=int, default=0, metavar="D", help="device; also in the file names")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="onnxruntime: threads; 0 leaves it to it")
    parser.add_argument("--overwrite", action="store_true", help="replace all dumps that are there")
    args = parser.parse_args(argv)

    model = args.model or models.find_onnx(Path("models"), args.bs)
    plain, flip = infer.load(args.info, flip=False), infer.load(args.info_flip, flip=True)
    infer.check_pair(plain, flip)
    name, why = choice.choose(args.backend)
    print(f"backend {name} ({why}), model {model}")
    with tqdm(total=2 * len(plain.indices), desc="infer", unit="image", disable=None) as bar:
        backend = choice.make(name, model, batch=args.bs, device=args.device_id, threads=args.threads, done=bar.update)
        summary = infer.run(
            backend,
            (plain, flip),
            model=model,
            result=args.result,
            joints=len(joints.NAMES),
            overwrite=args.overwrite,
            skipped=bar.update,
        )
    for directory in summary.afresh:
        print(f"{directory}: dumps of other work were removed first")
    kept = f", {summary.skipped} of {2 * summary.images} dumps were there" if summary.skipped else ""
    print(f"{summary.images} images in {' and '.join(map(str, summary.directories))}{kept}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
