"""trtexec's logs, trtexec_batchsize_{B}_device_{D}_{H}x{W}.log: mean and percentiles of the GPU's time per batch.

TensorRT 8 and newer print one line, ``GPU Compute Time: min = .. ms, .., mean = .. ms, median = .. ms,
percentile(99%) = .. ms``; 7 prints a block of lines after ``GPU Compute``, and before it one of the host's times.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.errors import UserError

NAME = re.compile(r"trtexec_batchsize_(\d+)_device_(\d+)_(\d+)x(\d+)\.log")
_RUNTIME = re.compile(r"&&&& \w+ TensorRT\.trtexec \[(TensorRT v[0-9.]+)\]")
_NEW = re.compile(r"GPU Compute Time:(.*)")
_OLD = re.compile(r"\] GPU Compute\s*$(.*)", re.MULTILINE | re.DOTALL)
_NEW_VALUE = re.compile(r"(mean|median|percentile\((\d+)%\)) = ([0-9.eE+-]+) ms")
_OLD_VALUE = re.compile(r"\] (mean|median|percentile): ([0-9.eE+-]+) ms(?: at (\d+)%)?")


@dataclass(frozen=True)
class Times:
    """Milliseconds per batch."""

    mean: float
    percentiles: dict[int, float]
    """By per cent; 50 is the median."""


def path(directory: Path, batch: int, device: int, shape: tuple[int, int]) -> Path:
    """Where the log of one shape (H, W) lies."""
    return directory / f"trtexec_batchsize_{batch}_device_{device}_{shape[0]}x{shape[1]}.log"


def runtime(text: str) -> str:
    """Which TensorRT ran, as 'TensorRT v8503'; '' where the log does not say, as those of release 7."""
    match = _RUNTIME.search(text)
    return match[1] if match else ""


def parse(text: str, file: Path) -> Times:
    """The GPU's times in a log's text.

    Raises UserError: a run that failed, that timed another shape than asked, or a log without times.
    """
    if "Automatically overriding shape" in text:
        raise UserError(
            f"{file}: trtexec timed another shape (Automatically overriding shape): the name in --shapes is no input "
            f"of the model; this model's is called input"
        )
    if "&&&& PASSED" not in text:
        raise UserError(f"{file}: found no '&&&& PASSED', so trtexec did not finish; see the log, and run it again")
    if match := _NEW.search(text):
        found = [(name, share, value) for name, share, value in _NEW_VALUE.findall(match[1])]
    elif match := _OLD.search(text):
        found = [(name, share, value) for name, value, share in _OLD_VALUE.findall(match[1])]
    else:
        found = []
    mean, percentiles = None, {}
    for name, share, value in found:
        if name == "mean":
            mean = _number(value) if mean is None else mean
        else:
            percentiles[50 if name == "median" else int(share or 99)] = _number(value)
    if mean is None or not all(0 < value < math.inf for value in (mean, *percentiles.values())):
        raise UserError(f"{file}: found no mean of GPU Compute (Time), expected TensorRT 7's or a newer log; run again")
    return Times(mean, percentiles)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
