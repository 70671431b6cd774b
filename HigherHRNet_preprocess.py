#!/usr/bin/env python3
"""Stage 1: write the network inputs of a COCO data set, plain and flipped, as .bin files.

    python3 HigherHRNet_preprocess.py --output prep_bin --output_flip prep_bin_flip
    python3 HigherHRNet_preprocess.py --output prep_bin --output_flip prep_bin_flip DATASET.ROOT data/coco

Files that are there already are kept, so a run that was stopped goes on where it was. Of several TEST.SCALE_FACTOR, the
trees of factors other than 1 are DIR_scale{factor}; with TEST.FLIP_TEST False there is no mirrored tree.
"""

from __future__ import annotations

if __name__ == "__main__":  # the imports below take seconds, in which a signal must not end in a traceback
    from higherhrnet import terminal

    terminal.prepare()

import sys
from collections.abc import Sequence
from pathlib import Path

from higherhrnet import cli, coco, settings, workers
from higherhrnet.files import inputs
from higherhrnet.scales import beside
from higherhrnet.stages import preprocess

_DTYPES = (inputs.FLOAT32, inputs.FLOAT16)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print what was done."""
    parser = cli.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="tree of the inputs")
    parser.add_argument("--output_flip", type=Path, metavar="DIR", help="tree of the mirrored inputs")
    parser.add_argument("--workers", type=cli.process_count, default=workers.cores(), metavar="N", help="processes")
    parser.add_argument("--limit", type=cli.count, metavar="N", help="only the first N images; all without it")
    parser.add_argument("--overwrite", action="store_true", help="replace inputs that are there")
    parser.add_argument("--skip_bad", action="store_true", help="leave bad images out and list them at the end")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--aipp", action="store_true", help="uint8 inputs, a quarter of the bytes, for an .om with AIPP")
    form.add_argument("--dtype", choices=_DTYPES, default=inputs.FLOAT32, help="of the inputs; float16 halves them")
    parser.add_argument(
        "--no_long_side_limit", action="store_true", help="keep all of long images, for backends that take any shape"
    )
    cli.add_shard(parser)
    cli.add_config(parser)
    args, cfg = cli.parse(parser, argv)

    layout = settings.layout(cfg)
    plan = settings.plan(cfg, limit_long_side=not args.no_long_side_limit)
    if plan.flip and args.output_flip is None:
        parser.error("TEST.FLIP_TEST is True: --output_flip is required")
    dataset = coco.load(coco.annotation_file(cfg.DATASET.ROOT, cfg.DATASET.TEST, layout))
    with workers.Pool(args.workers) as pool:
        for factor in plan.factors:
            trees = [beside(tree, factor) for tree in ([args.output, args.output_flip] if plan.flip else [args.output])]
            summary = preprocess.run(
                dataset,
                root=cfg.DATASET.ROOT,
                split=cfg.DATASET.TEST,
                short_side=plan.short_side,
                output=trees[0],
                output_flip=trees[1] if plan.flip else None,
                pool=pool,
                limit=args.limit,
                shard=args.shard,
                overwrite=args.overwrite,
                dtype=inputs.UINT8 if args.aipp else args.dtype,
                skip_bad=args.skip_bad,
                scale=plan.scale(factor),
                layout=layout,
            )
            kept = summary.images - summary.written
            print(f"{summary.images} images in {' and '.join(map(str, trees))}" + (f", {kept} were there" * bool(kept)))
    if summary.cut:
        print(f"{len(summary.cut)} images are longer than the input shapes; their ends are cut off:")
        for name in summary.cut:
            print(f"  {name}")
    cli.say_left_out(summary.left_out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
