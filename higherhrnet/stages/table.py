"""The table of accuracy against speed: every backend and precision that can run here, on the same inputs.

Each row is measured in a process of its own, so that its peak memory is its own; rows follow each other.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends import choices, factory
from higherhrnet.backends.base import AUTO
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, ground_truth
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.model import quantized
from higherhrnet.stages import accuracy, compare
from higherhrnet.stages.passes import Pass
from higherhrnet.system import hardware, memory


@dataclass(frozen=True)
class Variant:
    """A backend, what it runs, and in which precision."""

    backend: str
    model: Path
    precision: str | None = None


@dataclass(frozen=True)
class TableJob:
    """What all rows have in common."""

    dataset: coco.Dataset
    passes: tuple[Pass, ...]
    plan: Plan
    options: Options
    heads: dumps.Heads
    extra: Mapping
    """MODEL.EXTRA, for torch."""
    batch: int = 1
    threads: int = 0
    openvino_device: str = "CPU"
    protocol: ground_truth.EvaluationProtocol | None = None
    """As what annotated people are evaluated; COCO's by default."""


@dataclass(frozen=True)
class Measured:
    """A row as it was measured."""

    name: str
    """The backend's, with its device and precision."""
    runtime: str
    found: accuracy.Found
    memory: float
    """Peak of the process, MB."""
    size: float
    """Of the model's file, MB."""
    calibrated_on: int
    """How many of the images the network was calibrated on."""


def variants(
    model: Path, int8: Path | None, weights: Path | None, backends: Sequence[str]
) -> tuple[list[Variant], list[str]]:
    """The rows that can be measured here, float32 in ONNX Runtime first, and why others cannot."""
    found: list[Variant] = []
    notes: list[str] = []
    flags = hardware.cpu_flags()
    has_bfloat16 = not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})
    for backend in backends:
        if not factory.is_installed(backend):
            notes.append(f"{backend}: not installed")
            continue
        if backend == choices.TORCH:
            if weights is None:
                notes.append(f"{backend}: no checkpoint; give --weights")
                continue
            found.append(Variant(backend, weights, "float32"))
        else:
            found.append(Variant(backend, model))
        if backend != choices.ONNXRUNTIME:
            if has_bfloat16:
                found.append(Variant(backend, found[-1].model, "bfloat16"))
            else:
                notes.append(f"{backend} bfloat16: this CPU has no AVX512-BF16 or AMX")
        if int8 is not None and backend != choices.TORCH:
            found.append(Variant(backend, int8))
    if int8 is None:
        notes.append("int8: no quantized model; make one with higherhrnet quantize")
    return found, notes


def measure(job: TableJob, wanted: Sequence[Variant], *, done: Callable[[], object]) -> list[Measured]:
    """Measure one row after another; ``done`` is called after each.

    Raises
    ------
    UserError : what the backends say, or a row whose process was killed, as for want of memory
    """
    rows = []
    for variant in wanted:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as process:
            try:
                rows.append(process.submit(_measure, job, variant).result())
            except BrokenProcessPool as e:
                raise UserError(
                    f"the process that measured {variant.backend} was killed; free memory, or leave it out of "
                    f"--backends"
                ) from e
        done()
    return rows


def _measure(job: TableJob, variant: Variant) -> Measured:
    backend = factory.in_process(
        variant.backend,
        variant.model,
        job.extra,
        heads=job.heads,
        batch=job.batch,
        threads=job.threads,
        precision=variant.precision,
        run_on=job.openvino_device if variant.backend == choices.OPENVINO else AUTO,
        largest=inputs.largest(geometry.shapes(job.plan)),
    )
    found = accuracy.find(backend, job.passes, job.dataset, job.plan, job.options, job.protocol)
    made = quantized.read(variant.model)
    own = "float32" if made is None else "int8"  # of ONNX Runtime's names, which say nothing of it
    name = f"{backend.name} {own}" if variant.backend == choices.ONNXRUNTIME else backend.name
    seen = set(job.passes[0].pictures.values()).intersection(quantized.pictures(variant.model))
    size = variant.model.stat().st_size / 1e6
    return Measured(name, backend.runtime, found, memory.peak_mb(), size, len(seen))


def changed(reference: Measured, other: Measured, sigmas: Sequence[float], *, distance: float) -> compare.People:
    """How the people of two rows differ, see compare.People; ``sigmas`` are of the joints."""
    return compare.compare_people(reference.found.people, other.found.people, sigmas, distance=distance)
