"""The whole chain in one command: images in, people and AP out, with no files between or few of them.

    python3 -m higherhrnet run

Writes the results file that the six scripts write, byte for byte. Where the network runs in this process, nothing but
the people lies on disk; for Ascend's tools images go through files in chunks, which fit --disk_budget. Stopped at any
moment, the same command resumes. With --shard I/N it does one part of the images, for one of N machines;
``python3 -m higherhrnet merge`` joins the parts.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from higherhrnet.artifacts import atomic, inputs
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.backends import choices
from higherhrnet.backends.base import Backend
from higherhrnet.backends.in_process import InProcess
from higherhrnet.backends.select import Choice, Inference
from higherhrnet.cli import decoding, figures, flags, uses
from higherhrnet.cli import inference as inference_flags
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, evaluation
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.model import quantized
from higherhrnet.pipeline import chain, estimate
from higherhrnet.pipeline.chunks import IN_FLIGHT, Chunk, plan
from higherhrnet.pipeline.clock import Clock
from higherhrnet.pipeline.disk import Budget, Usage
from higherhrnet.pipeline.flow import Flow, Stop
from higherhrnet.pipeline.in_memory import InMemory
from higherhrnet.pipeline.steps import Settings, Steps
from higherhrnet.report import tables
from higherhrnet.stages import results_file
from higherhrnet.system import memory, workers

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_IN_MEMORY_CHUNK = 32  # images that a Dask worker is given at a time: what is lost with it


def main(argv: Sequence[str] | None = None) -> None:
    """Run the chain and print the figures."""
    args, config = flags.parse(_parser(), argv)
    uses.check("run", argv, backend="" if args.backend == "auto" else args.backend)
    config.require_plain()
    if not args.no_eval:
        evaluation.require()
    inference = Inference(inference_flags.options(args, args.bs), config)
    protocol, dataset = _data(args, config, inference)
    first = dataset.images[: args.limit]
    images = args.shard.select(first)
    if not images:
        raise UserError(f"shard {args.shard} holds none of the {len(first)} images; give fewer shards")
    chosen = inference.choose()
    uses.check("run", argv, backend=chosen.name)
    model = inference.model(chosen.name)
    _say_backend(inference, chosen, model)
    settings = _settings(args, config, inference, chosen.name, model, dataset)
    flags.say_cut([i.file_name for i in images if geometry.of_plan(i.width, i.height, settings.plan).is_cut])
    work = args.work or Path(f"run_work{args.shard.suffix}")
    run = _Run(inference, chosen.name, settings, images, args.disk_budget, args.workers, work)
    if args.dry_run:
        with atomic.temporary_folder(work.absolute().parent) as folder:
            print(run.estimate(folder))
        return
    backend, run = run.begun(work)
    results = config.results_file(args.shard)
    wanted = chain.wanted(dataset, run.settings, backend, images=len(first), shard=args.shard)
    why = chain.why_to_make(results, wanted, images, config.location, overwrite=args.overwrite, exif=args.exif)
    if why is not None:
        results_file.check(results, overwrite=args.overwrite)
        if why:
            print(f"{results} holds people of other work ({why}); it is replaced when this run is complete")
        decoding.prepare()  # not where nothing is to be decoded: to load the compiled functions takes a second
        with chain.working(work, wanted, overwrite=args.overwrite) as journal:
            if changed := chain.forget_changed(journal, images, config.location, exif=args.exif):
                print(f"{changed} pictures have changed since; their people are found again")
            if journal.is_resumed:
                print(f"resuming: {len(journal)} of {len(images)} images are done")
            if args.dask:
                run.on_dask(args.dask, journal, backend)
            else:
                run.here(journal, backend)
            flags.say_left_out(journal.left_out)
            atomic.make_directory(results.parent)
            chain.remove_folders(work)  # before the journal, which shows that they are ours
            chain.finish(results, journal, wanted, images, settings.calibrated, overwrite=args.overwrite)
    else:
        print(f"{results} is up to date; --overwrite does it again")
    chain.clear(work, wanted)
    figures.say(dataset, results, wanted, config.network, protocol=protocol)


def _say_backend(inference: Inference, chosen: Choice, model: Path) -> None:
    print(f"backend {chosen.name} ({chosen.why}), model {model}{inference.where(chosen.name)}")
    for remark in inference.remarks(chosen.name):
        print(f"note: {remark}")


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "run")
    parser.add_argument("--disk_budget", type=size, default="4GB", metavar="SIZE", help="on disk at any time")
    parser.add_argument("--work", type=Path, metavar="DIR", help="of chunks and journal; run_work without it")
    parser.add_argument(
        "--workers",
        type=flags.process_count,
        default=workers.cores(),
        metavar="N",
        help="processes, or threads where nothing goes through files, that read and decode",
    )
    parser.add_argument("--limit", type=flags.count, metavar="N", help="only the first N images; all without it")
    parser.add_argument("--overwrite", action="store_true", help="start afresh, whatever is there")
    parser.add_argument("--skip_bad", action="store_true", help="leave bad images out and list them at the end")
    parser.add_argument("--no_eval", action="store_true", help="write the results file alone, without figures")
    parser.add_argument("--dry_run", action="store_true", help="measure a few images, print what all will take")
    parser.add_argument("--dask", metavar="ADDRESS", help="give chunks to this Dask scheduler's workers")
    flags.add_exif(parser)
    parser.add_argument(
        "--no_long_side_limit", action="store_true", help="keep all of long images, for backends that take any shape"
    )
    flags.add_shard(parser)
    inference_flags.add(parser)
    inference_flags.add_decode_on(parser)
    flags.add_config(parser)
    return parser


def size(text: str) -> int:
    """An argparse type: bytes, as in 500MB or 4GB."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no size, expected for example 500MB or 4GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _data(
    args: argparse.Namespace, config: Config, inference: Inference
) -> tuple[EvaluationProtocol | None, coco.Dataset]:
    """As what people are evaluated, None without figures, and the data set with its people."""
    file = coco.AnnotationFile.read(config.location.annotations)
    config.check_joints(inference.joints, inference.file, file)
    protocol = None if args.no_eval else config.protocol
    return protocol, file.dataset(protocol)


def _settings(
    args: argparse.Namespace, config: Config, inference: Inference, backend: str, model: Path, dataset: coco.Dataset
) -> Settings:
    if args.no_long_side_limit and backend in choices.ON_ASCEND:
        raise UserError(f"--no_long_side_limit: an .om, which {backend} runs, has fixed shapes; omit the flag")
    input_dtype = inference.input_dtype(backend)
    dump_dtype = inference.options.dtype
    if input_dtype == inputs.FLOAT32 != dump_dtype:
        print(f"inputs stay float32, which {backend} takes; dumps are {dump_dtype}")
    return Settings(
        annotations=dataset.annotations.absolute(),
        location=config.location.absolute(),
        short_side=inference.short_side,
        heads=inference.heads,
        options=config.options,
        model=model.absolute(),
        model_hash="",  # the backend knows it when it has loaded the model
        device=inference.options.device,
        devices=args.device_ids,
        input_dtype=input_dtype,
        dump_dtype=dump_dtype,
        skip_bad=args.skip_bad,
        category=dataset.person,
        exif=args.exif,
        limited=not args.no_long_side_limit,
        calibrated=quantized.pictures(model),
    )


@dataclass(frozen=True)
class _Run:
    """The images of a run, and who does them."""

    inference: Inference
    backend: str
    settings: Settings
    images: Sequence[coco.Image]
    budget: int
    """Bytes on disk."""
    workers: int
    work: Path
    stop: Stop = field(default_factory=Stop)

    def backend_in(self, folder: Path) -> Backend:
        """The backend, with its logs in a folder; one that runs in this process ends when ``stop`` is set."""
        logs = folder / chain.LOGS
        return self.inference.backend(self.backend, self.settings.model, logs=logs, done=self.stop.check)

    def begun(self, folder: Path) -> tuple[Backend, _Run]:
        """The backend, and the same run of the model that it has loaded."""
        backend = self.backend_in(folder)
        return backend, replace(self, settings=replace(self.settings, model_hash=backend.model_hash))

    def chunks(self, backend: Backend, in_flight: int = IN_FLIGHT) -> list[Chunk]:
        """The images in chunks: so large that so many fit the budget, small where they take no disk."""
        settings = self.settings
        in_memory = isinstance(backend, InProcess)

        def image_bytes(shape: tuple[int, int]) -> tuple[int, int]:
            of_dumps = backend.scratch_bytes(shape, settings.dump_dtype)
            return 2 * inputs.size(shape, settings.input_dtype), 2 * of_dumps

        return plan(
            self.images,
            tested=settings.plan,
            budget=sys.maxsize if in_memory else self.budget,
            image_bytes=image_bytes,
            batch=backend.batch,
            most=_IN_MEMORY_CHUNK if in_memory else None,
            in_flight=in_flight,
        )

    def estimate(self, folder: Path) -> str:
        """What the run will take, measured in a folder."""
        decoding.prepare()
        backend, known = self.begun(folder)
        settings = known.settings
        chunks = self.chunks(backend)
        if isinstance(backend, InProcess):
            with InMemory(backend, settings, self.workers) as in_memory:
                return estimate.report(
                    lambda chunk, _: in_memory.seconds(chunk), chunks, 0, folder, who=f"{in_memory.threads} threads"
                )
        with workers.Pool(self.workers) as pool:
            steps = Steps(settings, pool, backend)
            return estimate.report(steps.seconds, chunks, self.budget, folder, who=f"{self.workers} processes")

    def here(self, journal: Journal[PeopleWork], backend: Backend) -> None:
        """Do the images on this machine, and say what took how long."""
        before = len(journal)
        start = time.perf_counter()
        if isinstance(backend, InProcess):
            clock, peak = self._in_memory(journal, backend)
        else:
            clock, peak = self._in_chunks(journal, backend)
        seconds = time.perf_counter() - start
        memories = memory.peak_mb(), memory.children_peak_mb()
        print(tables.stages(clock.seconds, seconds, len(journal) - before, limit=clock.limit))
        print(
            f"peak on disk {peak / 1e6:.1f} MB of {self.budget / 1e6:.1f} MB allowed; "
            f"peak memory {memories[0]:.0f} MB" + f", {memories[1]:.0f} MB per worker" * bool(memories[1])
        )

    def _in_memory(self, journal: Journal[PeopleWork], backend: InProcess) -> tuple[Clock, int]:
        """The stages' times, and the most bytes on disk."""
        budget = Budget(self.budget, lambda: journal.size)
        usage = Usage(self.work)
        with InMemory(backend, self.settings, self.workers) as in_memory, self._bar(len(journal)) as bar:

            def done(count: int) -> None:
                budget.check()
                bar.set_postfix_str(f"{in_memory.clock.limit} limits", refresh=False)
                bar.update(count)

            in_memory.run(self.images, journal, done)
            decoding.say_left_to_host(in_memory.left_to_host)
            decoding.say_agreement(in_memory.agreement)
        usage.measure()
        return in_memory.clock, usage.peak

    def _in_chunks(self, journal: Journal[PeopleWork], backend: Backend) -> tuple[Clock, int]:
        """The stages' times, and the most bytes on disk."""
        chunks = self.chunks(backend)
        with workers.Pool(self.workers) as pool, self._bar(len(journal)) as bar:
            if pool.remark:
                print(f"note: {pool.remark}")

            def done(count: int) -> None:
                bar.set_postfix_str(f"{flow.clock.limit} limits", refresh=False)
                bar.update(count)

            flow = Flow(
                Steps(self.settings, pool, backend),
                journal,
                self.work / chain.CHUNKS,
                self.budget,
                stop=self.stop,
                done=done,
                end_backend=backend.end,
            )
            flow.run(chunks)
        return flow.clock, flow.usage.peak

    def on_dask(self, address: str, journal: Journal[PeopleWork], backend: Backend) -> None:
        """Give the chunks to the workers of a Dask scheduler."""
        try:
            from higherhrnet.pipeline import cluster  # noqa: PLC0415
        except ImportError as e:
            raise UserError(f"--dask needs the package distributed ({e}); pip install -r requirements-dask.txt") from e
        before = len(journal)
        start = time.perf_counter()
        computes = backend.name, backend.runtime
        connected = cluster.connected(address, self.inference, self.backend, self.settings, computes)
        with connected as workers_of, self._bar(before) as bar:
            folder = (self.work / chain.CHUNKS).absolute()
            cluster.run(workers_of, self.chunks(backend, workers_of.slots), journal, folder, done=bar.update)
            left_to_host, agreement = cluster.told(workers_of, backend.name)
        seconds = time.perf_counter() - start
        images = len(journal) - before
        print(
            f"{images} images in {seconds:.1f} s on {workers_of.slots} threads of Dask workers, "
            f"{images / seconds:.2f} images/s"
        )
        decoding.say_left_to_host(left_to_host)
        decoding.say_agreement(agreement)

    def _bar(self, done: int) -> tqdm:
        return tqdm(total=len(self.images), initial=done, desc="run", unit="image", disable=None)
