r"""Stage 5: decode dumps into people, and evaluate them on COCO keypoints.

    python3 HigherHRNet_postprocess.py --dump_dir result/dumpOutput_device0_bs1 \
        --dump_dir_flip result/dumpOutput_device0_bs1_flip

Writes output/{data set}/{network}/{config}/results/keypoints_{split}_results.json and a log beside it. Needs the
annotation file; images only for --vis_dir.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from higherhrnet.cli import decoding, figures, flags, uses
from higherhrnet.cli.log import Log
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, evaluation
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import UserError
from higherhrnet.report import writer
from higherhrnet.stages import dump_sources, postprocess
from higherhrnet.system import workers


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print the ten figures."""
    args, config = flags.parse(_parser(), argv)
    uses.check("postprocess", argv, flip=config.plan.flip)
    location = config.location
    is_evaluated = location.has_annotations and not args.no_eval
    if is_evaluated:
        evaluation.require()
    file = coco.AnnotationFile.read(location.annotations)
    plan = replace(config.plan, limited=not args.no_long_side_limit)
    network = None
    with contextlib.suppress(UserError):  # which is named when they are opened
        network = dump_sources.joints(file.dataset(), args.dump_dir, plan, config.heads)
    config.check_joints(network, args.dump_dir, file)
    protocol = config.protocol if is_evaluated else None
    explained = config.protocol if args.report and location.has_annotations else protocol
    dataset = file.dataset(explained)
    shard = postprocess.shard_of(args.dump_dir, args.shard)
    job = postprocess.PostprocessJob(
        args.dump_dir,
        args.dump_dir_flip,
        plan,
        config.heads,
        config.options,
        config.results_file(shard),
        shard=shard,
        overwrite=args.overwrite,
        result_joints=config.result_joints,
        protocol=protocol,
    )
    report = writer.ReportJob(
        location, job.results, args.report, flag="--report", dumps=[args.dump_dir], overwrite=args.overwrite
    )
    if explained is not None and args.report:
        report = replace(report, protocol=explained)
    if args.report:
        writer.check(report)
    if args.vis_dir:
        drawing = postprocess.DrawJob(
            location, args.vis_dir, args.vis_count, args.vis_score, config.joints, args.overwrite
        )
        postprocess.check_drawing(dataset, drawing)
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S")
    log = Log(job.results.parent.parent / f"{config.file.stem}_{stamp}_valid{shard.suffix}.log")
    log.note(f"arguments: {' '.join(sys.argv[1:] if argv is None else argv)}\n{config.text}")
    decoding.prepare(lambda line: log.say(f"=> {line}"))
    start = time.perf_counter()
    with workers.Pool(args.workers) as pool:
        if pool.remark:
            log.say(f"note: {pool.remark}")
        summary = postprocess.run(dataset, job, pool)
    log.say(
        f"=> {summary.people} people in {summary.images} images, {time.perf_counter() - start:.1f} s, {job.results}"
    )
    remarks = list(_remarks(summary, config, dataset, protocol))
    for line in remarks:
        log.say(line)
    if args.vis_dir:
        pictures = postprocess.draw_results(dataset, job.results, summary.record, drawing)
        log.say(f"=> {len(pictures)} pictures in {args.vis_dir}")
    if args.report:
        made = writer.run(replace(report, image_ids=summary.image_ids))
        for note in made.notes:
            if f"=> {note}" not in remarks:
                log.say(f"note: {note}")
        log.say(f"=> {args.report} explains these figures")


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page that explains the figures")
    parser.add_argument("--no_eval", action="store_true", help="write the results file alone, without figures")
    parser.add_argument("--overwrite", action="store_true", help="decode all again, and replace files of others")
    flags.add_shard(parser)
    flags.add_config(parser)
    return parser


def _remarks(
    summary: postprocess.Summary, config: Config, dataset: coco.Dataset, protocol: EvaluationProtocol | None
) -> Iterator[str]:
    """What the figures are over, and these, or why there are none."""
    if summary.replaced:
        yield f"=> people of other work were replaced: {summary.replaced}"
    if summary.kept:
        yield f"=> {summary.kept} of these images had been decoded before"
    if summary.images < summary.dataset_images:
        yield f"=> the figures are over the {summary.images} of {summary.dataset_images} images that have dumps"
    if summary.left_out:
        yield f"=> {summary.left_out} bad images were left out (--skip_bad)"
    if summary.calibrated_on:
        yield figures.on_calibration_images(summary.calibrated_on)
    if summary.figures is not None and protocol is not None:
        yield from figures.of_annotations(dataset, protocol, summary.figures)
        yield evaluation.table(summary.figures, config.network)
    elif config.location.has_annotations:
        yield "=> no figures (--no_eval)"
    else:
        split = config.location.split
        yield f"=> no figures: {split} has no annotations here; submit the results file to the evaluation server"
