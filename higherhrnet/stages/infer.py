"""Stage 4: inputs to dumps and performance figures, shape by shape, with one of the backends, on all devices given."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from higherhrnet.artifacts import atomic, dumps, info, inputs, lock, perf, record
from higherhrnet.backends.base import PRIVATE, Backend, Work
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.errors import UserError
from higherhrnet.image import geometry


@dataclass(frozen=True)
class Group:
    """The inputs of one shape (H, W), plain or flipped, as an .info file lists them."""

    shape: tuple[int, int]
    info_file: Path
    entries: tuple[info.Entry, ...]


@dataclass(frozen=True)
class Pass:
    """One run over all inputs: plain or flipped."""

    groups: tuple[Group, ...]
    record: record.InputsRecord | None
    """What made the inputs, None where nothing says so."""
    flip: bool
    shard: Shard = ALL

    @property
    def dtype(self) -> str:
        """Of the inputs; float32 where nothing says so."""
        return inputs.FLOAT32 if self.record is None else self.record.dtype

    @property
    def indices(self) -> list[int]:
        """Image indices, ascending."""
        return sorted(inputs.index_of(entry.path) for group in self.groups for entry in group.entries)


@dataclass(frozen=True)
class Summary:
    """What a run of the stage did."""

    images: int
    skipped: int
    """Images whose dumps, plain or flipped, were there already."""
    directories: tuple[Path, ...]


def load(name: str, *, flip: bool, shard: Shard = ALL) -> Pass:
    """Read all NAME_{H}x{W}.info files and check every input's size; keep the inputs of ``shard``.

    Without a shard, inputs that are themselves of one are taken as that.

    Raises
    ------
    UserError : no such files, a wrong line, a file of the wrong size or in two lists
    """
    groups: list[Group] = []
    made, dtype = None, inputs.FLOAT32
    for shape, file in info.of_shapes(name).items():
        if any(side % geometry.SMALLEST_STEP for side in shape):
            raise UserError(
                f"{file} is a list of shape {shape[0]}x{shape[1]}, expected multiples of "
                f"{geometry.SMALLEST_STEP}; remove it"
            )
        entries = tuple(info.read(file))
        if not groups:
            made = record.read(entries[0].path.parent.parent, record.InputsRecord)
            dtype = dtype if made is None else made.dtype
            shard = _part(shard, made, name)
        entries = tuple(entry for entry in entries if shard.holds(inputs.index_of(entry.path)))
        for entry in entries:
            if entry.shape != shape:
                raise UserError(
                    f"{file}: {entry.path} is listed as {entry.height}x{entry.width}, expected {shape[0]}x{shape[1]} "
                    f"(lines end in width, then height); run gen_dataset_info.py again"
                )
            inputs.check_size(entry.path, shape, dtype)
        if entries:
            groups.append(Group(shape, file, entries))
    if not groups and info.of_shapes(name):
        raise UserError(f"{name}_HxW.info name no images of shard {shard}; list them with --shard {shard}, or without")
    if not groups:
        raise UserError(f"found no {name}_HxW.info files; run gen_dataset_info.py bin DIR {name}")
    loaded = Pass(tuple(groups), made, flip, shard)
    if len(set(loaded.indices)) != len(loaded.indices):
        raise UserError(f"{name}_HxW.info name an image twice; run gen_dataset_info.py bin DIR {name} again")
    if loaded.record is not None and loaded.record.flip != flip:
        which = "flipped" if loaded.record.flip else "plain"
        raise UserError(f"{name}_HxW.info list {which} inputs; exchange --info and --info_flip")
    return loaded


def _part(shard: Shard, made: record.InputsRecord | None, name: str) -> Shard:
    """The shard to run of inputs whose record is ``made``."""
    part = ALL if made is None else Shard.parse(made.shard)
    if shard not in {ALL, part} and part != ALL:
        raise UserError(f"the inputs that {name}_HxW.info list are of shard {part}, not {shard}; give --shard {part}")
    return part if shard == ALL else shard


def check_pair(plain: Pass, flip: Pass) -> None:
    """Raise UserError unless both passes are over the same images in the same shapes and form."""
    if plain.dtype != flip.dtype:
        raise UserError(
            f"the plain inputs are {plain.dtype}, the flipped ones {flip.dtype}; preprocess both in one run"
        )
    for a, b in ((plain, flip), (flip, plain)):
        shapes = {inputs.index_of(e.path): g.shape for g in b.groups for e in g.entries}
        for group in a.groups:
            for entry in group.entries:
                if shapes.get(inputs.index_of(entry.path)) != group.shape:
                    raise UserError(
                        f"{entry.path} has no counterpart of shape {group.shape[0]}x{group.shape[1]} in the "
                        f"{'flipped' if b.flip else 'plain'} lists; preprocess again, then list both trees with "
                        f"gen_dataset_info.py"
                    )


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
    performance file of a shape and device is the plain pass's: the flipped one does the same work.

    Parameters
    ----------
    skipped : called with the number of images whose dumps were there already
    removed : called with a dump directory whose old dumps were removed, and why: 'another model'

    Raises
    ------
    UserError : what the backend says of the devices that failed, after the others have finished; foreign files in a
        dump directory, too little space, or dumps missing after the run
    """
    job = replace(job, model_hash=job.model_hash or atomic.sha256(job.model))
    kept = 0
    directories = []
    for current in passes:
        directory = dump_directory(job.result, backend.batch, job.device, flip=current.flip)
        directories.append(directory)
        atomic.make_directory(directory)
        with lock.held(directory):
            wanted = _record(current, backend, job)
            opened = _open_directory(directory, wanted, job.result, overwrite=job.overwrite)
            if opened.afresh:
                removed(directory, opened.afresh)
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
            record.write(directory, replace(opened.record, complete=True))
            atomic.remove_partials_of(*_figures(current, backend.batch, job))
    return Summary(len(passes[0].indices), kept, tuple(directories))


def commands(backend: Backend, passes: Sequence[Pass], job: InferJob) -> Iterator[str]:
    """The shell lines of all programs ``run`` would run now. Their lists of inputs are made; nothing is run.

    No dump is removed. A later ``run`` takes over what the lines leave, if the model was there already.
    """
    if not job.model_hash and job.model.is_file():
        job = replace(job, model_hash=atomic.sha256(job.model))
    for current in passes:
        directory = dump_directory(job.result, backend.batch, job.device, flip=current.flip)
        atomic.make_directory(directory)
        with lock.held(directory):
            wanted = _record(current, backend, job)
            present = record.read(directory, record.DumpsRecord)
            is_ours = _is_private_of(directory, wanted)
            if is_ours and present is None and not _dumps_in(directory):  # the lines were run, but nothing else yet
                record.write(directory, wanted)
                present = wanted
            same = record.same_work(present, wanted)
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


def _begin_private(directory: Path, wanted: record.DumpsRecord) -> None:
    """Make the private folder afresh and say in it what its content is for."""
    shutil.rmtree(directory / PRIVATE, ignore_errors=True)
    atomic.make_directory(directory / PRIVATE)
    record.write(directory / PRIVATE, wanted)


def _is_private_of(directory: Path, wanted: record.DumpsRecord) -> bool:
    private = directory / PRIVATE
    return private.is_dir() and record.same_work(record.read(private, record.DumpsRecord), wanted)


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


def _record(current: Pass, backend: Backend, job: InferJob) -> record.DumpsRecord:
    return record.DumpsRecord(
        inputs=None if current.record is None else vars(current.record),
        indices=current.indices,
        model=job.model_hash,
        backend=backend.name,
        batch=backend.batch,
        flip=current.flip,
        files=_fingerprint(current),
        dtype=job.dtype,
        runtime=backend.runtime,
        shard=str(current.shard),
        devices=sorted(job.all_devices),
    )


def _fingerprint(current: Pass) -> str:
    return record.files_fingerprint(entry.path for group in current.groups for entry in group.entries)


@dataclass(frozen=True)
class _Opened:
    record: record.DumpsRecord
    afresh: str
    """Why dumps that were there were removed, '' where none were."""


_REASONS = {
    "inputs": "another input tree",
    "indices": "other images",
    "files": "changed input files",
    "model": "another model",
    "backend": "another backend",
    "batch": "another batch size",
    "flip": "the other pass",
    "dtype": "another --dtype",
    "runtime": "another version of the backend",
}


def _open_directory(directory: Path, wanted: record.DumpsRecord, result: Path, *, overwrite: bool) -> _Opened:
    """Make the dump directory ready: dumps of other work, and its figures, are removed."""
    present = record.read(directory, record.DumpsRecord)
    stale = _dumps_in(directory)
    if stale and present is None and not overwrite:
        raise UserError(
            f"{directory} already holds {len(stale)} dumps that this program did not make; move them away, or give "
            f"--overwrite to replace them"
        )
    if present is not None and present.shard != wanted.shard and not overwrite:
        raise UserError(
            f"{directory} is of shard {present.shard}, not {wanted.shard}; give each shard its own --result, or "
            f"--overwrite to replace what is there"
        )
    same = record.same_work(present, wanted)
    afresh = ""
    if overwrite or not _is_private_of(directory, wanted):
        shutil.rmtree(directory / PRIVATE, ignore_errors=True)
    if overwrite or not same:
        if stale:
            reasons = [] if present is None else [_REASONS[name] for name in record.differences(present, wanted)]
            afresh = "--overwrite" if overwrite else ", ".join(reasons)
        for file in stale:
            file.unlink()
        if present is not None and not wanted.flip:
            for device in present.devices:
                for file in result.glob(f"perf_vision_batchsize_{present.batch}_device_{device}_[0-9]*x[0-9]*.txt"):
                    file.unlink()
    elif present is not None:
        wanted = replace(wanted, devices=sorted({*present.devices, *wanted.devices}))
    atomic.remove_partials([directory])
    record.write(directory, wanted)
    return _Opened(wanted, afresh)


def _dumps_in(directory: Path) -> list[Path]:
    return [file for file in directory.iterdir() if dumps.is_dump(file) and file.is_file()]
