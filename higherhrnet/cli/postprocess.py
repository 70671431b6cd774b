r"""Stage 5: decode dumps into people, and evaluate them on COCO keypoints.

    python3 HigherHRNet_postprocess.py --dump_dir result/dumpOutput_device0_bs1 \
        --dump_dir_flip result/dumpOutput_device0_bs1_flip

Writes output/{data set}/{network}/{config}/results/keypoints_{split}_results.json and a log beside it. Needs the
annotation file; images only for --vis_dir.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from higherhrnet import decode
from higherhrnet.artifacts import atomic
from higherhrnet.cli import flags
from higherhrnet.dataset import coco, evaluation
from higherhrnet.errors import UserError
from higherhrnet.stages import postprocess
from higherhrnet.system import workers


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print the ten figures."""
    parser = flags.parser(__doc__, "postprocess")
    parser.add_argument("--dump_dir", type=Path, required=True, metavar="DIR", help="dumps of the plain inputs")
    parser.add_argument("--dump_dir_flip", type=Path, metavar="DIR", help="dumps of the mirrored inputs")
    parser.add_argument(
        "--no_long_side_limit", action="store_true", help="the inputs were made with this flag of preprocessing"
    )
    parser.add_argument("--workers", type=flags.process_count, default=workers.cores(), metavar="N", help="processes")
    parser.add_argument("--vis_dir", type=Path, metavar="DIR", help="draw the people found on images, into this folder")
    parser.add_argument("--vis_count", type=flags.count, default=20, metavar="N", help="images to draw at most")
    parser.add_argument(
        "--vis_score", type=flags.non_negative, default=0.3, metavar="S", help="draw people of at least this score"
    )
    parser.add_argument("--overwrite", action="store_true", help="decode again what was decoded already")
    flags.add_shard(parser)
    flags.add_config(parser)
    args, config = flags.parse(parser, argv)

    shard = postprocess.shard_of(args.dump_dir, args.shard)
    location = config.location
    annotated = location.has_annotations
    evaluated = location.kind if annotated and evaluation.can_evaluate(location.kind) else None
    dataset = coco.load(location.annotations, evaluated)
    results = config.results_file(shard)
    folder = results.parent.parent
    log = _Log(folder / f"{args.cfg.stem}_{time.strftime('%Y-%m-%d-%H-%M-%S')}_valid{shard.suffix}.log")
    log.note(f"arguments: {' '.join(sys.argv[1:] if argv is None else argv)}\n{config.text}")

    if not decode.is_compiled():
        log.say("=> compiling the decode kernel: about half a minute, once")
        decode.compile()
    start = time.perf_counter()
    with workers.Pool(args.workers) as pool:
        job = postprocess.PostprocessJob(
            args.dump_dir,
            args.dump_dir_flip,
            replace(config.plan, limited=not args.no_long_side_limit),
            config.heads,
            config.options,
            results,
            shard=shard,
            overwrite=args.overwrite,
            result_joints=config.result_joints,
            kind=evaluated,
        )
        summary = postprocess.run(dataset, job, pool)
    seconds = time.perf_counter() - start
    log.say(f"=> {summary.people} people in {summary.images} images, {seconds:.1f} s, {summary.results}")
    if summary.kept:
        log.say(f"=> {summary.kept} of these images had been decoded before")
    if summary.images < summary.dataset_images:
        log.say(f"=> the figures are over the {summary.images} of {summary.dataset_images} images that have dumps")
    if summary.left_out:
        log.say(f"=> {summary.left_out} bad images were left out (--skip_bad)")
    if summary.figures is not None:
        log.say(evaluation.table(summary.figures, config.network))
    elif annotated:
        log.say("=> no figures: crowdposetools, CrowdPose's evaluation, is not installed; install it and run again")
    else:
        log.say(
            f"=> no figures: {location.split} has no annotations here; submit the results file to the evaluation server"
        )
    if args.vis_dir:
        pictures = postprocess.draw_results(
            dataset,
            summary.results,
            location=location,
            output=args.vis_dir,
            count=args.vis_count,
            min_score=args.vis_score,
            skeleton=config.joints,
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
