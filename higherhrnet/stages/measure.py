"""Stage 6, where it measures: the latency of the network alone, for every batch size and shape."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import atomic, inputs, perf
from higherhrnet.artifacts.inputs import Shape
from higherhrnet.backends import trtexec
from higherhrnet.backends.in_process import InProcess, fill


@dataclass(frozen=True)
class MeasureJob:
    """What to measure. trtexec takes random input, and rounds and warm-up of its own."""

    models: Mapping[int, Path]
    """By batch size."""
    shapes: Sequence[Shape]
    """In the order of their measurement; trtexec tunes its engine for the first."""
    device: int
    rounds: int
    """Batches per shape that are timed."""
    warm_up: int
    """Batches per shape before them that are not."""
    files: Mapping[Shape, Sequence[Path]] = field(default_factory=dict)
    """Real inputs, taken in turn; without any, noise with the mean and spread of normalised images."""
    dtype: str = inputs.FLOAT32
    """Of the files."""


def in_process(
    job: MeasureJob, make: Callable[..., InProcess], *, save: Path | None, done: Callable[[], object]
) -> tuple[str, list[perf.Perf]]:
    """Time a backend that runs in this process.

    Parameters
    ----------
    make : called with a model and ``batch=``, one batch size after another
    save : a folder for performance files of all figures
    done : called after every shape

    Returns
    -------
    The backend's name and the figures
    """
    name, figures = "", []
    for batch, model in job.models.items():
        backend = make(model, batch=batch)
        name = backend.name
        for shape in job.shapes:
            figures.append(_measure(backend, shape, job))
            done()
    if save:
        atomic.make_directory(save)
        for figure in figures:
            path = perf.path(save, figure.batch, figure.device, figure.shape)
            atomic.write_text(path, perf.execute_only(figure.images_per_second))
    return name, figures


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
        runner.launch(0)
        seconds = runner.wait(0).execute
        if number >= job.warm_up:
            taken.append(seconds)
    values = np.percentile(taken, perf.PERCENTILES, method="inverted_cdf") * 1000
    percentiles = dict(zip(perf.PERCENTILES, map(float, values), strict=True))
    return perf.Perf(backend.batch, job.device, shape, backend.batch * job.rounds / sum(taken), percentiles)


def with_trtexec(job: MeasureJob, folder: Path, *, timeout: float, done: Callable[[], object]) -> list[perf.Perf]:
    """Run trtexec for all batch sizes and shapes; its logs stay in ``folder``.

    Raises UserError where trtexec is missing or fails, or a run takes more than ``timeout`` seconds (0: no limit).
    """
    for batch, model in job.models.items():
        trtexec.run(
            model, job.shapes, batch=batch, device=job.device, folder=folder, timeout=timeout, done=lambda _: done()
        )
    return [f for f in perf.find(folder, batch=job.models) if f.device == job.device and f.shape in job.shapes]


def trtexec_lines(job: MeasureJob, folder: Path) -> list[str]:
    """What ``with_trtexec`` runs, as shell lines."""
    lines = []
    for batch, model in job.models.items():
        lines.append(f"mkdir -p {folder}")
        for command, log in trtexec.commands(model, job.shapes, batch=batch, device=job.device, folder=folder):
            lines.append(f"{command.shell()} > {log} 2>&1")
    return lines
