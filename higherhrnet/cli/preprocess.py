"""Stage 1: write the network inputs of a COCO data set, plain and flipped, as .bin files.

    python3 HigherHRNet_preprocess.py --output prep_bin --output_flip prep_bin_flip
    python3 HigherHRNet_preprocess.py --output prep_bin --output_flip prep_bin_flip DATASET.ROOT data/coco

Files that are there already are kept, so a stopped run resumes. Of several TEST.SCALE_FACTOR, the
trees of factors other than 1 are DIR_scale{factor}; with TEST.FLIP_TEST False there is no mirrored tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from higherhrnet.artifacts import inputs
from higherhrnet.artifacts.scales import beside
from higherhrnet.cli import flags, uses
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.stages import preprocess
from higherhrnet.system import workers

_DTYPES = (inputs.FLOAT32, inputs.FLOAT16)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print what was done."""
    parser = flags.parser(__doc__, "preprocess")
    add = parser.add_argument  # the defaults are those of the guide's original
    add("--output", type=Path, default=Path("prep_data"), metavar="DIR", help="tree of the inputs")
    add("--output_flip", type=Path, default=Path("prep_data_flip"), metavar="DIR", help="tree of the mirrored inputs")
    parser.add_argument("--workers", type=flags.process_count, default=workers.cores(), metavar="N", help="processes")
    parser.add_argument("--limit", type=flags.count, metavar="N", help="only the first N images; all without it")
    parser.add_argument("--overwrite", action="store_true", help="replace inputs that are there")
    parser.add_argument("--skip_bad", action="store_true", help="leave bad images out and list them at the end")
    parser.add_argument("--no_eval", action="store_true", help="do not check annotated people, for no figures")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--aipp", action="store_true", help="uint8 inputs, a quarter of the bytes, for an .om with AIPP")
    form.add_argument("--dtype", choices=_DTYPES, default=inputs.FLOAT32, help="of the inputs; float16 halves them")
    parser.add_argument(
        "--layout",
        choices=inputs.LAYOUTS,
        default=inputs.FOLDERS,
        help="flat: .npy files side by side, for one call of ais_bench, as ModelZoo's later page has it",
    )
    parser.add_argument(
        "--no_long_side_limit", action="store_true", help="keep all of long images, for backends that take any shape"
    )
    flags.add_exif(parser)
    flags.add_shard(parser)
    flags.add_config(parser)
    args, config = flags.parse(parser, argv)

    plan = replace(config.plan, limited=not args.no_long_side_limit)
    uses.check("preprocess", argv, flip=plan.flip)
    if args.layout == inputs.FLAT and args.aipp:
        raise UserError("--layout flat does not go with --aipp: ATC takes no AIPP with --dynamic_dims; omit one")
    is_evaluated = config.location.has_annotations and not args.no_eval  # what that refuses is refused before the work
    dataset = coco.load(config.location.annotations, config.protocol if is_evaluated else None)
    with workers.Pool(args.workers) as pool:
        if pool.remark:
            print(f"note: {pool.remark}")
        for factor in plan.factors:
            job = preprocess.PreprocessJob(
                config.location,
                plan.short_side,
                beside(args.output, factor),
                beside(args.output_flip, factor) if plan.flip else None,
                limit=args.limit,
                shard=args.shard,
                overwrite=args.overwrite,
                dtype=inputs.UINT8 if args.aipp else args.dtype,
                skip_bad=args.skip_bad,
                exif=args.exif,
                scale=plan.scale(factor),
                layout=args.layout,
            )
            summary = preprocess.run(dataset, job, pool)
            if summary.changed:
                print(f"{summary.changed} pictures have changed since their inputs were made; these were made again")
            kept = summary.images - summary.written
            trees = " and ".join(str(tree) for tree, _ in job.trees)
            print(f"{summary.images} images in {trees}" + (f", {kept} were there" * bool(kept)))
    flags.say_cut(summary.cut)
    flags.say_left_out(summary.left_out)
