#!/usr/bin/env python3
r"""Stage 5: decode dumps into people, and evaluate them on COCO keypoints.

    python3 HigherHRNet_postprocess.py --dump_dir result/dumpOutput_device0_bs1 \
        --dump_dir_flip result/dumpOutput_device0_bs1_flip

Writes output/{data set}/{network}/{config}/results/keypoints_{split}_results.json and a log beside it. Needs the
annotation file; images only for --vis_dir.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from higherhrnet import cli, coco, decode, evaluation, settings, workers
from higherhrnet.files import atomic
from higherhrnet.stages import postprocess


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print the ten figures."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dump_dir", type=Path, required=True, metavar="DIR", help="dumps of the plain inputs")
    parser.add_argument("--dump_dir_flip", type=Path, metavar="DIR", help="dumps of the mirrored inputs")
    parser.add_argument(
        "--no_long_side_limit", action="store_true", help="the inputs were made with this flag of preprocessing"
    )
    parser.add_argument("--workers", type=cli.positive, default=workers.cores(), metavar="N", help="processes")
    parser.add_argument("--vis_dir", type=Path, metavar="DIR", help="draw the people found on images, into this folder")
    parser.add_argument("--vis_count", type=cli.positive, default=20, metavar="N", help="images to draw at most")
    parser.add_argument("--vis_score", type=float, default=0.3, metavar="S", help="draw people of at least this score")
    parser.add_argument("--overwrite", action="store_true", help="decode again what was decoded already")
    cli.add_shard(parser)
    cli.add_config(parser)
    args, cfg = cli.parse(parser, argv)

    shard = postprocess.shard_of(args.dump_dir, args.shard)
    root, split = cfg.DATASET.ROOT, cfg.DATASET.TEST
    layout = settings.layout(cfg)
    annotated = coco.has_annotations(split, layout)
    dataset = coco.load(coco.annotation_file(root, split, layout))
    results = evaluation.results_file(cfg, args.cfg, shard)
    folder = results.parent.parent
    log = _log(folder / f"{args.cfg.stem}_{time.strftime('%Y-%m-%d-%H-%M-%S')}_valid{shard.suffix}.log")
    log.debug("arguments: %s\n%s", " ".join(sys.argv[1:] if argv is None else argv), cfg)

    if not decode.is_compiled():
        log.info("=> compiling the decode kernel: about half a minute, once")
        decode.compile()
    start = time.perf_counter()
    with workers.Pool(args.workers) as pool:
        summary = postprocess.run(
            dataset,
            args.dump_dir,
            args.dump_dir_flip,
            plan=settings.plan(cfg, limit_long_side=not args.no_long_side_limit),
            heads=settings.heads(cfg),
            options=evaluation.options(cfg),
            results=results,
            pool=pool,
            shard=shard,
            overwrite=args.overwrite,
            result_joints=settings.result_joints(cfg),
            kind=layout.kind if annotated and coco.can_evaluate(layout.kind) else None,
        )
    seconds = time.perf_counter() - start
    log.info("=> %d people in %d images, %.1f s, %s", summary.people, summary.images, seconds, summary.results)
    if summary.kept:
        log.info("=> %d of these images had been decoded before", summary.kept)
    if summary.images < summary.dataset_images:
        log.info("=> the figures are over the %d of %d images that have dumps", summary.images, summary.dataset_images)
    if summary.left_out:
        log.info("=> %d bad images were left out (--skip_bad)", summary.left_out)
    if summary.figures is not None:
        log.info("%s", coco.table(summary.figures, cfg.MODEL.NAME))
    elif annotated:
        log.info("=> no figures: crowdposetools, CrowdPose's evaluation, is not installed; install it and run again")
    else:
        log.info("=> no figures: %s has no annotations here; submit the results file to the evaluation server", split)
    if args.vis_dir:
        pictures = postprocess.draw_results(
            dataset,
            summary.results,
            root=root,
            split=split,
            output=args.vis_dir,
            count=args.vis_count,
            min_score=args.vis_score,
            layout=layout,
            skeleton=settings.joint_set(cfg),
        )
        log.info("=> %d pictures in %s", len(pictures), args.vis_dir)


def _log(path: Path) -> logging.Logger:
    """A logger to ``path`` and, from INFO, to stdout."""
    atomic.make_directory(path.parent)
    log = logging.Logger("postprocess")
    console = logging.StreamHandler(sys.stdout)
    console.setLevel(logging.INFO)
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(console)
    log.addHandler(file)
    return log


if __name__ == "__main__":
    sys.exit(cli.run(main))
