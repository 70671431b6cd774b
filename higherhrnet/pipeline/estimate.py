"""What a run will take, from rates measured on a few of its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from higherhrnet.pipeline.chunks import Chunk
from higherhrnet.pipeline.clock import STAGES
from higherhrnet.report import tables

VAL2017 = 5000
"""Images of COCO val2017, which the published figures are for."""

_SAMPLES = 6  # chunks, from small to large shapes
_IMAGES = 2  # of each


@dataclass(frozen=True)
class Rates:
    """Seconds a pixel of input that each stage takes alone."""

    seconds_per_pixel: dict[str, float]
    images: int
    """How many were measured."""

    def seconds(self, pixels: float) -> dict[str, float]:
        """Of each stage for inputs of so many pixels."""
        return {stage: rate * pixels for stage, rate in self.seconds_per_pixel.items()}


Through = Callable[[Chunk, Path], dict[str, float]]
"""Sends a chunk through the stages in a folder; returns the seconds of each."""


def report(through: Through, chunks: Sequence[Chunk], budget: int, folder: Path, *, who: str) -> str:
    """Measure in a ``folder``, and say what this data set and 5,000 images like its own will take.

    Parameters
    ----------
    budget : the most bytes that lie on disk; 0 where nothing does
    who : '2 processes'
    """
    images = sum(len(chunk.images) for chunk in chunks)
    pixels = sum(_pixels(chunk) for chunk in chunks)
    on_disk = sum(chunk.bytes for chunk in chunks)
    inputs = sum(chunk.input_bytes for chunk in chunks)
    rates = measure(through, chunks, folder)
    counts = [images] + [VAL2017] * (images != VAL2017)
    rows = [["", *(f"{count} images" for count in counts)]]
    for stage in STAGES:
        rows.append([stage, *(_duration(rates.seconds(pixels * n / images)[stage]) for n in counts)])
    limit = max(STAGES, key=rates.seconds_per_pixel.__getitem__)
    together = [_duration(max(rates.seconds(pixels * n / images).values())) for n in counts]
    rows.append(
        ["disk, run", *(_bytes(min(budget, on_disk * n / images)) if budget else "people only" for n in counts)]
    )
    rows.append(["disk, six scripts: inputs", *(_bytes(inputs * n / images) for n in counts)])
    rows.append(["disk, six scripts: dumps", *(_bytes((on_disk - inputs) * n / images) for n in counts)])
    rows.append([f"run, {limit} limits", *together])
    return (
        f"measured on {rates.images} images, each stage alone with {who}; side by side on the same "
        f"cores they take a little longer\n{tables.as_text(rows)}"
    )


def measure(through: Through, chunks: Sequence[Chunk], folder: Path) -> Rates:
    """Send a few chunks' first images through the stages, one stage after the other, and time each."""
    by_size = sorted(chunks, key=lambda chunk: chunk.shape[0] * chunk.shape[1])
    step = max(len(by_size) // _SAMPLES, 1)
    samples = [replace(chunk, images=chunk.images[:_IMAGES]) for chunk in by_size[::step][:_SAMPLES]]
    through(samples[0], folder / "warm_up")  # starts processes and plans memory: not timed
    totals = dict.fromkeys(STAGES, 0.0)
    for number, chunk in enumerate(samples):
        for stage, seconds in through(chunk, folder / str(number)).items():
            totals[stage] += seconds
    pixels = sum(_pixels(chunk) for chunk in samples)
    return Rates(
        {stage: seconds / pixels for stage, seconds in totals.items()}, sum(len(chunk.images) for chunk in samples)
    )


def _pixels(chunk: Chunk) -> int:
    return chunk.shape[0] * chunk.shape[1] * len(chunk.images)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
