"""The whole chain in one command and in chunks: images in, people and AP out, on little disk.

    python3 -m higherhrnet run --disk_budget 4GB

Preprocesses a chunk, infers it, decodes it, deletes it, the stages side by side; writes the results file that the six
scripts write, byte for byte. Stopped at any moment, the same command goes on. With --shard I/N it does one part of the
images, for one of N machines; ``python3 -m higherhrnet merge`` joins the parts.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from higherhrnet import decode
from higherhrnet.artifacts import atomic, inputs, lock, record
from higherhrnet.artifacts.journal import Journal, is_begun, work_of
from higherhrnet.backends import select
from higherhrnet.backends.base import Backend
from higherhrnet.backends.select import Inference
from higherhrnet.cli import figures, flags
from higherhrnet.cli import inference as inference_flags
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.image import transform
from higherhrnet.pipeline import estimate
from higherhrnet.pipeline.chunks import IN_FLIGHT, Chunk, plan
from higherhrnet.pipeline.flow import Flow
from higherhrnet.pipeline.runner import Runner, Settings
from higherhrnet.report import tables
from higherhrnet.stages import postprocess
from higherhrnet.system import memory, workers

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_CHUNKS, _LOGS, _JOURNAL = "chunks", "logs", "people.jsonl"
_IN_PROCESS_CHUNK = 32  # images: enough to amortise a chunk's small files, few enough to overlap in small data sets


def main(argv: Sequence[str] | None = None) -> None:
    """Run the chain and print the figures."""
    args, config = flags.parse(_parser(), argv)
    config.require_plain()
    dataset = coco.load(config.location.annotations, coco.COCO)
    first = dataset.images[: args.limit]
    images = args.shard.select(first)
    if not images:
        raise UserError(f"shard {args.shard} holds none of the {len(first)} images; give fewer shards")
    inference = Inference(inference_flags.options(args, args.bs), config)
    chosen = inference.choose()
    model = inference.model(chosen.name)
    print(f"backend {chosen.name} ({chosen.why}), model {model}")
    settings = _settings(args, config, inference, chosen.name, model, dataset)
    if not decode.is_compiled():
        print("compiling the decode kernel: about half a minute, once", flush=True)
        decode.compile()

    work = args.work or Path(f"run_work{args.shard.suffix}")
    flow_calls: list[Callable[[], object]] = []

    def backend_in(folder: Path) -> Backend:
        return inference.backend(
            chosen.name, settings.model, logs=folder / _LOGS, done=lambda _: [call() for call in flow_calls]
        )

    def chunks(backend: Backend, budget: int, in_flight: int = IN_FLIGHT) -> list[Chunk]:
        return plan(
            images,
            short_side=settings.short_side,
            budget=budget,
            image_bytes=lambda shape: _image_bytes(shape, settings, backend),
            batch=backend.batch,
            most=None if chosen.name in select.ON_ASCEND else _IN_PROCESS_CHUNK,
            in_flight=in_flight,
        )

    if args.dry_run:
        with atomic.temporary_folder(work.absolute().parent) as folder, workers.Pool(args.workers) as pool:
            backend = backend_in(folder)
            runner = Runner(settings, pool, backend)
            todo = chunks(backend, args.disk_budget)
            print(estimate.report(runner, todo, args.disk_budget, folder, workers=args.workers))
        return
    backend = backend_in(work)
    results = config.results_file(args.shard)
    wanted = _wanted(dataset, settings, len(first), str(args.shard), backend)
    if args.overwrite or not postprocess.is_done(results, wanted):
        _replaces(results, wanted)
        with _working(work, wanted, overwrite=args.overwrite) as journal:
            if journal.is_resumed:
                print(f"going on: {len(journal)} of {len(images)} images are done")
            if args.dask:
                _on_dask(args, inference, chosen.name, settings, partial(chunks, backend), journal, work, len(images))
            else:
                _here(
                    args, backend, settings, chunks(backend, args.disk_budget), journal, work, flow_calls, len(images)
                )
            flags.say_left_out(journal.left_out)
            atomic.make_directory(results.parent)
            _remove_folders(work)  # before the journal, which shows that they are ours
            postprocess.finish(results, journal, wanted, images)
    else:
        print(f"{results} is of this very work; --overwrite does it again")
    _clear(work, wanted)
    figures.say(dataset, images, results, config.network)


def _parser() -> argparse.ArgumentParser:
    parser = flags.parser(__doc__, "run")
    parser.add_argument("--disk_budget", type=size, default=4 * 10**9, metavar="SIZE", help="on disk at any time: 4GB")
    parser.add_argument("--work", type=Path, metavar="DIR", help="of chunks and journal; run_work without it")
    parser.add_argument("--workers", type=flags.process_count, default=workers.cores(), metavar="N", help="processes")
    parser.add_argument("--limit", type=flags.count, metavar="N", help="only the first N images; all without it")
    parser.add_argument("--overwrite", action="store_true", help="start afresh, whatever is there")
    parser.add_argument("--skip_bad", action="store_true", help="leave bad images out and list them at the end")
    parser.add_argument("--dry_run", action="store_true", help="measure a few images, print what all will take")
    parser.add_argument("--dask", metavar="ADDRESS", help="give chunks to this Dask scheduler's workers")
    flags.add_shard(parser)
    inference_flags.add(parser)
    flags.add_config(parser)
    return parser


def size(text: str) -> int:
    """An argparse type: bytes, as in 500MB or 4GB."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no size, expected for example 500MB or 4GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _settings(
    args: argparse.Namespace, config: Config, inference: Inference, backend: str, model: Path, dataset: coco.Dataset
) -> Settings:
    input_dtype = inference.input_dtype(backend)
    if input_dtype == inputs.FLOAT32 != args.dtype:
        print(f"inputs stay float32, which {backend} takes; dumps are {args.dtype}")
    return Settings(
        annotations=dataset.annotations.absolute(),
        location=replace(config.location, root=str(Path(config.location.root).absolute())),
        short_side=inference.short_side,
        heads=inference.heads,
        options=config.options,
        model=model.absolute(),
        model_hash=atomic.sha256(model),
        device=inference.options.device,
        devices=args.device_ids,
        input_dtype=input_dtype,
        dump_dtype=args.dtype,
        skip_bad=args.skip_bad,
    )


def _wanted(
    dataset: coco.Dataset, settings: Settings, images: int, shard: str, backend: Backend
) -> record.ResultsRecord:
    kind = f"{backend.runtime or backend.name}, batch {backend.batch}"
    return record.ResultsRecord(
        dataset=dataset.fingerprint,
        short_side=settings.short_side,
        images=images,
        shard=shard,
        model=settings.model_hash,
        options=asdict(settings.options),
        code=f"{decode.VERSION} {transform.VERSION} opencv {cv2.__version__}",
        inference=f"{kind}, inputs {settings.input_dtype}, dumps {settings.dump_dtype}",
    )


def _image_bytes(shape: tuple[int, int], settings: Settings, backend: Backend) -> tuple[int, int]:
    """Of one image of shape (H, W): its two inputs, and the most that inference leaves beside them."""
    return 2 * inputs.size(shape, settings.input_dtype), 2 * backend.scratch_bytes(shape, settings.dump_dtype)


@contextlib.contextmanager
def _working(work: Path, wanted: record.ResultsRecord, *, overwrite: bool) -> Iterator[Journal]:
    """Hold the working folder, and open its journal; a folder of others' files, which has none, is not touched."""
    atomic.make_directory(work)
    with lock.held(work, instead="give another --work"):
        found = {path.name for path in work.iterdir()}
        # A run that was killed while it began its journal has made nothing else.
        begun = found == {_JOURNAL} and is_begun(work / _JOURNAL)
        if found and not begun and work_of(work / _JOURNAL) is None:
            raise UserError(f"--work {work} holds files of others; give a new folder, or an empty one")
        if overwrite:
            _remove_folders(work)
            (work / _JOURNAL).unlink(missing_ok=True)
        with Journal(work / _JOURNAL, wanted) as journal:
            atomic.make_directory(work / _CHUNKS)
            yield journal


def _clear(work: Path, wanted: record.ResultsRecord) -> None:
    """Remove an empty working folder, and before what a run of this work left that was killed in its last two steps."""
    if record.same_work(work_of(work / _JOURNAL), wanted):
        with lock.held(work, instead="give another --work"):
            _remove_folders(work)
            (work / _JOURNAL).unlink()
    with contextlib.suppress(OSError):  # not there, or something else is in it
        work.rmdir()


def _remove_folders(work: Path) -> None:
    for folder in (_CHUNKS, _LOGS):
        atomic.remove_folder(work / folder)


def _here(
    args: argparse.Namespace,
    backend: Backend,
    settings: Settings,
    chunks: Sequence[Chunk],
    journal: Journal,
    work: Path,
    calls: list[Callable[[], object]],
    total: int,
) -> None:
    """Run the chunks on this machine, and say what took how long."""
    before = len(journal)
    start = time.perf_counter()
    with workers.Pool(args.workers) as pool, _bar(total, before) as bar:

        def done(count: int) -> None:
            bar.set_postfix_str(f"{flow.clock.limit} limits", refresh=False)
            bar.update(count)

        flow = Flow(
            Runner(settings, pool, backend),
            journal,
            work / _CHUNKS,
            args.disk_budget,
            done=done,
            end_backend=backend.end,
        )
        calls.append(flow.check_stop)
        flow.run(chunks)
        seconds = time.perf_counter() - start
        memories = memory.peak_mb(), memory.children_peak_mb()
    images = len(journal) - before
    print(tables.stages(flow.clock.seconds, seconds, images, limit=flow.clock.limit))
    print(
        f"peak on disk {flow.usage.peak / 1e6:.1f} MB of {args.disk_budget / 1e6:.1f} MB allowed; "
        f"peak memory {memories[0]:.0f} MB" + f", {memories[1]:.0f} MB a worker" * bool(memories[1])
    )


def _on_dask(
    args: argparse.Namespace,
    inference: Inference,
    name: str,
    settings: Settings,
    chunks: Callable[[int, int], list[Chunk]],
    journal: Journal,
    work: Path,
    total: int,
) -> None:
    """Give the chunks to the workers of a Dask scheduler."""
    try:
        from higherhrnet.pipeline import cluster  # noqa: PLC0415
    except ImportError as e:
        raise UserError(f"--dask needs the package distributed ({e}); pip install -r requirements-dask.txt") from e
    before = len(journal)
    start = time.perf_counter()
    with cluster.connected(args.dask, inference, name, settings) as workers_of, _bar(total, before) as bar:
        slots = workers_of.slots
        cluster.run(workers_of, chunks(args.disk_budget, slots), journal, (work / _CHUNKS).absolute(), done=bar.update)
    seconds = time.perf_counter() - start
    images = len(journal) - before
    print(f"{images} images in {seconds:.1f} s on {slots} threads of Dask workers, {images / seconds:.2f} images/s")


def _bar(total: int, initial: int) -> tqdm:
    return tqdm(total=total, initial=initial, desc="run", unit="image", disable=None)


def _replaces(results: Path, wanted: record.ResultsRecord) -> None:
    """Say where results of other work will be replaced."""
    made = record.read_results(results)
    if made is not None and (different := list(record.differences(made, wanted))):
        which = ", ".join(f"another {record.DIFFERENCES[name]}" for name in different)
        print(f"{results} holds people of other work ({which}); it is replaced when this run is complete")
