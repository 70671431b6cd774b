"""Stage 4: inputs to dumps and performance figures, shape by shape, with one of the backends, on all devices given."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from higherhrnet.artifacts import atomic, claim, dumps, figures, info, inputs, lock, perf, seen
from higherhrnet.artifacts.claim import Claim, Facts, Record
from higherhrnet.artifacts.figures import FigureWork
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.backends.base import PRIVATE, Backend, Work
from higherhrnet.backends.in_process import InProcess
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, quantized
from higherhrnet.stages import machine
from higherhrnet.stages.passes import Pass

_INSTEAD = "give another --result"
_Inputs = Sequence[tuple[inputs.Shape, Sequence[info.Entry]]]
"""By shape (H, W)."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Summary:
    """What a run of the stage did."""

    images: int
    skipped: int
    """Images whose dumps, plain or flipped, were there already."""
    directories: tuple[Path, ...]
    kept_threads: tuple[int, ...] = ()
    """Numbers of threads, other than the job's, of figures that stand for dumps that were there."""


def dump_directory(result: Path, batch: int, device: int, *, flip: bool) -> Path:
    """The guide's name: RESULT/dumpOutput_device{D}_bs{N}, with _flip for the flipped pass."""
    return result / f"dumpOutput_device{device}_bs{batch}{'_flip' if flip else ''}"


@dataclass(frozen=True)
class InferJob:
    """A model to run, and where its dumps and figures go."""

    model: Path
    result: Path
    heads: dumps.Heads
    """The network's maps, which size the dumps."""
    device: int = 0
    """Names the dump directories."""
    devices: tuple[int, ...] = ()
    """Where to run, a thread a device; ``device`` alone without them."""
    dtype: str = dumps.FLOAT32
    """Of the dumps."""
    model_hash: str = ""
    """SHA-256 of the model, where it is known already."""
    calibrated: frozenset[str] | None = None
    """SHA-256 of the pictures that the model was calibrated on, where they are known already."""
    threads: int = 0
    """Of the CPU, as the backend was told: figures depend on it."""
    overwrite: bool = False
    naming: dumps.Naming = dumps.BENCHMARK
    """Of the dumps."""
    together: bool = False
    """Whether a device gets its inputs of all shapes in one call."""

    @property
    def all_devices(self) -> tuple[int, ...]:
        """The devices to run on."""
        return self.devices or (self.device,)


def run(
    backend: Backend,
    passes: Sequence[Pass],
    job: InferJob,
    *,
    skipped: Callable[[int], object] = lambda _: None,
    removed: Callable[[Path, str], object] = lambda _directory, _why: None,
) -> Summary:
    """Run the backend over every shape of each pass, plain first.

    Dumps that are there, made by the same model from the same input files, are kept; others are removed first. The
    performance file per shape and device is the plain pass's: the flipped one does the same work. Those that are there
    of other work, or of other programs, are not replaced without ``overwrite``.

    Parameters
    ----------
    skipped : called with the number of images whose dumps were there already
    removed : called with a dump directory whose old dumps were removed, and why: 'another model'

    Raises UserError: what the backend says of the devices that failed, after the others have finished; foreign files in
    a dump directory or in place of performance files, too little space, or dumps missing after the run.
    """
    job = replace(job, model_hash=job.model_hash or backend.model_hash or fingerprint.sha256(job.model))
    if job.calibrated is None:
        job = replace(job, calibrated=quantized.pictures(job.model))
    kept = 0
    directories = []
    for current in passes:
        directory = dump_directory(job.result, backend.batch, job.device, flip=current.flip)
        directories.append(directory)
        wanted = _wanted(current, backend, job)
        _check_figures(backend.batch, current, directory, wanted, job)
        with _claimed(directory, wanted, overwrite=job.overwrite) as claimed:
            _remove_stale(claimed, wanted, job)
            if claimed.replaced:
                removed(directory, claimed.replaced)
            _recover(backend, current, directory, wanted, job)
            _begin_private(directory, wanted)
            todo = _todo(current, directory, job)
            if isinstance(backend, InProcess):
                todo = _also_untimed(todo, current, backend.batch, job)
            ready = len(current.indices) - sum(len(entries) for _, entries in todo)
            kept += ready
            skipped(ready)
            _check_space(directory, todo, job)
            _run_queues(backend, _queues(todo, current, directory, backend.batch, job), wanted, job)
            for shape, entries in todo:
                for entry in entries:
                    if problem := _missing(directory, entry, job):
                        raise UserError(f"{backend.name} left {problem} after shape {shape[0]}x{shape[1]}")
            shutil.rmtree(directory / PRIVATE, ignore_errors=True)
            claimed.complete()
            figures.remove_partials(job.result, _figures(current, backend.batch, job), instead=_INSTEAD)
    return Summary(len(passes[0].indices), kept, tuple(directories), _kept_threads(passes[0], backend.batch, job))


def check_foreign(current: Pass, batch: int, job: InferJob) -> None:
    """Refuse performance files of other programs in place of those to come: before another batch size runs.

    Raises UserError: such a file, without ``job.overwrite``.
    """
    if not job.overwrite:
        directory = dump_directory(job.result, batch, job.device, flip=False)
        todo = _todo(current, directory, job)
        figures.check(_targets(todo, current, directory, batch, job), None, instead=_INSTEAD)


def commands(backend: Backend, passes: Sequence[Pass], job: InferJob) -> Iterator[str]:
    """The shell lines of all programs ``run`` would run now. Their lists of inputs are made; nothing is run.

    No dump is removed. A later ``run`` takes over what the lines leave, if the model was there already.
    """
    if not job.model_hash and job.model.is_file():
        job = replace(job, model_hash=backend.model_hash or fingerprint.sha256(job.model))
    for current in passes:
        directory = dump_directory(job.result, backend.batch, job.device, flip=current.flip)
        atomic.make_directory(directory)
        with lock.held(directory, instead=_INSTEAD):
            wanted = _wanted(current, backend, job)
            present = claim.read(directory, DumpsWork)
            is_ours = _is_private_of(directory, wanted)
            if is_ours and present is None and not _dumps_in(directory):  # the lines were run, but nothing else yet
                claim.write(directory, wanted)
                present = wanted
            same = present is not None and not present.stale(wanted)
            if same and is_ours:
                _recover(backend, current, directory, wanted, job)
            _begin_private(directory, wanted)
            todo = _todo(current, directory, job) if same else [(g.shape, g.entries) for g in current.groups]
            for queue in _queues(todo, current, directory, backend.batch, job):
                for work in queue:
                    yield backend.command(work)


def split(
    groups: Sequence[tuple[inputs.Shape, Sequence[_Item]]], parts: int, batch: int
) -> list[list[tuple[inputs.Shape, list[_Item]]]]:
    """Split inputs, or images, given by shape (H, W), into ``parts`` lists of equal cost: images x pixels.

    They are cut in their order, between batches, so all but ``parts`` - 1 shapes stay whole and no part is off
    by more than a batch.
    """
    batches = [(shape, list(items[i : i + batch])) for shape, items in groups for i in range(0, len(items), batch)]
    total = sum(shape[0] * shape[1] * len(items) for shape, items in batches)
    result: list[list[tuple[inputs.Shape, list[_Item]]]] = [[] for _ in range(parts)]
    before = 0
    for shape, items in batches:
        cost = shape[0] * shape[1] * len(items)
        part = result[(2 * before + cost) * parts // (2 * total)]  # where the middle of this batch falls
        if part and part[-1][0] == shape:
            part[-1][1].extend(items)
        else:
            part.append((shape, items))
        before += cost
    return result


def _queues(todo: _Inputs, current: Pass, directory: Path, batch: int, job: InferJob) -> list[list[Work]]:
    """What each device is to run, in order."""
    return [
        _works(part, current, directory, device, job)
        for device, part in zip(job.all_devices, split(todo, len(job.all_devices), batch), strict=True)
    ]


def _works(part: _Inputs, current: Pass, directory: Path, device: int, job: InferJob) -> list[Work]:
    """Some of a pass, on a device: a work a shape, or one of all."""
    if job.together and part:
        largest = inputs.largest(shape for shape, _ in part)
        part = [(largest, [entry for _, entries in part for entry in entries])]
    return [
        Work(
            shape,
            entries,
            directory,
            device,
            current.flip,
            current.dtype,
            job.dtype,
            naming=job.naming,
            together=job.together,
            stamps=current.stamps,
        )
        for shape, entries in part
    ]


def _run_queues(backend: Backend, queues: Sequence[Sequence[Work]], wanted: Record[DumpsWork], job: InferJob) -> None:
    """Run all queues, side by side where there are several. A failure ends its own queue only."""
    queues = [queue for queue in queues if queue]
    if len(queues) <= 1:  # in this thread: Ctrl-C then reaches a backend that runs in this process
        for queue in queues:
            _run_queue(backend, queue, wanted, job, threading.Event())
        return
    stop = threading.Event()
    with ThreadPoolExecutor(len(queues)) as threads:
        futures = [threads.submit(_run_queue, backend, queue, wanted, job, stop) for queue in queues]
        try:
            errors = [future.exception() for future in futures]
        except BaseException:
            stop.set()
            backend.end()
            raise
    raise_failed(errors)


def raise_failed(errors: Sequence[BaseException | None]) -> None:
    """Raise what some of several devices failed with, None of one that did not: one UserError of them all."""
    for error in errors:
        if error is not None and not isinstance(error, UserError):
            raise error
    if failed := [str(error) for error in errors if error is not None]:
        raise UserError(
            f"{len(failed)} of {len(errors)} devices failed, the others finished their part: {' || '.join(failed)}"
        )


def _run_queue(
    backend: Backend, queue: Sequence[Work], wanted: Record[DumpsWork], job: InferJob, stop: threading.Event
) -> None:
    for work in queue:
        if stop.is_set():
            return
        for shape, text in backend.run(work).items():
            images = sum(entry.shape == shape for entry in work.entries)
            _keep_figure(work, shape, text, wanted, job, images=images)


def _figures(current: Pass, batch: int, job: InferJob) -> list[Path]:
    """The performance files of a pass."""
    return [perf.path(job.result, batch, device, g.shape) for g in current.groups for device in job.all_devices]


def _kept_threads(current: Pass, batch: int, job: InferJob) -> tuple[int, ...]:
    """Of a pass's figures that were not measured now: how many threads they are of, where that is not the job's."""
    known = figures.read(job.result)
    entries = [known[file.name] for file in _figures(current, batch, job) if file.name in known]
    return tuple(sorted({entry.work.threads for entry in entries} - {job.threads}))


def _check_figures(batch: int, current: Pass, directory: Path, wanted: Record[DumpsWork], job: InferJob) -> None:
    """Refuse, before anything is run or removed, what the figures of this pass may not replace."""
    if job.overwrite or current.flip:
        return
    before = claim.read(directory, DumpsWork)
    stale = before is not None and bool(before.stale(wanted))
    todo = [(group.shape, group.entries) for group in current.groups] if stale else _todo(current, directory, job)
    figures.check(
        _targets(todo, current, directory, batch, job),
        _figure_work(wanted, job.threads),
        instead=_INSTEAD,
        leaving=_figure_work(before, job.threads) if before is not None and stale else None,
    )


def _targets(todo: _Inputs, current: Pass, directory: Path, batch: int, job: InferJob) -> list[Path]:
    """The performance files that running ``todo`` writes."""
    queues = _queues(todo, current, directory, batch, job)
    return [
        perf.path(job.result, batch, work.device, shape) for queue in queues for work in queue for shape in work.shapes
    ]


def _figure_work(made: Record[DumpsWork], threads: int) -> FigureWork:
    """What the figures beside dumps are of."""
    work = made.work
    data, dataset = figures.data_of(work.inputs, made.facts.made_from)
    dtype = inputs.FLOAT32 if work.inputs is None else work.inputs.work.dtype
    return FigureWork(work.model, work.backend, work.runtime, work.batch, threads, dtype, data, dataset)


def _keep_figure(
    work: Work, shape: inputs.Shape, text: str, wanted: Record[DumpsWork], job: InferJob, *, images: int
) -> None:
    """``images`` were timed; 0 where that is not known."""
    if work.flip:
        return
    figure = figures.Figure(
        _figure_work(wanted, job.threads),
        machine.facts(wanted.work.backend, job.model, device=work.device, images=images),
    )
    file = perf.path(job.result, wanted.work.batch, work.device, shape)
    figures.keep(file, text, figure, instead=_INSTEAD, overwrite=job.overwrite)


def _recover(backend: Backend, current: Pass, directory: Path, wanted: Record[DumpsWork], job: InferJob) -> None:
    """Take over what a killed run, or printed commands, left in the private folders."""
    private = directory / PRIVATE
    if not private.is_dir():
        return
    groups = [(group.shape, group.entries) for group in current.groups]
    for folder in private.glob("device*_*"):
        device = folder.name.removeprefix("device").partition("_")[0]
        works = _works(groups, current, directory, int(device), job) if device.isdecimal() else []
        for work in works:
            if work.private == folder:
                for shape, text in backend.recover(work).items():
                    _keep_figure(work, shape, text, wanted, job, images=0)


def _begin_private(directory: Path, wanted: Record[DumpsWork]) -> None:
    """Make the private folder afresh and say in it what its content is for."""
    shutil.rmtree(directory / PRIVATE, ignore_errors=True)
    atomic.make_directory(directory / PRIVATE)
    claim.write(directory / PRIVATE, wanted)


def _is_private_of(directory: Path, wanted: Record[DumpsWork]) -> bool:
    private = directory / PRIVATE
    made = claim.read(private, DumpsWork) if private.is_dir() else None
    return made is not None and not made.stale(wanted)


def _todo(current: Pass, directory: Path, job: InferJob) -> _Inputs:
    """The inputs without dumps, by shape."""
    missing = ((g.shape, [e for e in g.entries if _missing(directory, e, job)]) for g in current.groups)
    return [(shape, entries) for shape, entries in missing if entries]


def _also_untimed(todo: _Inputs, current: Pass, batch: int, job: InferJob) -> _Inputs:
    """``todo``, and all of each shape of the plain pass whose dumps are there without a performance file.

    A run that was killed between the two leaves such a shape. Programs of others may never write a figure.
    """
    if current.flip:
        return todo
    untimed = {g.shape: g.entries for g in current.groups if not perf.exists(job.result, batch, g.shape)}
    found = untimed | dict(todo)
    return [(group.shape, found[group.shape]) for group in current.groups if group.shape in found]


def _missing(directory: Path, entry: info.Entry, job: InferJob) -> str | None:
    files = job.naming.paths(directory, inputs.index_of(entry.path))
    return dumps.missing(files, dumps.output_shapes(entry.shape, job.heads), job.dtype)


def _check_space(directory: Path, todo: _Inputs, job: InferJob) -> None:
    """Refuse before the slow part what cannot fit."""
    need = sum(len(entries) * sum(dumps.output_bytes(shape, job.heads, job.dtype)) for shape, entries in todo)
    free = shutil.disk_usage(directory).free
    if need > free:
        raise UserError(
            f"{directory}: {need / 1e9:.2f} GB of dumps to write, {free / 1e9:.2f} GB free; free space, or give "
            f"another --result"
        )


def _wanted(current: Pass, backend: Backend, job: InferJob) -> Record[DumpsWork]:
    """What a pass's dumps will be of."""
    work = DumpsWork(
        inputs=current.made,
        indices=current.indices,
        flip=current.flip,
        shard=str(current.shard),
        model=job.model_hash,
        backend=backend.name,
        runtime=backend.runtime,
        batch=backend.batch,
        dtype=job.dtype,
    )
    return Record(
        work,
        Facts(
            made_from=seen.digest(current.stamps),
            devices=sorted(job.all_devices),
            calibrated_on=sorted(i for i, sha256 in current.pictures.items() if sha256 in (job.calibrated or ())),
        ),
    )


def _claimed(
    directory: Path, wanted: Record[DumpsWork], *, overwrite: bool
) -> contextlib.AbstractContextManager[Claim[DumpsWork]]:
    return claim.claim(
        directory,
        wanted,
        content=_dumps_in,
        what="dumps",
        instead=_INSTEAD,
        overwrite=overwrite,
        replaces=True,
        keeps_apart=("shard",),
    )


def _remove_stale(claimed: Claim[DumpsWork], wanted: Record[DumpsWork], job: InferJob) -> None:
    """Remove what other work left beside its dumps: a private folder and, of the plain pass, figures."""
    if job.overwrite or not _is_private_of(claimed.place, wanted):
        shutil.rmtree(claimed.place / PRIVATE, ignore_errors=True)
    before = claimed.before
    if before is not None and not wanted.work.flip and (job.overwrite or before.stale(wanted)):
        figures.remove(job.result, _figure_work(before, job.threads), instead=_INSTEAD)


def _dumps_in(directory: Path) -> list[Path]:
    return [file for file in directory.iterdir() if dumps.is_dump(file) and file.is_file()]
