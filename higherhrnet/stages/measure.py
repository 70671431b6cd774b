"""Stage 6, where it measures: the latency of the network alone, for every batch size and shape."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import atomic, figures, inputs, perf, seen, sources, trtexec_log
from higherhrnet.artifacts.figures import Figure, FigureWork
from higherhrnet.artifacts.inputs import Shape
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.backends import trtexec
from higherhrnet.backends.in_process import InProcess, fill
from higherhrnet.model import fingerprint
from higherhrnet.model.fingerprint import Seen
from higherhrnet.stages import machine

_INSTEAD = "give another --save"


@dataclass(frozen=True)
class MeasureJob:
    """What to measure. trtexec takes random input, and rounds and warm-up of its own."""

    models: Mapping[int, Path]
    """By batch size."""
    shapes: Sequence[Shape]
    """In the order of their measurement; trtexec tunes its engine for the first, or each."""
    device: int
    rounds: int
    """Batches per shape that are timed."""
    warm_up: int
    """Batches per shape before them that are not."""
    files: Mapping[Shape, Sequence[Path]] = field(default_factory=dict)
    """Real inputs, taken in turn; without any, noise with the mean and spread of normalised images."""
    dtype: str = inputs.FLOAT32
    """Of the files."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """Of the files, from before any of them was read."""
    data: str = figures.RANDOM
    """Of the files, as FigureWork has it."""
    dataset: str = ""
    threads: int = 0
    """Of the CPU, as the backend is told."""
    precision: str | None = None
    """Of trtexec's engines; None leaves it to the model."""
    tuned: bool = False
    """Whether trtexec's engines have a profile for each shape."""

    def work(self, batch: int, *, model: str = "", backend: str = "", runtime: str = "") -> FigureWork:
        """What the figures of a batch size are of; '' for what is not known yet."""
        return FigureWork(model, backend, runtime, batch, self.threads, self.dtype, self.data, self.dataset)


def in_process(
    job: MeasureJob,
    make: Callable[..., InProcess],
    *,
    save: Path | None,
    done: Callable[[], object],
    overwrite: bool = False,
) -> tuple[str, list[perf.Perf]]:
    """Time a backend that runs in this process.

    Parameters
    ----------
    make : called with a model and ``batch=``, one batch size after another
    save : a folder for performance files of all figures
    done : called after every shape
    overwrite : replace performance files of other work, and of other programs, there

    Returns
    -------
    The backend's name and the figures
    """
    if save is not None and not overwrite:
        for batch in job.models:
            figures.check(_targets(job, batch, save), job.work(batch), instead=_INSTEAD)
    name, found = "", []
    for batch, model in job.models.items():
        backend = make(model, batch=batch)
        name = backend.name
        loaded = backend.model_hash or fingerprint.sha256(model)
        work = job.work(batch, model=loaded, backend=name, runtime=backend.runtime)
        if save is not None:
            atomic.make_directory(save)
            if not overwrite:
                figures.check(_targets(job, batch, save), work, instead=_INSTEAD)
        for shape in job.shapes:
            measured = _measure(backend, shape, job)
            made = Figure(work, machine.facts(name, model, device=job.device, images=batch * job.rounds))
            if save is not None:
                file, text = perf.path(save, batch, job.device, shape), perf.execute_only(measured.images_per_second)
                figures.keep(file, text, made, instead=_INSTEAD, overwrite=overwrite)
            found.append(replace(measured, made=made))
            done()
    return name, found


def _targets(job: MeasureJob, batch: int, save: Path) -> list[Path]:
    return [perf.path(save, batch, job.device, shape) for shape in job.shapes]


def _measure(backend: InProcess, shape: Shape, job: MeasureJob) -> perf.Perf:
    """The rate of the mean latency, and percentiles: each is a latency that was measured.

    Files are read between the calls.
    """
    runner = backend.open(shape, job.device)
    source = runner.sources[0]
    source[:] = np.random.default_rng(0).standard_normal(source.shape, dtype=np.float32)
    files = itertools.cycle(job.files.get(shape, ()))
    taken = []
    for number in range(job.warm_up + job.rounds):
        if batch := list(itertools.islice(files, backend.batch)):
            fill(source, batch, job.dtype)
            seen.check(job.stamps, batch, "input")
        runner.launch(0)
        seconds = runner.wait(0).execute
        if number >= job.warm_up:
            taken.append(seconds)
    values = np.percentile(taken, perf.PERCENTILES, method="inverted_cdf") * 1000
    percentiles = dict(zip(perf.PERCENTILES, map(float, values), strict=True))
    return perf.Perf(backend.batch, job.device, shape, backend.batch * job.rounds / sum(taken), percentiles)


def with_trtexec(
    job: MeasureJob, folder: Path, *, timeout: float, done: Callable[[], object], overwrite: bool = False
) -> list[perf.Perf]:
    """Run trtexec for all batch sizes and shapes; its logs stay in ``folder``, in place of those of the same work.

    Raises UserError where trtexec is missing or fails, a run takes more than ``timeout`` seconds (0: no limit), or
    logs of other work, or of others, are there and not to be replaced (``overwrite``).
    """
    found = {batch: fingerprint.see(model) for batch, model in job.models.items()}
    works = {
        batch: job.work(
            batch,
            model=found[batch].sha256,
            backend=f"{trtexec.NAME} {trtexec.precision_of(model, job.precision)}{' tuned' * job.tuned}",
        )
        for batch, model in job.models.items()
    }
    if not overwrite:
        for batch, work in works.items():
            logs = [trtexec_log.path(folder, batch, job.device, shape) for shape in job.shapes]
            figures.check(logs, work, instead=_INSTEAD)
    for batch, work in works.items():
        _run_trtexec(job, work, found[batch], folder, timeout=timeout, done=done, overwrite=overwrite)
    return [f for f in perf.find(folder, batch=job.models) if f.device == job.device and f.shape in job.shapes]


def _run_trtexec(
    job: MeasureJob,
    work: FigureWork,
    found: Seen,
    folder: Path,
    *,
    timeout: float,
    done: Callable[[], object],
    overwrite: bool,
) -> None:
    """One batch size. trtexec writes the logs itself, so what they are of is said before and after."""
    model = found.model

    def log(shape: Shape) -> Path:
        return trtexec_log.path(folder, work.batch, job.device, shape)

    def begin(shape: Shape) -> None:
        atomic.make_directory(folder)
        made = Figure(work, machine.facts(work.backend, model, device=job.device, images=0))
        figures.begin(log(shape), made, instead=_INSTEAD, overwrite=overwrite)

    def finish(shape: Shape) -> None:
        found.check(f"{trtexec.NAME} ran")
        runtime = trtexec_log.runtime(sources.read(log(shape)).decode(errors="replace"))
        made = Figure(replace(work, runtime=runtime), machine.facts(work.backend, model, device=job.device, images=0))
        figures.finish(log(shape), made, instead=_INSTEAD)
        done()

    trtexec.run(
        found,
        job.shapes,
        batch=work.batch,
        device=job.device,
        folder=folder,
        precision=job.precision,
        tuned=job.tuned,
        timeout=timeout,
        anew=overwrite,
        begins=begin,
        done=finish,
    )


def trtexec_lines(job: MeasureJob, folder: Path) -> list[str]:
    """What ``with_trtexec`` runs, as shell lines."""
    lines = []
    known = trtexec.known_flags()
    for batch, model in job.models.items():
        lines.append(f"mkdir -p {folder}")
        for command, log in trtexec.commands(
            model,
            job.shapes,
            batch=batch,
            device=job.device,
            folder=folder,
            precision=job.precision,
            tuned=job.tuned,
            known=known,
        ):
            lines.append(f"{command.shell()} > {log} 2>&1")
    return lines
