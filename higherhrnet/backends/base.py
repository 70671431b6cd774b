"""What runs the network: one small interface, a module per tool.

A backend gets the inputs of one shape at a time and leaves ``{index:012d}_1.bin`` and ``_2.bin`` in the dump directory
it is told, or the names of another ``Naming``, whatever the tool beneath calls them. Each holds its shape's bytes
exactly. A tool that reads each input's shape from the input may get those of several shapes together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from higherhrnet.artifacts import info, inputs, seen
from higherhrnet.artifacts.dumps import BENCHMARK, FLOAT32, Naming
from higherhrnet.artifacts.seen import Stamp

PRIVATE = ".work"
"""Folder in a dump directory where external tools work, with a folder per device and shape."""

Figures = dict[inputs.Shape, str]
"""Figures as the benchmark tool's performance text, by shape."""

PRECISIONS = ("float32", "float16", "bfloat16")
"""What a network can compute in. Dumps are float32 all the same."""

INT8 = "int8"
"""What an .onnx that ``higherhrnet quantize`` made computes in, for the most part."""

AUTO, CPU, CUDA, NPU = "auto", "cpu", "cuda", "npu"
DEVICES = (AUTO, CPU, CUDA, NPU)
"""Where the backends that run in this process compute; auto is a GPU where torch finds one, else the CPU.

npu is torch's on an NPU of Ascend, which auto never takes.
"""


@dataclass(frozen=True)
class Work:
    """Inputs of one shape, or ``together`` of several, for one device, and where their dumps go."""

    shape: tuple[int, int]
    """(H, W), the largest where there are several"""
    entries: Sequence[info.Entry]
    dumps: Path
    """An existing directory."""
    device: int = 0
    flip: bool = False
    dtype: str = inputs.FLOAT32
    """Of the inputs: float32 or float16 [3, H, W], or uint8 [H, W, 3] before normalisation."""
    dump_dtype: str = FLOAT32
    """Of the dumps: float32, or float16 at half the bytes."""
    naming: Naming = BENCHMARK
    """Of the dumps."""
    together: bool = False
    """Whether this is one call over all shapes, of a tool that reads each input's from its file."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """Of the inputs, from before any of them was read."""

    def check(self, entries: Sequence[info.Entry]) -> None:
        """Raise UserError where one of the inputs that were read has changed since: its dumps would be another's."""
        seen.check(self.stamps, (entry.path for entry in entries if entry.path in self.stamps), "input")

    @property
    def shapes(self) -> set[inputs.Shape]:
        """Those of the inputs."""
        return {entry.shape for entry in self.entries} if self.together else {self.shape}

    @property
    def name(self) -> str:
        """The shape as files are named."""
        return "all" if self.together else f"{self.shape[0]}x{self.shape[1]}"

    @property
    def private(self) -> Path:
        """The folder an external tool works in; it need not exist."""
        return self.dumps / PRIVATE / f"device{self.device}_{self.name}"


class Backend(Protocol):
    """Runs the network over the inputs of a shape."""

    name: str
    batch: int
    """Images per call."""
    runtime: str
    """What computes, with its version; '' where that is not known."""
    model_hash: str
    """fingerprint.sha256 of the model that it runs; '' where nobody looked."""

    def run(self, work: Work) -> Figures:
        """Make the two dumps of every entry; return the figures.

        Raises UserError naming what failed; dumps already made stay whole.
        """
        ...

    def recover(self, work: Work) -> Figures:
        """Take over whole dumps of ``work`` that an earlier run left in its private folder; return its figures."""
        ...

    def command(self, work: Work) -> str:
        """What ``run`` would run, as a shell line; the files it reads are prepared, nothing is run."""
        ...

    def scratch_bytes(self, shape: tuple[int, int], dump_dtype: str) -> int:
        """The most bytes on disk that one image of shape (H, W) takes in a run, beside its input."""
        ...

    def end(self) -> None:
        """End, soon, the runs that other threads are in."""
        ...
