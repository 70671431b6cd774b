"""Stage 4: inputs to dumps and performance figures, shape by shape, with one of the backends, on all devices given."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from higherhrnet.artifacts import atomic, claim, dumps, info, inputs, lock, perf
from higherhrnet.artifacts.claim import Claim, Facts, Record
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.backends.base import PRIVATE, Backend, Work
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint
from higherhrnet.stages.passes import Pass


@dataclass(frozen=True)
class Summary:
    """What a run of the stage did."""

    images: int
    skipped: int
    """Images whose dumps, plain or flipped, were there already."""
    directories: tuple[Path, ...]


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
    overwrite: bool = False

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
    performance file per shape and device is the plain pass's: the flipped one does the same work.

    Parameters
    ----------
    skipped : called with the number of images whose dumps were there already
    removed : called with a dump directory whose old dumps were removed, and why: 'another model'

    Raises
    ------
    UserError : what the backend says of the devices that failed, after the others have finished; foreign files in a
        dump directory, too little space, or dumps missing after the run
    """
    job = replace(job, model_hash=job.model_hash or fingerprint.sha256(job.model))
    kept = 0
    directories = []
    for current in passes:
        directory = dump_directory(job.result, backend.batch, job.device, flip=current.flip)
        directories.append(directory)
        wanted = _wanted(current, backend, job)
        with _claimed(directory, wanted, overwrite=job.overwrite) as claimed:
            _remove_stale(claimed, wanted, job.result, overwrite=job.overwrite)
            if claimed.replaced:
                removed(directory, claimed.replaced)
            _recover(backend, current, directory, job)
            _begin_private(directory, wanted)
            todo = _todo(current, directory, job)
            ready = len(current.indices) - sum(len(entries) for _, entries in todo)
            kept += ready
            skipped(ready)
            _check_space(directory, todo, job)
            _run_queues(backend, _queues(todo, current, directory, backend.batch, job), job.result)
            for shape, entries in todo:
                for entry in entries:
                    if problem := _missing(directory, entry, job):
                        raise UserError(f"{backend.name} left {problem} after shape {shape[0]}x{shape[1]}")
            shutil.rmtree(directory / PRIVATE, ignore_errors=True)
            claimed.complete()
            atomic.remove_partials_of(*_figures(current, backend.batch, job))
    return Summary(len(passes[0].indices), kept, tuple(directories))


def commands(backend: Backend, passes: Sequence[Pass], job: InferJob) -> Iterator[str]:
    """The shell lines of all programs ``run`` would run now. Their lists of inputs are made; nothing is run.

    No dump is removed. A later ``run`` takes over what the lines leave, if the model was there already.
    """
    if not job.model_hash and job.model.is_file():
        job = replace(job, model_hash=fingerprint.sha256(job.model))
    for current in passes:
        directory = dump_directory(job.result, backend.batch, job.device, flip=current.flip)
        atomic.make_directory(directory)
        with lock.held(directory, instead="give another --result"):
            wanted = _wanted(current, backend, job)
            present = claim.read(directory, DumpsWork)
            is_ours = _is_private_of(directory, wanted)
            if is_ours and present is None and not _dumps_in(directory):  # the lines were run, but nothing else yet
                claim.write(directory, wanted)
                present = wanted
            same = present is not None and not present.stale(wanted)
            if same and is_ours:
                _recover(backend, current, directory, job)
            _begin_private(directory, wanted)
            todo = _todo(current, directory, job) if same else [(g.shape, g.entries) for g in current.groups]
            for queue in _queues(todo, current, directory, backend.batch, job):
                for work in queue:
                    yield backend.command(work)


def split(
    groups: Sequence[tuple[tuple[int, int], Sequence[info.Entry]]], parts: int, batch: int
) -> list[list[tuple[tuple[int, int], list[info.Entry]]]]:
    """Split the inputs, given by shape (H, W), into ``parts`` lists of equal cost: images x pixels.

    The inputs are cut in their order, between batches, so all but ``parts`` - 1 shapes stay whole and no part is off
    by more than a batch.
    """
    batches = [
        (shape, list(entries[i : i + batch])) for shape, entries in groups for i in range(0, len(entries), batch)
    ]
    total = sum(shape[0] * shape[1] * len(entries) for shape, entries in batches)
    result: list[list[tuple[tuple[int, int], list[info.Entry]]]] = [[] for _ in range(parts)]
    before = 0
    for shape, entries in batches:
        cost = shape[0] * shape[1] * len(entries)
        part = result[(2 * before + cost) * parts // (2 * total)]  # where the middle of this batch falls
        if part and part[-1][0] == shape:
            part[-1][1].extend(entries)
        else:
            part.append((shape, entries))
        before += cost
    return result


def _queues(
    todo: Sequence[tuple[tuple[int, int], Sequence[info.Entry]]],
    current: Pass,
    directory: Path,
    batch: int,
    job: InferJob,
) -> list[list[Work]]:
    """What each device is to run, in order."""
    return [
        [Work(shape, entries, directory, device, current.flip, current.dtype, job.dtype) for shape, entries in part]
        for device, part in zip(job.all_devices, split(todo, len(job.all_devices), batch), strict=True)
    ]


def _run_queues(backend: Backend, queues: Sequence[Sequence[Work]], result: Path) -> None:
    """Run all queues, side by side where there are several. A failure ends its own queue only."""
    queues = [queue for queue in queues if queue]
    if len(queues) <= 1:  # in this thread: Ctrl-C then reaches a backend that runs in this process
        for queue in queues:
            _run_queue(backend, queue, result, threading.Event())
        return
    stop = threading.Event()
    with ThreadPoolExecutor(len(queues)) as threads:
        futures = [threads.submit(_run_queue, backend, queue, result, stop) for queue in queues]
        try:
            errors = [future.exception() for future in futures]
        except BaseException:
            stop.set()
            backend.end()
            raise
    for error in errors:
        if error is not None and not isinstance(error, UserError):
            raise error
    if failed := [str(error) for error in errors if error is not None]:
        raise UserError(
            f"{len(failed)} of {len(queues)} devices failed, the others finished their part: {' || '.join(failed)}"
        )


def _run_queue(backend: Backend, queue: Sequence[Work], result: Path, stop: threading.Event) -> None:
    for work in queue:
        if stop.is_set():
            return
        text = backend.run(work)
        _keep_figures(backend, work, text, result)


def _figures(current: Pass, batch: int, job: InferJob) -> list[Path]:
    """The performance files of a pass."""
    return [perf.path(job.result, batch, device, g.shape) for g in current.groups for device in job.all_devices]


def _keep_figures(backend: Backend, work: Work, text: str, result: Path) -> None:
    if not work.flip:
        atomic.write_text(perf.path(result, backend.batch, work.device, work.shape), text)


def _recover(backend: Backend, current: Pass, directory: Path, job: InferJob) -> None:
    """Take over what a killed run, or printed commands, left in the private folders."""
    private = directory / PRIVATE
    if not private.is_dir():
        return
    for group in current.groups:
        for folder in private.glob(f"device*_{group.shape[0]}x{group.shape[1]}"):
            device = folder.name.removeprefix("device").partition("_")[0]
            if device.isdecimal():
                work = Work(group.shape, group.entries, directory, int(device), current.flip, current.dtype, job.dtype)
                if text := backend.recover(work):
                    _keep_figures(backend, work, text, job.result)


def _begin_private(directory: Path, wanted: Record[DumpsWork]) -> None:
    """Make the private folder afresh and say in it what its content is for."""
    shutil.rmtree(directory / PRIVATE, ignore_errors=True)
    atomic.make_directory(directory / PRIVATE)
    claim.write(directory / PRIVATE, wanted)


def _is_private_of(directory: Path, wanted: Record[DumpsWork]) -> bool:
    private = directory / PRIVATE
    made = claim.read(private, DumpsWork) if private.is_dir() else None
    return made is not None and not made.stale(wanted)


def _todo(current: Pass, directory: Path, job: InferJob) -> list[tuple[tuple[int, int], Sequence[info.Entry]]]:
    """The inputs without dumps, by shape."""
    missing = ((g.shape, [e for e in g.entries if _missing(directory, e, job)]) for g in current.groups)
    return [(shape, entries) for shape, entries in missing if entries]


def _missing(directory: Path, entry: info.Entry, job: InferJob) -> str | None:
    files = dumps.BENCHMARK.paths(directory, inputs.index_of(entry.path))
    return dumps.missing(files, dumps.output_shapes(entry.shape, job.heads), job.dtype)


def _check_space(
    directory: Path,
    todo: Sequence[tuple[tuple[int, int], Sequence[info.Entry]]],
    job: InferJob,
) -> None:
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
    files = (entry.path for group in current.groups for entry in group.entries)
    return Record(work, Facts(made_from=claim.stamps(files), devices=sorted(job.all_devices)))


def _claimed(
    directory: Path, wanted: Record[DumpsWork], *, overwrite: bool
) -> contextlib.AbstractContextManager[Claim[DumpsWork]]:
    return claim.claim(
        directory,
        wanted,
        content=_dumps_in,
        what="dumps",
        instead="give another --result",
        overwrite=overwrite,
        replaces=True,
        keeps_apart=("shard",),
    )


def _remove_stale(claimed: Claim[DumpsWork], wanted: Record[DumpsWork], result: Path, *, overwrite: bool) -> None:
    """Remove what other work left beside its dumps: a private folder and, of the plain pass, figures."""
    if overwrite or not _is_private_of(claimed.place, wanted):
        shutil.rmtree(claimed.place / PRIVATE, ignore_errors=True)
    before = claimed.before
    if before is not None and not wanted.work.flip and (overwrite or before.stale(wanted)):
        for device in before.facts.devices:
            for file in result.glob(f"perf_vision_batchsize_{before.work.batch}_device_{device}_[0-9]*x[0-9]*.txt"):
                file.unlink()


def _dumps_in(directory: Path) -> list[Path]:
    return [file for file in directory.iterdir() if dumps.is_dump(file) and file.is_file()]
