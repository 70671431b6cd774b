"""ais_bench's ``*_summary.json`` of one call over inputs of all shapes: images per second by shape.

ModelZoo's page calls the tool once over a flat tree of .npy, a profile a file. ``filesinfo`` names the input of each
run, ``npu_compute_time_list`` has its milliseconds (summary.py in ais_bench/infer, front ends of 2023 and 2024).
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from higherhrnet.artifacts import sources
from higherhrnet.artifacts.inputs import CHANNELS, Shape
from higherhrnet.errors import UserError

SUFFIX = "_summary.json"


def device(summary: dict[str, Any]) -> int:
    """The device that the call named; 0, the tool's default, where it named none."""
    words = [word for argument in summary.get("args") or [] for word in str(argument).split("=", 1)]
    given = [value for flag, value in itertools.pairwise(words) if flag == "--device"]
    return int(given[-1]) if given and given[-1].isdecimal() else 0


def rates(summary: dict[str, Any], file: Path) -> dict[Shape, float]:
    """Images per second by shape (H, W): 1000 over the mean milliseconds of the network alone, an image at a time.

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
        by_shape.setdefault(_shape(entry, file), []).append(time)
    return {shape: 1000 * len(found) / sum(found) for shape, found in by_shape.items()}


def _shape(entry: Any, file: Path) -> Shape:
    """Of the input of a run, from its .npy header."""
    names = entry.get("infiles") if isinstance(entry, dict) else None
    source = Path(names[0]) if isinstance(names, list) and names and isinstance(names[0], str) else None
    if source is None or source.suffix.lower() != ".npy":
        raise UserError(
            f"{file}: found inputs {str(names)[:80]}, expected .npy files, which say their shape; preprocess with "
            f"--layout flat"
        )
    try:
        sources.open_file(source).close()
        shape = np.lib.format.open_memmap(source, mode="r").shape
    except OSError as e:
        raise UserError(
            f"{file}: cannot read its input {source}: {e.strerror}; call this where ais_bench was called"
        ) from e
    except (ValueError, TypeError, SyntaxError, EOFError) as e:
        raise UserError(f"{file}: its input {source} is not a NumPy array ({e}); preprocess again") from e
    if len(shape) != 4 or shape[:2] != (1, CHANNELS):
        raise UserError(
            f"{file}: its input {source} is {list(shape)}, expected [1, {CHANNELS}, H, W]; preprocess again"
        )
    return shape[2], shape[3]
