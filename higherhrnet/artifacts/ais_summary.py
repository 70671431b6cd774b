"""ais_bench's ``*_summary.json`` of one call over inputs of all shapes: images per second by shape.

ModelZoo's page calls the tool once over a flat tree of .npy, a profile a file. ``filesinfo`` names the input of each
run, ``npu_compute_time_list`` has its milliseconds (summary.py in ais_bench/infer, front ends of 2023 and 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from higherhrnet.artifacts.inputs import Shape, npy_form
from higherhrnet.errors import UserError

SUFFIX = "_summary.json"


def device(summary: dict[str, Any]) -> int:
    """The device that the call named; 0, the tool's default, where it named none."""
    words = [word for argument in summary.get("args") or [] for word in str(argument).split("=", 1)]
    given = [value for flag, value in itertools.pairwise(words) if flag == "--device"]
    return int(given[-1]) if given and given[-1].isdecimal() else 0


def rates(summary: dict[str, Any], file: Path, shapes: Mapping[str, Shape] | None = None) -> dict[Shape, float]:
    """Images per second by shape (H, W): 1000 over the mean milliseconds of the network alone, an image at a time.

    ``shapes`` are those of the inputs by name; without them, their files say it.

    Raises
    ------
    UserError : a summary of batches, of several loops or threads, or inputs whose shape cannot be read
    """
    files, times = summary.get("filesinfo"), summary.get("npu_compute_time_list")
    if not isinstance(files, dict) or not isinstance(times, list) or not files:
        raise UserError(f"{file} has no filesinfo and npu_compute_time_list; give the summary of a call with --output")
    if len(files) != len(times) or not all(isinstance(time, int | float) and time > 0 for time in times):
        raise UserError(
            f"{file}: found {len(times)} times of {len(files)} inputs, expected one each; call ais_bench without "
            f"--loop and --threads, an input at a time"
        )
    by_shape: dict[Shape, list[float]] = {}
    for entry, time in zip(files.values(), times, strict=True):
        by_shape.setdefault(_shape(entry, file, shapes or {}), []).append(time)
    return {shape: 1000 * len(found) / sum(found) for shape, found in by_shape.items()}


def _shape(entry: Any, file: Path, known: Mapping[str, Shape]) -> Shape:
    """Of the input of a run, known or from its .npy header."""
    names = entry.get("infiles") if isinstance(entry, dict) else None
    source = Path(names[0]) if isinstance(names, list) and names and isinstance(names[0], str) else None
    if source is None or source.suffix.lower() != ".npy":
        raise UserError(
            f"{file}: found inputs {str(names)[:80]}, expected .npy files, which say their shape; preprocess with "
            f"--layout flat"
        )
    if source.name in known:
        return known[source.name]
    try:
        return npy_form(source)[0]
    except OSError as e:
        raise UserError(
            f"{file}: cannot read its input {source}: {e.strerror}; call this where ais_bench was called"
        ) from e
    except ValueError as e:
        raise UserError(f"{file}: its input {source} is no input of a flat tree ({e}); preprocess again") from e
