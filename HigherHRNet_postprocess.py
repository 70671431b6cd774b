#!/usr/bin/env python3
r"""Stage 5: decode dumps into people, and evaluate them on COCO keypoints.

    python3 HigherHRNet_postprocess.py --dump_dir result/dumpOutput_device0_bs1 \
        --dump_dir_flip result/dumpOutput_device0_bs1_flip

Writes output/{data set}/{network}/{config}/results/keypoints_{split}_results.json and a log beside it. Needs the
annotation file; images only for --vis_dir.
"""

from __future__ import annotations

if __name__ == "__main__":  # the imports below take seconds, in which a signal must not end in a traceback
    from higherhrnet import terminal

    terminal.prepare()

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from higherhrnet import cli, coco, decode, evaluation, settings, workers
from higherhrnet.errors import UserError
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
    parser.add_argument("--workers", type=cli.process_count, default=workers.cores(), metavar="N", help="processes")
    parser.add_argument("--vis_dir", type=Path, metavar="DIR", help="draw the people found on images, into this folder")
    parser.add_argument("--vis_count", type=cli.count, default=20, metavar="N", help="images to draw at most")
    parser.add_argument(
        "--vis_score", type=cli.non_negative, default=0.3, metavar="S", help="draw people of at least this score"
    )
    parser.add_argument("--overwrite", action="store_true", help="decode again what was decoded already")
    cli.add_shard(parser)
    cli.add_config(parser)
    args, cfg = cli.parse(parser, argv)

    shard = postprocess.shard_of(args.dump_dir, args.shard)
    root, split = cfg.DATASET.ROOT, cfg.DATASET.TEST
    layout = settings.layout(cfg)
    annotated = coco.has_annotations(split, layout)
    evaluated = layout.kind if annotated and coco.can_evaluate(layout.kind) else None
    dataset = coco.load(coco.annotation_file(root, split, layout), evaluated)
    results = evaluation.results_file(cfg, args.cfg, shard)
    folder = results.parent.parent
    log = _Log(folder / f"{args.cfg.stem}_{time.strftime('%Y-%m-%d-%H-%M-%S')}_valid{shard.suffix}.log")
    log.note(f"arguments: {' '.join(sys.argv[1:] if argv is None else argv)}\n{cfg}")

    if not decode.is_compiled():
        log.say("=> compiling the decode kernel: about half a minute, once")
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
            kind=evaluated,
        )
    seconds = time.perf_counter() - start
    log.say(f"=> {summary.people} people in {summary.images} images, {seconds:.1f} s, {summary.results}")
    if summary.kept:
        log.say(f"=> {summary.kept} of these images had been decoded before")
    if summary.images < summary.dataset_images:
        log.say(f"=> the figures are over the {summary.images} of {summary.dataset_images} images that have dumps")
    if summary.left_out:
        log.say(f"=> {summary.left_out} bad images were left out (--skip_bad)")
    if summary.figures is not None:
        log.say(coco.table(summary.figures, cfg.MODEL.NAME))
    elif annotated:
        log.say("=> no figures: crowdposetools, CrowdPose's evaluation, is not installed; install it and run again")
    else:
        log.say(f"=> no figures: {split} has no annotations here; submit the results file to the evaluation server")
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
        log.say(f"=> {len(pictures)} pictures in {args.vis_dir}")


class _Log:
    """What is said on stdout, and everything with its time in a file."""

    def __init__(self, path: Path) -> None:
        """Makes the file's folder."""
        atomic.make_directory(path.parent)
        self._path = path

    def say(self, text: str) -> None:
        """On stdout and in the file."""
        print(text, flush=True)
        self.note(text)

    def note(self, text: str) -> None:
        """In the file alone. Raises UserError where it cannot be written."""
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        except OSError as e:
            raise UserError(f"cannot write log {self._path}: {e.strerror}; free space or change OUTPUT_DIR") from e


if __name__ == "__main__":
    sys.exit(cli.run(main))
