"""Performance files: perf_vision_batchsize_{B}_device_{D}_{H}x{W}.txt, in the Ascend benchmark tool's format.

Five lines of rates and latencies, numbers as C++ prints them (6 significant digits); older and newer builds name the
last two stages differently, and some print a header line. Logs of trtexec in the same folder are read too.

"Images per second" means the same in every file and column: the batch size divided by the mean time of the network
alone on a full batch, its inputs and outputs in the device's memory; reading, copies and writing do not count. A last
batch that is not full is padded, takes as long as a full one, and its time counts in proportion to the images in it.
ais_bench's throughput and trtexec's GPU Compute Time are just that. The benchmark tool's Interface throughputRate is
kept as the tool writes it: whether it counts padding is not documented. What was not measured is nan.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from higherhrnet.artifacts import ais_summary, figures, info, sources, trtexec_log
from higherhrnet.artifacts.figures import Figure
from higherhrnet.errors import UserError

_NAME = re.compile(r"perf_vision_batchsize_(\d+)_device_(\d+)_(\d+)x(\d+)\.txt")
# What follows the number is looked at too: of a decimal comma's 12,5 only 12 would be read.
_RATE = re.compile(r"\[infer(?:ence)?\][^\n]*Interface throughputRate:\s*([0-9.eE+-]+)(?=,?(?:\s|$))")
_NOT_MEASURED = "throughputRate: nan, moduleLatency: nan"
# Images per second: hours per image, and more bytes of inputs than any memory moves.
_SLOWEST, _FASTEST = 1e-4, 1e7
_MOST_BATCH = 10**5

MEANING = (
    "the batch size divided by the mean time of the network alone on a full batch; reading, copies and writing do not "
    "count, nor does the padding of a last batch"
)
"""What images per second mean, see above, in a line."""
PERCENTILES = (50, 90, 99)
"""Of the latency: those that are measured here and shown in the table."""


@dataclass(frozen=True)
class Perf:
    """What one performance file, or one measurement, says of a shape."""

    batch: int
    device: int
    shape: tuple[int, int]
    """(H, W)"""
    images_per_second: float
    """Interface throughputRate, the guide's figure; see above."""
    percentiles: Mapping[int, float] = field(default_factory=dict)
    """Milliseconds per batch by per cent, where they were measured."""
    file: str = field(default="", compare=False)
    """Its name, where it comes from one."""
    made: Figure | None = field(default=None, compare=False)
    """What it is of, None where no record says so."""

    @property
    def fault(self) -> str:
        """Why it cannot be a figure of any device; '' where it can."""
        if not 1 <= self.batch <= _MOST_BATCH:
            return f"batch size {self.batch}"
        if not all(1 <= side <= info.LONGEST_SIDE for side in self.shape):
            return f"shape {self.shape[0]}x{self.shape[1]}"
        if not _SLOWEST <= self.images_per_second <= _FASTEST:
            return f"{self.images_per_second:g} images/s"
        return ""


@dataclass(frozen=True)
class Timings:
    """What a run of one shape took. Times are seconds summed over the run."""

    images: int
    """Without padding."""
    batches: int
    total: float
    read: float
    infer: float
    """The network with the copies to and from the device; a padded batch's time in proportion to its images."""
    execute: float
    """The network alone; a padded batch's time in proportion to its images."""
    write: float

    def text(self) -> str:
        """The five lines. Latencies are milliseconds: of the whole run, then means per image, of [post] per batch."""
        images, batches = self.images, self.batches
        return "".join(
            (
                f"[e2e] throughputRate: {images / self.total:.6g}, latency: {1000 * self.total:.6g}\n",
                f"[data read] {_stage(images, self.read)}\n",
                f"[preprocess] {_NOT_MEASURED}\n",
                f"[infer] throughputRate: {images / self.infer:.6g}, "
                f"Interface throughputRate: {images / self.execute:.6g}, "
                f"moduleLatency: {1000 * self.infer / images:.6g}\n",
                f"[post] {_stage(batches, self.write)}\n",
            )
        )


def execute_only(images_per_second: float) -> str:
    """The five lines where only that was measured."""
    return "".join(
        (
            "[e2e] throughputRate: nan, latency: nan\n",
            f"[data read] {_NOT_MEASURED}\n",
            f"[preprocess] {_NOT_MEASURED}\n",
            f"[infer] throughputRate: nan, Interface throughputRate: {images_per_second:.6g}, "
            f"moduleLatency: {1000 / images_per_second:.6g}\n",
            f"[post] {_NOT_MEASURED}\n",
        )
    )


def _stage(count: int, seconds: float) -> str:
    return f"throughputRate: {count / seconds:.6g}, moduleLatency: {1000 * seconds / count:.6g}"


def path(directory: Path, batch: int, device: int, shape: tuple[int, int]) -> Path:
    """Where the figures of one shape (H, W) lie."""
    return directory / f"perf_vision_batchsize_{batch}_device_{device}_{shape[0]}x{shape[1]}.txt"


def exists(directory: Path, batch: int, shape: tuple[int, int]) -> bool:
    """Whether there are figures of a shape (H, W), of any device."""
    return any(directory.glob(path(Path(), batch, 0, shape).name.replace("_device_0_", "_device_*_")))


def parse(text: str, file: Path) -> float:
    """The images per second in a performance file's text. Raises UserError naming ``file``."""
    match = _RATE.search(text)
    try:
        rate = float(match[1]) if match else None
    except ValueError:
        rate = None
    if rate is None or not 0 < rate < math.inf:
        raise UserError(
            f"{file}: found no line '[infer] ... Interface throughputRate: N' with a positive number; "
            f"run HigherHRNet_benchmark.py again"
        )
    return rate


def find(directory: Path, *, batch: Collection[int] | None = None) -> list[Perf]:
    """All performance files of a result directory (of those batch sizes), by batch, device and shape.

    ``directory`` may also be a summary of ais_bench, see ais_summary.

    Raises UserError: missing directory, no such files (of that batch size), or a file without its figure.
    """
    if directory.name.endswith(ais_summary.SUFFIX) and directory.is_file():
        return _of_summary(directory, batch)
    if not directory.is_dir():
        raise UserError(f"result directory {directory} does not exist; run HigherHRNet_benchmark.py first")
    found, made = [], figures.read(directory)
    for file in directory.iterdir():
        match = _NAME.fullmatch(file.name) or trtexec_log.NAME.fullmatch(file.name)
        if not match or (batch is not None and int(match[1]) not in batch):
            continue
        try:
            content = sources.read(file)
        except OSError as e:
            raise UserError(f"cannot read {file}: {e.strerror}; run HigherHRNet_benchmark.py again") from e
        text = content.decode(errors="replace")
        size, device, height, width = map(int, match.groups())
        entry = made.get(file.name)
        of = entry if entry is not None and entry.is_of(content) else None
        if file.suffix == ".log":
            times = trtexec_log.parse(text, file)
            rate, percentiles = 1000 * size / times.mean, times.percentiles
        else:
            rate, percentiles = parse(text, file), {}
        found.append(Perf(size, device, (height, width), rate, percentiles, file.name, of))
    if not found:
        which = "" if batch is None else f" of batch size {' or '.join(map(str, sorted(batch)))}"
        raise UserError(f"{directory} holds no performance files{which}; run HigherHRNet_benchmark.py first")
    names = [(perf.batch, perf.device, perf.shape) for perf in found]
    if len(set(names)) != len(names):
        raise UserError(
            f"{directory} holds both a performance file and a trtexec log of the same shape; keep one of them"
        )
    return sorted(found, key=lambda perf: (perf.batch, perf.device, perf.shape))


def _of_summary(file: Path, batch: Collection[int] | None) -> list[Perf]:
    summary = sources.read_json(file, "summary of ais_bench")
    if not isinstance(summary, dict) or (batch is not None and 1 not in batch):
        raise UserError(f"{file} is no summary of ais_bench of batch size 1; give --bs 1, or another --result")
    number = ais_summary.device(summary)
    return [Perf(1, number, shape, rate) for shape, rate in sorted(ais_summary.rates(summary, file).items())]
