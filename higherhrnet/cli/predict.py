"""People in pictures, folders, videos and cameras: no annotations, no files between.

    higherhrnet predict street.jpg holiday/ clip.mp4 --output poses --save json,images,video

A SOURCE is a picture, a folder, a pattern ('*.jpg'), a video, camera:N, or - for a list of these on standard input.
--output - writes a line of JSON for each picture to standard output. Stopped at any moment, the same command resumes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
from tqdm import tqdm

from higherhrnet import decode
from higherhrnet.artifacts import atomic
from higherhrnet.artifacts.work import PosesWork
from higherhrnet.backends import choices, select
from higherhrnet.cli import decoding, flags, terminal, uses
from higherhrnet.cli import inference as inference_flags
from higherhrnet.config import loader
from higherhrnet.config.values import Config
from higherhrnet.errors import UserError
from higherhrnet.image import video
from higherhrnet.pipeline import poses, predict, sources
from higherhrnet.pipeline.people import Filter
from higherhrnet.pipeline.pose import MIN_SCORE, OKS_NMS, backend_for
from higherhrnet.pipeline.sources import Reading
from higherhrnet.pipeline.stream import Stream
from higherhrnet.stages import postprocess

_LINES = "-"


def main(argv: Sequence[str] | None = None) -> None:
    """Find people, write them, and name what could not be read."""
    args = _parser().parse_args(argv)
    uses.check("predict", argv, backend="" if args.backend == "auto" else args.backend)
    config = loader.load(args.cfg, [text for pair in args.set for text in pair])
    _check_overrides(args.set, config)
    to_lines = str(args.output) == _LINES
    for flag, is_given in (("--save", args.save is not None), ("--overwrite", args.overwrite)):
        if to_lines and is_given:
            raise UserError(f"{flag} has no effect with --output -, which writes lines alone; omit one of them")
    kinds = args.save or (poses.JSON,)
    if poses.VIDEO in kinds or args.track or args.no_exif or args.stride is not None:  # else no folder is listed twice
        of_sources = sources.kinds(args.sources)
        uses.check("predict", argv, kinds=of_sources)
        if poses.VIDEO in kinds and of_sources == {sources.PICTURE}:
            raise UserError("--save video is for a video or camera, and no source is one; omit video")
    if poses.VIDEO in kinds:
        video.require()
    options = inference_flags.options(args, args.bs)
    logs = None if to_lines else args.output / predict.LOGS
    with contextlib.redirect_stdout(sys.stderr if to_lines else sys.stdout):  # converting for Ascend says what it does
        inference = select.Inference(options, config)
        backend, model, chosen = backend_for(inference, logs=logs)
    uses.check("predict", argv, backend=chosen.name)
    say = terminal.say if to_lines else print
    say(f"backend {chosen.name} ({chosen.why}), model {model}{inference.where(chosen.name)}")
    decoding.prepare(say)
    plan = replace(config.plan, flip=config.plan.flip and not args.no_flip)
    reading, kept = Reading(not args.no_exif, args.stride or 1), Filter(args.min_score, args.oks_nms)
    job = predict.PredictJob(args.sources, reading, kept, config.joint_set, args.track)
    cv2.setNumThreads(1)  # the threads share the cores already
    written = sys.stdout
    with (
        contextlib.redirect_stdout(sys.stderr if to_lines else written),  # a GPU's session says how it was opened
        Stream(backend, plan, config.options, device=options.device) as stream,
        tqdm(desc="predict", unit="image", disable=None) as bar,
    ):

        def done(summary: predict.Summary) -> None:
            bar.set_postfix_str(f"{summary.people} people", refresh=False)
            bar.update()

        if to_lines:
            summary = predict.lines(stream, job, lambda line: print(line, file=written, flush=True), done)
        else:
            work = PosesWork(
                network={
                    "model": backend.model_hash,
                    "backend": backend.name,
                    "runtime": backend.runtime,
                    "batch": backend.batch,
                },
                options={
                    **postprocess.decode_options(config.options, plan),
                    **asdict(kept),
                    "joints": atomic.sha256_of_json(asdict(config.joint_set)),
                },
                reading={**asdict(reading), "track": args.track},
                saved=[kind for kind in poses.KINDS if kind in kinds and kind in poses.ALONG],
                version=decode.VERSION,
            )
            summary = predict.files(stream, job, args.output, kinds, work, done, overwrite=args.overwrite)
        decoding.say_left_to_host(stream.left_to_host, say)
        decoding.say_agreement(stream.agreement, say)
    if not to_lines:
        earlier = f", {summary.kept} of them done before" * bool(summary.kept)
        people, pictures = summary.people, summary.pictures + summary.kept
        found = f"{people} {'person' if people == 1 else 'people'} in {pictures} picture{'s' * (pictures != 1)}"
        say(f"{found}{earlier}: {args.output}")
    for name in summary.without_audio:
        say(f"{name}: its audio does not go into .mp4; the drawn video is silent")
    for line in summary.bad[1:]:
        terminal.say(f"also not read: {terminal.one_line(line)}")
    if summary.bad:
        raise UserError(summary.bad[0])


_WHERE_RESULTS_ARE = frozenset({"OUTPUT_DIR", "MODEL.NAME"})
_NAMES_JOINTS = frozenset({"DATASET.ROOT", "DATASET.TEST", "DATASET.DATASET_TEST", "DATASET.ANNOTATIONS", "DATA_DIR"})
_OF_DATA = frozenset({"DATASET.IMAGES", "DATASET.DATA_FORMAT"})


def _check_overrides(given: Sequence[tuple[str, str]], config: Config) -> None:
    """Refuse what is of a data set or its results; an annotation file may name the joints."""
    for key, _ in given:
        if key in _WHERE_RESULTS_ARE:
            raise UserError(f"--set {key} has no effect on predict, which writes to --output; omit it")
        if key in _OF_DATA or (key in _NAMES_JOINTS and config.described.names is not None):
            raise UserError(f"--set {key} has no effect on predict, which reads no data set; omit it")


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "predict")
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="picture, folder, pattern, video, camera:N, -")
    parser.add_argument("--output", type=Path, default=Path("poses"), metavar="DIR", help="folder of results, or -")
    kinds = f"of {','.join(poses.KINDS)} (default: {poses.JSON})"
    parser.add_argument("--save", type=_kinds, metavar="LIST", help=kinds)
    parser.add_argument("--no_flip", action="store_true", help="without the mirror image: twice as fast, less precise")
    parser.add_argument(
        "--min_score", type=flags.non_negative, default=MIN_SCORE, metavar="S", help="of people; 0 keeps all"
    )
    parser.add_argument(
        "--oks_nms",
        type=flags.non_negative,
        default=OKS_NMS,
        metavar="T",
        help="keep the better one of two people so alike, 0 to 1; 0 keeps both",
    )
    parser.add_argument("--no_exif", action="store_true", help="do not turn pictures as EXIF says")
    parser.add_argument("--stride", type=flags.count, metavar="N", help="of videos every N-th frame")
    parser.add_argument("--track", action="store_true", help="ids of people who are followed through a video")
    parser.add_argument("--overwrite", action="store_true", help="start afresh, whatever is in --output of other work")
    network = parser.add_argument_group("network")
    in_process = [name for name in choices.BACKENDS if name not in choices.PROGRAMS]
    network.add_argument("--backend", choices=in_process, default="auto", help="what runs the network")
    network.add_argument("--model", type=Path, metavar="FILE", help=".onnx, .om or, for torch, .pth; found in models/")
    network.add_argument("--bs", type=flags.batch_size, default=1, metavar="N", help="batch size")
    network.add_argument("--device_id", type=flags.device_id, metavar="D", help="of several devices")
    network.add_argument(
        "--threads", type=flags.thread_count, default=0, metavar="N", help="of the CPU; 0 leaves it to the backend"
    )
    inference_flags.add_in_process(network)
    inference_flags.add_decode_on(network)
    group = parser.add_argument_group("configuration")
    group.add_argument("--cfg", type=Path, default=loader.DEFAULT, metavar="FILE", help="yaml of the official layout")
    group.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="override, may be repeated"
    )
    return parser


def _kinds(text: str) -> tuple[str, ...]:
    """An argparse type: some of poses.KINDS."""
    kinds = flags.names(text)
    for kind in kinds:
        if kind not in poses.KINDS:
            raise argparse.ArgumentTypeError(f"{kind[:40]!r} is none of {', '.join(poses.KINDS)}")
    if not kinds:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(poses.KINDS)}")
    return kinds
